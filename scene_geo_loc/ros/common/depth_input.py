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

"""Subscription to a camera's depth images."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.transform_tree import TransformTree, TransformUnavailable
from scene_geo_loc.ros.common.counters import BadMessage, BadReason
from scene_geo_loc.ros.common.messages import stamp_to_ns
from scene_geo_loc.ros.common.sensor_subscription import SensorSubscription
from scene_geo_loc.traversals.messages.camera_info import CameraInfoSeries, intrinsics_of, is_rectified
from scene_geo_loc.traversals.messages.depth import DepthDecoder
from scene_geo_loc.traversals.messages.optical_frame import optical_frame
from scene_geo_loc.traversals.messages.registered_depth import registered_depth
from scene_geo_loc.traversals.messages.transforms import frame_name

if TYPE_CHECKING:
    from rclpy.node import Node

    from scene_geo_loc.ros.common.settings import CameraSettings

_INFOS_KEPT = 200
"""Messages of camera_info that depth images in the backlog may still need."""


class DepthInput:
    """Depth images of a camera, and those that belong to its images: of the same stamp.

    Nothing is subscribed to where the settings name no topic.

    Args:
        tree: the robot's transforms, for depth cameras beside the camera.
        kept: most depth images that wait for their images.
        queue: number of messages that wait for the executor.
        on_message: called with each depth image.
    """

    def __init__(
        self,
        node: Node,
        settings: CameraSettings,
        tree: TransformTree,
        kept: int,
        queue: int,
        on_message: Callable[[Image], None] = lambda _: None,
    ) -> None:
        self.topic = settings.depth_topic
        self._tree, self._most, self._on_message = tree, kept, on_message
        self._decode = DepthDecoder(self.topic)
        self._infos = CameraInfoSeries(_INFOS_KEPT)
        self._arrived = threading.Condition()
        self._kept: dict[int, Image] = {}
        self._subscriptions: list[SensorSubscription] = []
        if self.topic:
            beside = self.topic.rpartition("/")[0]
            info_topic = f"{beside}/camera_info" if beside else "camera_info"
            self._subscriptions = [
                SensorSubscription(node, kind, topic, callback, queue, settings.reliability)
                for kind, topic, callback in (
                    (Image, self.topic, self._on_depth),
                    (CameraInfo, info_topic, self._on_info),
                )
            ]

    def __bool__(self) -> bool:
        """True if the camera has depth images."""
        return bool(self.topic)

    @property
    def problem(self) -> str:
        """Sentence on why no depth image can arrive, or ""."""
        return next((s.problem for s in self._subscriptions if s.problem), "")

    def _on_depth(self, message: Image) -> None:
        self._on_message(message)
        with self._arrived:
            self._kept[stamp_to_ns(message.header.stamp)] = message
            while len(self._kept) > self._most:
                del self._kept[min(self._kept)]
            self._arrived.notify_all()

    def _on_info(self, message: CameraInfo) -> None:
        self._infos.add(stamp_to_ns(message.header.stamp), intrinsics_of(message))

    def take(self, stamp_ns: int, wait_s: float = 0.0) -> Image | None:
        """Returns the depth image of a stamp, or None where it has not come within a time."""
        with self._arrived:
            self._arrived.wait_for(lambda: stamp_ns in self._kept, wait_s)
            return self._kept.get(stamp_ns)

    def of(self, message: Any, camera: Camera, frame: str, wait_s: float) -> NDArray[np.float32] | None:
        """Returns the depth (H, W) of an image in metres, and drops earlier ones; None without a topic.

        Args:
            message: of the image.
            camera: of the image.
            frame: the camera's optical frame.
            wait_s: longest time to wait for the depth image.

        Raises BadMessage where it has not come or cannot be used.
        """
        if not self:
            return None
        stamp_ns = stamp_to_ns(message.header.stamp)
        found = self.take(stamp_ns, wait_s)
        self.drop_until(stamp_ns)
        if found is None:
            raise BadMessage(BadReason.NO_DEPTH_IMAGE)
        return self.decode(found, camera, (frame_name(message.header.frame_id), frame))

    def drop_until(self, stamp_ns: int) -> None:
        """Drops the depth images of a stamp and before."""
        with self._arrived:
            for old in [stamp for stamp in self._kept if stamp <= stamp_ns]:
                del self._kept[old]

    def clear(self) -> None:
        """Drops all depth images, as after a jump back in time."""
        with self._arrived:
            self._kept.clear()

    def decode(self, message: Image, camera: Camera, frames: tuple[str, str]) -> NDArray[np.float32]:
        """Returns the depth (H, W) in metres of an image, registered to its camera. Raises BadMessage.

        Args:
            message: the depth image.
            camera: of the image.
            frames: of the image, as its message has it, and the optical one.
        """
        depth_frame, T_depth_camera, depth_camera = frame_name(message.header.frame_id), None, None
        stamp_ns = stamp_to_ns(message.header.stamp)
        try:
            depth = self._decode(message)
            if depth_frame and depth_frame not in frames:
                source = optical_frame(self._tree, depth_frame, self.topic)
                T_depth_camera = self._tree.lookup(source, frames[1], stamp_ns)
            other_size = depth.shape != (camera.height, camera.width)
            if T_depth_camera is not None or (other_size and len(self._infos)):
                size = (depth.shape[1], depth.shape[0])
                depth_camera = self._infos.camera_at(stamp_ns, rectified=is_rectified(self.topic), size=size)
            return registered_depth(depth, camera, depth_camera, T_depth_camera)
        except TransformUnavailable as unavailable:
            raise BadMessage(BadReason.UNREGISTERED_DEPTH, str(unavailable)) from unavailable
        except ValueError as error:
            reason = BadReason.UNDECODABLE_DEPTH if T_depth_camera is None else BadReason.UNREGISTERED_DEPTH
            raise BadMessage(reason, str(error)) from error

    def close(self) -> None:
        """Unsubscribes."""
        for subscription in self._subscriptions:
            subscription.close()
        self._subscriptions = []
