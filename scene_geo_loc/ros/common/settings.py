# Copyright 2026 The scene_geo_loc authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Settings of the two nodes: each becomes a ROS parameter of the same name."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, field_validator

from scene_geo_loc.geometry.camera import MAX_READOUT_S
from scene_geo_loc.localization.estimate import LocalizerSettings
from scene_geo_loc.localization.map_growth.settings import GrowthSettings
from scene_geo_loc.localization.tracking.tracker import TrackerSettings
from scene_geo_loc.mapping.settings import BuilderSettings
from scene_geo_loc.ros.common.parameters import OptionalTopicName, TopicName, setting
from scene_geo_loc.traversals.camera_files import FILE_KINDS

Reliability = Literal["auto", "reliable", "best_effort"]
"""Reliability of the sensors' subscriptions."""
MAX_MOUNTING_M = 1000.0
MIN_RATE_HZ = 0.01


class CameraSettings(BaseModel):
    """Parameters of the camera, which both nodes have."""

    model_config = ConfigDict(extra="forbid")

    autostart: bool = setting(
        True, "Whether the node configures and activates itself; false under a lifecycle manager."
    )
    bond_heartbeat_period: float = setting(
        0.1,
        "Period of the heartbeats to nav2's lifecycle manager, without autostart; 0: none, and the manager "
        "needs bond_timeout: 0.0.",
        "s",
        ge=0,
        le=2,
    )
    image_topic: TopicName = setting(
        "camera/image_raw", "The camera's images; for compressed ones the topic without /compressed."
    )
    image_transport: Literal["raw", "compressed"] = setting(
        "raw",
        "raw for sensor_msgs/Image, compressed for sensor_msgs/CompressedImage on IMAGE_TOPIC/compressed.",
    )
    camera_info_topic: TopicName = setting(
        "camera/camera_info",
        "The camera's intrinsics; the message with the image's stamp, else the latest, is used.",
    )
    calibration_file: str = setting(
        "",
        f"File with the camera's intrinsics, used instead of camera_info_topic: {FILE_KINDS}; empty: none.",
        is_path=True,
    )
    readout_time: float | None = setting(
        None,
        "Time from the exposure of an image's first row, which it is stamped at, to that of its last, of a "
        "rolling shutter; needs odometry on TF; of all cameras of a rig; unset: as calibration_file says, "
        "else 0, a global shutter.",
        "s",
        ge=0,
        le=MAX_READOUT_S,
    )
    image_bits: int | None = setting(
        None, "Bits in use of images of 16 bits; unset: told from the values.", ge=8, le=16
    )
    depth_topic: OptionalTopicName = setting(
        "",
        "Depth images with the stamps of the camera's images, registered to it, or with a mounting on TF and "
        "a camera_info topic beside them; empty: none. To localize, only maps that were trained with depth "
        "use them.",
    )
    reliability: Reliability = setting(
        "auto",
        "Reliability of the sensors' subscriptions; auto: that of the publisher. A best effort subscriber "
        "loses most images above 450 KB between processes with Fast DDS's default transport.",
    )
    map_frame: str = setting(
        "", "Frame of the map; empty: the one stored in the map, or `map` for a new one."
    )
    base_frame: str = setting("base_link", "Frame of the robot.")
    base_T_camera: list[float] = setting(
        [], "Pose of the camera's optical frame in base_frame, x y z qx qy qz qw; empty: from TF.", "m, 1"
    )

    image_frame: Literal["auto", "optical", "body"] = setting(
        "auto",
        "Axes of the images' frame: optical (z forward) or body (x forward); auto: the frame's static child "
        "named *optical*, else optical.",
    )

    @field_validator("base_T_camera")
    @classmethod
    def _seven_numbers(cls, value: list[float]) -> list[float]:
        if value and (len(value) != 7 or abs(sum(q * q for q in value[3:]) - 1.0) > 0.02):
            raise ValueError("it takes x y z qx qy qz qw with a quaternion of unit length")
        if value and max(map(abs, value[:3])) > MAX_MOUNTING_M:
            raise ValueError(f"a camera is mounted within {MAX_MOUNTING_M:g} m of base_frame")
        return value


def bond_period_s(settings: CameraSettings) -> float:
    """Returns the period of a node's heartbeats, or 0 where no lifecycle manager manages it."""
    return 0.0 if settings.autostart else settings.bond_heartbeat_period


class StartPoseSettings(BaseModel):
    """Pose of the robot in the map at the start, at an unknown height; the names are those of nav2's AMCL."""

    model_config = ConfigDict(extra="forbid")

    x: float = setting(0.0, "Position at the start; keyframes within prior_min_radius are searched.", "m")
    y: float = setting(0.0, "Position at the start.", "m")
    yaw: float = setting(0.0, "Heading at the start, which the camera's place on the robot follows.", "rad")


class EditSettings(BaseModel):
    """Arguments of the services that change the map that is open, or make another of it."""

    model_config = ConfigDict(extra="forbid")

    sources: list[str] = setting(
        [],
        "Drives or maps that ~/extend_map, ~/merge_map, ~/align_map and ~/diff_map take.",
        live=True,
        is_path=True,
    )
    output: str = setting(
        "",
        "Folder of the map that ~/extend_map, ~/merge_map, ~/align_map or ~/prune_map makes, or of the maps "
        "that ~/split_map makes; empty: a new version of the open map, which the node goes on with.",
        live=True,
        is_path=True,
    )
    keyframes: int | None = setting(
        None, "Most keyframes that ~/prune_map keeps; unset: as edit.megabytes.", live=True, ge=1, le=10**9
    )
    megabytes: float | None = setting(
        None,
        "Largest size of the map, with its networks, that ~/prune_map makes; unset: as edit.keyframes.",
        "MB",
        True,
        ge=0.1,
        le=1e6,
    )
    tile: float | None = setting(
        None,
        "Side of the squares that ~/split_map splits the map into; unset: by drives.",
        "m",
        True,
        ge=1,
        le=1e6,
    )
    options: list[str] = setting(
        [],
        "Further options of the command `scene-geo-loc map`, such as --poses, /odom.",
        live=True,
    )


class LocalizationNodeSettings(CameraSettings):
    """Parameters of localization_node."""

    map: str = setting(
        "",
        "Folder of the reference map. A change opens another one in any state of the node; where that fails "
        "the old one stays.",
        live=True,
        is_path=True,
    )
    device: str = setting("auto", "Where the network runs: auto, cpu, cuda, ...")
    rig_image_topics: list[TopicName] = setting(
        [],
        "Image topics of the other cameras of a rig, which are localized together with the first one; each "
        "needs a camera_info topic beside it and its mounting on TF.",
    )
    rig_tolerance: float = setting(
        0.05,
        "Largest time between images of a rig, and time to wait for those of the other cameras and for depth "
        "images; images more than 5 ms apart need odometry on TF.",
        "s",
        ge=0,
        le=1,
    )
    odom_frame: str = setting("odom", "Frame of the odometry (REP-105).")
    publish_tf: Literal["map_to_odom", "map_to_base", "none"] = setting(
        "map_to_odom",
        "Transform to broadcast: map_to_odom where odom_frame to base_frame is on TF (REP-105), "
        "map_to_base where there is no odometry.",
    )
    transform_tolerance: float = setting(
        0.1,
        "Time by which map_to_odom is dated ahead, so that listeners need not wait.",
        "s",
        True,
        ge=0,
        le=10,
    )
    transform_rate: float = setting(
        20.0,
        "Rate at which map_to_odom is repeated between poses, at least 0.01; 0: with poses only.",
        "Hz",
        ge=0,
        le=1000,
    )
    transform_timeout: float = setting(
        0.2, "Time that a pose waits for the transforms at its image's stamp.", "s", True, ge=0, le=10
    )
    fix_timeout: float = setting(
        2.0,
        "Time without a pose after which the state is lost; at least two periods of max_rate.",
        "s",
        True,
        ge=0.1,
        le=3600,
    )
    prior_min_radius: float = setting(
        5.0,
        "Least radius around /initialpose within which keyframes are searched, whatever its covariance.",
        "m",
        True,
        ge=0.1,
        le=1e6,
    )
    prior_timeout: float = setting(
        30.0,
        "Time after which /initialpose is dropped, unless an image is localized before.",
        "s",
        True,
        ge=0.1,
        le=3600,
    )
    gps_topic: OptionalTopicName = setting(
        "",
        "A sensor_msgs/NavSatFix topic: keyframes are searched around its positions, unless they contradict "
        "the poses; needs a map with a datum; empty: none.",
    )
    gps_timeout: float = setting(
        5.0, "Age after which a position on gps_topic is not used.", "s", True, ge=0.1, le=3600
    )
    earth_tf: Literal["none", "ecef", "utm"] = setting(
        "none",
        "Static transform of the map on the Earth to broadcast, of a map with a datum: ecef (earth to "
        "map_frame, REP-105) or utm (utm to map_frame).",
    )
    set_initial_pose: bool = setting(
        False, "Whether initial_pose is the prior of the first images, each time the node is activated."
    )
    initial_pose: StartPoseSettings = StartPoseSettings()
    max_rate: float = setting(
        0.0, "Largest rate of images that are localized; 0: no limit.", "Hz", True, ge=0, le=1000
    )
    tracking: bool = setting(
        False,
        "Whether pose estimates are fused over time with odometry from odom_frame to base_frame on TF; "
        "images that are not localized then get a dead-reckoned pose.",
    )
    debug_dir: str = setting(
        "",
        "Folder for snapshots of images that are not localized, at most one a second; empty: none.",
        is_path=True,
    )
    debug_dir_size: int = setting(
        100, "Size of all snapshots together; the oldest are removed.", "MB", ge=1, le=1_000_000
    )
    mapping: Literal["off", "extend"] = setting(
        "off",
        "Whether the map is extended while it localizes: images of places that it does not know become "
        "keyframes, once fixes around them are verified; needs odometry on TF.",
    )
    map_budget: float | None = setting(
        None,
        "Largest size of a map that is extended, with its networks; the keyframes that support most of it "
        "stay, with statistics_dir rather those that helped; unset: any.",
        "MB",
        True,
        gt=0,
        le=1e6,
    )
    statistics_dir: str = setting(
        "",
        "Folder for statistics of the map's keyframes, such as how often each helped; its file for a map has "
        "the name of the map's folder; empty: none.",
        is_path=True,
    )
    edit: EditSettings = EditSettings()
    localizer: LocalizerSettings = LocalizerSettings()
    tracker: TrackerSettings = TrackerSettings()
    growth: GrowthSettings = GrowthSettings()

    @property
    def longest_silence_s(self) -> float:
        """Time without a pose after which the state is lost, seconds; a limited rate allows two periods."""
        return max(self.fix_timeout, 2.0 / self.max_rate if self.max_rate else 0.0)

    @field_validator("transform_rate", "max_rate")
    @classmethod
    def _zero_or_a_rate(cls, value: float) -> float:
        if 0 < value < MIN_RATE_HZ:
            raise ValueError(f"the least rate is {MIN_RATE_HZ:g} Hz, and 0 is allowed")
        return value


class MapBuilderNodeSettings(CameraSettings):
    """Parameters of map_builder_node."""

    out: str = setting(
        "", "Folder of the map to build; an unfinished map of this name is continued.", is_path=True
    )
    bag: str = setting(
        "", "A recording to build from as fast as it can be read; empty: live topics.", is_path=True
    )
    network: str | None = setting(
        None,
        "Checkpoint of the network; empty: the one that comes with the package. "
        "A network that is not fitted is fitted on the map's images.",
        is_path=True,
    )
    device: str = setting("auto", "Where the network runs: auto, cpu, cuda, ...")
    pose_source: Literal["tf", "odometry", "pose"] = setting(
        "tf",
        "Source of the poses: TF from map_frame to the camera, or pose_topic (Odometry or PoseStamped).",
    )
    pose_topic: TopicName = setting(
        "odom", "Topic of pose_source, nav_msgs/Odometry or geometry_msgs/PoseStamped."
    )
    points_topic: OptionalTopicName = setting("", "A sensor_msgs/PointCloud2 topic of a lidar; empty: none.")
    scan_topic: OptionalTopicName = setting("", "A sensor_msgs/LaserScan topic of a lidar; empty: none.")
    gps_topic: OptionalTopicName = setting(
        "",
        "A sensor_msgs/NavSatFix topic, whose positions give the map its datum; empty: none.",
    )
    pose_timeout: float = setting(
        1.0,
        "Time that an image or scan waits for its pose and depth image before it is dropped; "
        "ten times as long while poses arrive, but late.",
        "s",
        ge=0.1,
        le=60,
    )
    backlog: int = setting(
        1000,
        "Memory for images and scans that wait for their poses and for the builder; images may fill half of "
        "it. Messages beyond it are dropped and counted.",
        "MB",
        ge=1,
        le=1_000_000,
    )
    builder: BuilderSettings = BuilderSettings()
