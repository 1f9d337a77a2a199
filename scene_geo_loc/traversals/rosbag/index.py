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

"""First pass over a recording: its small messages, and the stamps of its images."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from scene_geo_loc.geometry.pose_series import PoseSeries
from scene_geo_loc.geometry.transform_tree import TransformTree
from scene_geo_loc.traversals.messages.camera_info import CameraInfoSeries, intrinsics_of, is_rectified
from scene_geo_loc.traversals.messages.clouds import LIVOX_POINTS
from scene_geo_loc.traversals.messages.depth import DEPTH_ENCODINGS
from scene_geo_loc.traversals.messages.images import ImageDecoder, ImageKind, kind_of
from scene_geo_loc.traversals.messages.satellite import GEO_POSE, GEO_POSE_WITH_COVARIANCE, NAV_SAT_FIX
from scene_geo_loc.traversals.messages.transforms import add_transforms, frame_name
from scene_geo_loc.traversals.messages.video import video_codec
from scene_geo_loc.traversals.rosbag.bag import TRANSFORMS, Bag, BagMessage
from scene_geo_loc.traversals.rosbag.satellite import SatelliteTopic

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
VIDEO = ("ffmpeg_image_transport_msgs/msg/FFMPEGPacket", "foxglove_msgs/msg/CompressedVideo")
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
POINT_CLOUDS = ("sensor_msgs/msg/PointCloud2", *LIVOX_POINTS)
LASER_SCAN = "sensor_msgs/msg/LaserScan"
ODOMETRY = "nav_msgs/msg/Odometry"
POSE = "geometry_msgs/msg/PoseStamped"
POSE_WITH_COVARIANCE = "geometry_msgs/msg/PoseWithCovarianceStamped"
TRANSFORM = "geometry_msgs/msg/TransformStamped"

_OBSERVED_EVERY = 10
"""Of so many images of a topic one shows how many bits of a pixel are in use."""

_STATIC = "tf_static"
_AFTER_STAMP = 12
"""Bytes before the frame of a header in both serializations, see `BagMessage.stamp_ns`."""


@dataclass
class ImageTopic:
    """Images of a topic, without their pixels.

    Attributes:
        encoding: of the first undamaged message; the format of compressed images.
        frame_id: of the first undamaged message.
        decoder: decodes its images.
        video: name of FFmpeg's decoder, where the messages are packets of a video.
        size: width and height by the first undamaged message, None for compressed images.
        stamps_ns, log_times_ns: of all messages, in the order of recording.
    """

    topic: str
    compressed: bool
    encoding: str = ""
    frame_id: str = ""
    video: str = ""
    size: tuple[int, int] | None = None
    decoder: ImageDecoder = field(default_factory=ImageDecoder)
    stamps_ns: array[int] = field(default_factory=lambda: array("q"))
    log_times_ns: array[int] = field(default_factory=lambda: array("q"))

    @property
    def is_depth(self) -> bool:
        """True for depth images."""
        return kind_of(self.topic, self.encoding) is ImageKind.DEPTH

    @property
    def is_grey(self) -> bool:
        """True for grey images."""
        return self.encoding.startswith(("mono", "8UC1", *DEPTH_ENCODINGS))

    @property
    def is_rectified(self) -> bool:
        """True for rectified images, by the topic's name."""
        return is_rectified(self.topic)


@dataclass
class PoseTopic:
    """Poses of an Odometry, PoseStamped, PoseWithCovarianceStamped or TransformStamped topic.

    Attributes:
        kind: type of the messages.
        frame_id: frame that the poses are given in.
        child_frame_id: frame whose poses they are; empty where the messages have none.
    """

    topic: str
    kind: str
    frame_id: str
    child_frame_id: str
    series: PoseSeries = field(default_factory=PoseSeries)


class BagIndex:
    """Transforms, poses, cameras and the stamps of images of a recording, read in one pass.

    Attributes:
        bag: the recording.
        images, poses, satellites: by topic.
        camera_infos: intrinsics over time by camera_info topic.
        tree: all transforms.
        invalid_poses: number of transforms and poses that are invalid, see `PoseSeries.add`.
    """

    def __init__(self, bag: Bag, is_taken: Callable[[BagMessage], bool] | None = None) -> None:
        """Reads a recording, or the images, poses and moving transforms for which `is_taken` returns True."""
        self.bag = bag
        self.images: dict[str, ImageTopic] = {}
        self.poses: dict[str, PoseTopic] = {}
        self.satellites: dict[str, SatelliteTopic] = {}
        self.camera_infos: dict[str, CameraInfoSeries] = {}
        self._other_images: set[str] = set()
        self._last_infos: dict[str, bytes] = {}
        self.tree = TransformTree()
        self.invalid_poses = 0
        takers = {
            IMAGE: self._take_image,
            COMPRESSED_IMAGE: self._take_image,
            **dict.fromkeys(VIDEO, self._take_image),
            CAMERA_INFO: self._take_camera,
            ODOMETRY: self._take_pose,
            POSE: self._take_pose,
            POSE_WITH_COVARIANCE: self._take_pose,
            TRANSFORM: self._take_pose,
            NAV_SAT_FIX: self._take_satellite,
            GEO_POSE: self._take_satellite,
            GEO_POSE_WITH_COVARIANCE: self._take_satellite,
            **dict.fromkeys(TRANSFORMS, self._take_transforms),
        }
        for message in bag.messages(bag.of_kind(*takers)):
            is_lasting = message.kind == CAMERA_INFO or message.topic.endswith(_STATIC)
            if is_taken is None or is_lasting or is_taken(message):
                takers[message.kind](message)

    def _take_image(self, message: BagMessage) -> None:
        compressed = message.kind != IMAGE
        if message.topic in self._other_images:
            return
        known = self.images.setdefault(message.topic, ImageTopic(message.topic, compressed))
        known.stamps_ns.append(message.stamp_ns)
        known.log_times_ns.append(message.log_time_ns)
        if known.encoding and (compressed or len(known.stamps_ns) % _OBSERVED_EVERY):
            return
        try:
            decoded = message.decode()
            if not compressed:
                known.decoder.observe(decoded)
        except ValueError:
            return  # the next one may be undamaged
        if not known.encoding:
            known.encoding = decoded.encoding if hasattr(decoded, "encoding") else decoded.format
            # A video of Foxglove has no header.
            known.frame_id = frame_name(getattr(decoded, "header", decoded).frame_id)
            if not compressed:
                known.size = decoded.width, decoded.height
            else:
                known.video = video_codec(known.encoding) or ""
            if kind_of(known.topic, known.encoding) is ImageKind.OTHER:
                self._other_images.add(message.topic)
                del self.images[message.topic]

    def _take_camera(self, message: BagMessage) -> None:
        series = self.camera_infos.setdefault(message.topic, CameraInfoSeries())
        content = message.raw[_AFTER_STAMP:]
        if content == self._last_infos.get(message.topic):
            series.repeat(message.stamp_ns)
            return
        try:
            decoded = message.decode()
        except ValueError:
            return  # the others may be undamaged
        series.add(message.stamp_ns, intrinsics_of(decoded), frame_name(decoded.header.frame_id))
        self._last_infos[message.topic] = content

    def _take_pose(self, message: BagMessage) -> None:
        try:
            decoded = message.decode()
        except ValueError:
            self.invalid_poses += 1
            return
        if message.topic not in self.poses:
            child = frame_name(getattr(decoded, "child_frame_id", ""))
            parent = frame_name(decoded.header.frame_id)
            self.poses[message.topic] = PoseTopic(message.topic, message.kind, parent, child)
        if message.kind == TRANSFORM:
            position, orientation = decoded.transform.translation, decoded.transform.rotation
        else:
            pose = decoded.pose if message.kind == POSE else decoded.pose.pose
            position, orientation = pose.position, pose.orientation
        good = self.poses[message.topic].series.add(message.stamp_ns, _xyz(position), _xyzw(orientation))
        self.invalid_poses += not good

    def _take_satellite(self, message: BagMessage) -> None:
        topic = self.satellites.setdefault(message.topic, SatelliteTopic(message.topic, message.kind))
        topic.add(message)

    def _take_transforms(self, message: BagMessage) -> None:
        try:
            decoded = message.decode()
        except ValueError:
            self.invalid_poses += 1
            return
        static = message.topic.endswith(_STATIC)
        self.invalid_poses += add_transforms(self.tree, decoded, static)


def _xyz(vector: Any) -> tuple[float, float, float]:
    return vector.x, vector.y, vector.z


def _xyzw(quaternion: Any) -> tuple[float, float, float, float]:
    return quaternion.x, quaternion.y, quaternion.z, quaternion.w
