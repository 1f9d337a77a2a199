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

"""Subscriptions to a camera's images and intrinsics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import to_quaternion
from scene_geo_loc.ros.common.counters import BadMessage, BadReason
from scene_geo_loc.ros.common.messages import stamp_to_ns
from scene_geo_loc.ros.common.sensor_subscription import SensorSubscription
from scene_geo_loc.traversals.camera_files import read_camera_file
from scene_geo_loc.traversals.messages.camera_info import (
    CameraInfoSeries,
    WrongImageSize,
    intrinsics_of,
    is_rectified,
)
from scene_geo_loc.traversals.messages.images import ImageDecoder
from scene_geo_loc.traversals.messages.optical_frame import (
    T_BODY_OPTICAL,
    is_optical_name,
    looks_up,
    optical_frame,
)
from scene_geo_loc.traversals.messages.transforms import frame_name

if TYPE_CHECKING:
    from rclpy.node import Node

    from scene_geo_loc.geometry.transform_tree import TransformTree
    from scene_geo_loc.ros.common.settings import CameraSettings

MAX_STAMP_NS = (2**31 - 3600) * 1_000_000_000
"""Later stamps leave no room in a message's 32 bits for the tolerances that are added to them."""
RESTART_NS = 1_000_000_000
"""A stamp further back than this means that the source started over; nearer, that a message is late."""

_INFOS_KEPT = 200
"""Messages of camera_info that images in the backlog may still need."""


class StampOrder:
    """Detects by their stamps images that are duplicates, late, or of a source that started over."""

    def __init__(self) -> None:
        self._newest_ns: int | None = None

    def check(self, stamp_ns: int) -> bool:
        """Returns whether the source started over.

        Raises BadMessage for a stamp out of the range of messages, or a frame that comes twice or late.
        """
        if not 0 <= stamp_ns <= MAX_STAMP_NS:
            raise BadMessage(BadReason.INVALID_STAMP, f"{stamp_ns / 1e9:.3f} s")
        newest_ns, self._newest_ns = self._newest_ns, stamp_ns
        if newest_ns is None or stamp_ns > newest_ns:
            return False
        if stamp_ns < newest_ns - RESTART_NS:
            return True
        self._newest_ns = newest_ns
        duplicate = stamp_ns == newest_ns
        raise BadMessage(BadReason.DUPLICATE_STAMP if duplicate else BadReason.STAMP_OUT_OF_ORDER)

    def reset(self) -> None:
        """Accepts any stamp next."""
        self._newest_ns = None


class CameraInput:
    """Camera of a node.

    Args:
        on_image: called in the executor with each message, not decoded.
        on_info: called with each camera_info.
        depth: number of images that wait for the executor; 1 where only the newest matters.

    Attributes:
        image_topic: topic of the images.

    Raises TraversalError where the settings name a calibration file that cannot be used.
    """

    def __init__(
        self,
        node: Node,
        settings: CameraSettings,
        on_image: Callable[[Any], None],
        depth: int = 1,
        on_info: Callable[[CameraInfo], None] | None = None,
    ) -> None:
        self._node, self._settings, self._on_camera_info, self._warned = node, settings, on_info, False
        self._decode = ImageDecoder(settings.image_bits)
        self._infos = CameraInfoSeries(_INFOS_KEPT)
        topic, kind = settings.image_topic, Image
        if settings.image_transport == "compressed":
            topic, kind = f"{topic}/compressed", CompressedImage
        self.image_topic = topic
        if settings.calibration_file:
            # A file of several cameras names their topics in full.
            in_full = node.resolve_topic_name(settings.image_topic)
            self._infos = CameraInfoSeries.fixed(read_camera_file(Path(settings.calibration_file), in_full))
        self._infos.readout_s = settings.readout_time
        reliability = settings.reliability
        self._subscriptions = [SensorSubscription(node, kind, topic, on_image, depth, reliability)]
        if not settings.calibration_file:
            self._subscriptions.append(
                SensorSubscription(
                    node, CameraInfo, settings.camera_info_topic, self._on_info, 1, reliability
                )
            )

    @property
    def has_camera_info(self) -> bool:
        """True if intrinsics have arrived, or were read from a file."""
        return len(self._infos) > 0

    @property
    def problem(self) -> str:
        """Sentence on why no image or no intrinsics can arrive, or ""."""
        return next((s.problem for s in self._subscriptions if s.problem), "")

    def _on_info(self, message: CameraInfo) -> None:
        self._infos.add(
            stamp_to_ns(message.header.stamp), intrinsics_of(message), frame_name(message.header.frame_id)
        )
        if self._on_camera_info is not None:
            self._on_camera_info(message)

    def frame_id(self, message: Any, tree: TransformTree) -> str:
        """Returns the camera's optical frame: that of the image or else of the intrinsics, or its child.

        Of images in a body frame without a child one is added to the tree.
        """
        frame = frame_name(message.header.frame_id) or self._infos.frame_id
        axes, base = self._settings.image_frame, self._settings.base_frame
        if axes == "body" and frame:
            optical = f"{frame} (optical)"
            if not tree.knows(optical):
                quaternion = to_quaternion(T_BODY_OPTICAL)
                tree.add(frame, optical, 0, (0.0, 0.0, 0.0), quaternion.tolist(), static=True)
            return optical
        if axes == "auto" and not is_optical_name(frame):
            child = optical_frame(tree, frame, self.image_topic)
            if child == frame and not self._warned and looks_up(tree, base, frame):
                self._warned = True
                self._node.get_logger().warning(
                    f"The images are in the frame {frame}, whose z axis points up: as an optical frame the "
                    "camera looks up; if its x axis is forward, set image_frame to body."
                )
            return child
        return frame

    def decode(self, message: Any) -> tuple[NDArray[np.uint8], Camera]:
        """Returns the image (H, W, 3) RGB of a message, and its camera. Raises BadMessage."""
        if not self.has_camera_info:
            raise BadMessage(BadReason.NO_CAMERA_INFO)
        try:
            image = self._decode(message)
        except (SceneGeoLocError, ValueError) as error:
            raise BadMessage(BadReason.UNDECODABLE_IMAGE, str(error)) from error
        try:
            camera = self._infos.camera_at(
                stamp_to_ns(message.header.stamp),
                rectified=is_rectified(self.image_topic),
                size=(image.shape[1], image.shape[0]),
            )
        except WrongImageSize as error:
            raise BadMessage(BadReason.IMAGE_SIZE, str(error)) from error
        except ValueError as error:
            raise BadMessage(BadReason.UNUSABLE_CAMERA_INFO, str(error)) from error
        return image, camera

    def close(self) -> None:
        """Destroys the subscriptions."""
        for subscription in self._subscriptions:
            subscription.close()
        self._subscriptions = []
