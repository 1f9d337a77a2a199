"""The settings of the two nodes: each becomes a ROS parameter of the same name."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, field_validator

from scene_geo_loc.localization.estimate import LocalizerSettings
from scene_geo_loc.localization.tracker import TrackerSettings
from scene_geo_loc.mapping.settings import BuilderSettings
from scene_geo_loc.ros.common.parameters import OptionalTopicName, TopicName, setting

MAX_MOUNTING_M = 1000.0
MIN_RATE_HZ = 0.01


class CameraSettings(BaseModel):
    """What both nodes need to read a camera."""

    model_config = ConfigDict(extra="forbid")

    autostart: bool = setting(
        True, "Whether the node configures and activates itself; false under a lifecycle manager."
    )
    image_topic: TopicName = setting(
        "camera/image_raw", "The camera's images; for compressed ones without the suffix."
    )
    image_transport: Literal["raw", "compressed"] = setting(
        "raw",
        "raw for sensor_msgs/Image, compressed for sensor_msgs/CompressedImage on IMAGE_TOPIC/compressed.",
    )
    camera_info_topic: TopicName = setting(
        "camera/camera_info", "The camera's intrinsics; the latest message counts."
    )
    reliability: Literal["reliable", "best_effort"] = setting(
        "reliable",
        "Reliability asked of the sensors' topics; a best effort subscriber loses most images above 450 KB "
        "between processes with Fast DDS's default transport.",
    )
    map_frame: str = setting(
        "", "The frame of the map; empty: the one that the map names, or `map` for a new one."
    )
    base_frame: str = setting("base_link", "The frame of the robot.")
    base_T_camera: list[float] = setting(
        [], "Pose of the camera's optical frame in base_frame, x y z qx qy qz qw; empty: from TF.", "m, 1"
    )

    @field_validator("base_T_camera")
    @classmethod
    def _seven_numbers(cls, value: list[float]) -> list[float]:
        if value and (len(value) != 7 or abs(sum(q * q for q in value[3:]) - 1.0) > 0.02):
            raise ValueError("it takes x y z qx qy qz qw with a quaternion of unit length")
        if value and max(map(abs, value[:3])) > MAX_MOUNTING_M:
            raise ValueError(f"a camera is mounted within {MAX_MOUNTING_M:g} m of base_frame")
        return value


class LocalizationNodeSettings(CameraSettings):
    """Parameters of localization_node."""

    map: str = setting("", "Folder of the reference map.")
    device: str = setting("auto", "Where the network runs: auto, cpu, cuda, ...")
    rig_image_topics: list[TopicName] = setting(
        [],
        "Images of further cameras, localized together with the first one's as one; each with its "
        "camera_info beside it and its mounting on TF.",
    )
    rig_tolerance: float = setting(
        0.05,
        "How far images of the cameras may be apart, and how long one waits for those of the others; more "
        "than 5 ms apart they need odometry on TF.",
        "s",
        ge=0,
        le=1,
    )
    odom_frame: str = setting("odom", "The frame that odometry moves the robot in, REP-105.")
    publish_tf: Literal["map_to_odom", "map_to_base", "none"] = setting(
        "map_to_odom",
        "What to broadcast: map_to_odom where odom_frame to base_frame is on TF (REP-105), "
        "map_to_base where there is no odometry.",
    )
    transform_tolerance: float = setting(
        0.1,
        "How far into the future map_to_odom is dated, so that listeners need not wait.",
        "s",
        True,
        ge=0,
        le=10,
    )
    transform_rate: float = setting(
        20.0,
        "How often map_to_odom is sent between two fixes, at least 0.01; 0: with fixes only.",
        "Hz",
        ge=0,
        le=1000,
    )
    transform_timeout: float = setting(
        0.2, "How long a fix waits for the TF of its image's stamp.", "s", True, ge=0, le=10
    )
    fix_timeout: float = setting(
        2.0, "After this long without a pose the state is lost.", "s", True, ge=0.1, le=3600
    )
    prior_min_radius: float = setting(
        5.0,
        "Keyframes within this distance of /initialpose are candidates even where its covariance is smaller.",
        "m",
        True,
        ge=0.1,
        le=1e6,
    )
    prior_timeout: float = setting(
        30.0,
        "/initialpose is forgotten after this long, or with the first localized frame.",
        "s",
        True,
        ge=0.1,
        le=3600,
    )
    tracking: bool = setting(
        False,
        "Whether pose estimates are fused over time with odometry from odom_frame to base_frame on TF; "
        "images that are not localized then get a dead-reckoned pose.",
    )
    localizer: LocalizerSettings = LocalizerSettings()
    tracker: TrackerSettings = TrackerSettings()

    @field_validator("transform_rate")
    @classmethod
    def _zero_or_a_rate(cls, value: float) -> float:
        if 0 < value < MIN_RATE_HZ:
            raise ValueError(f"the least rate is {MIN_RATE_HZ:g} Hz; 0 sends with fixes only")
        return value


class MapBuilderNodeSettings(CameraSettings):
    """Parameters of map_builder_node."""

    out: str = setting("", "Folder of the map to build; an unfinished one of this name is continued.")
    bag: str = setting("", "A recording to build from as fast as it can be read; empty: live topics.")
    network: str | None = setting(
        None,
        "Checkpoint of the network; empty: the one that comes with the package. "
        "A network that is not fitted is fitted on the map's images.",
    )
    device: str = setting("auto", "Where the network runs: auto, cpu, cuda, ...")
    pose_source: Literal["tf", "odometry", "pose"] = setting(
        "tf",
        "Where poses come from: TF from map_frame to the camera, or pose_topic (Odometry or PoseStamped).",
    )
    pose_topic: TopicName = setting(
        "odom", "The nav_msgs/Odometry or geometry_msgs/PoseStamped topic of pose_source."
    )
    points_topic: OptionalTopicName = setting("", "A sensor_msgs/PointCloud2 topic of a lidar; empty: none.")
    scan_topic: OptionalTopicName = setting("", "A sensor_msgs/LaserScan topic of a lidar; empty: none.")
    depth_topic: OptionalTopicName = setting(
        "", "Depth images registered to the camera, with the same stamps; empty: none."
    )
    pose_timeout: float = setting(
        1.0,
        "How long a frame or scan waits for its pose and depth image before it is left out; "
        "ten times as long while poses come, but late.",
        "s",
        ge=0.1,
        le=60,
    )
    backlog: int = setting(
        1000,
        "Most memory for images and scans that wait for their poses and for the builder; images may fill "
        "half of it. What comes beyond is left out and counted.",
        "MB",
        ge=1,
        le=1_000_000,
    )
    builder: BuilderSettings = BuilderSettings()
