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

"""Depth images of a recording: which are usable, and how they are registered to the images."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.traversals.messages.camera_info import CameraInfoSeries, WrongImageSize
from scene_geo_loc.traversals.messages.depth import DepthDecoder
from scene_geo_loc.traversals.messages.optical_frame import optical_frame
from scene_geo_loc.traversals.messages.registered_depth import registered_depth
from scene_geo_loc.traversals.rosbag.index import BagIndex, ImageTopic

logger = logging.getLogger(__name__)


class DepthReader:
    """Decodes the depth images of a topic and registers them to the images.

    Depth in the images' frame and of their size is registered already.  Depth of another camera is
    reprojected by its camera_info and the mounting of both.

    Args:
        camera_frame: optical frame of the images.
        image_frame: frame of the images as their messages have it.
    """

    def __init__(self, index: BagIndex, depth: ImageTopic, image_frame: str, camera_frame: str) -> None:
        self._decode = DepthDecoder(depth.topic)
        self._rectified = depth.is_rectified
        self._infos = own_camera_info(index, depth)
        self._T_depth_camera: Pose | None = None
        if depth.frame_id not in (image_frame, camera_frame):
            frame = optical_frame(index.tree, depth.frame_id, depth.topic)
            if frame != camera_frame:
                self._T_depth_camera = index.tree.static_pose(frame, camera_frame)

    def __call__(self, message: Any, stamp_ns: int, camera: Camera) -> NDArray[np.float32]:
        """Returns (H, W) float32 metres as seen by the camera of an image, NaN where unknown.

        Raises:
            ValueError: the message cannot be decoded, or its camera is unknown.
        """
        depth = self._decode(message)
        depth_camera = None
        if self._infos is not None and (self._T_depth_camera is not None or _other_size(depth, camera)):
            size = (depth.shape[1], depth.shape[0])
            try:
                depth_camera = self._infos.camera_at(stamp_ns, rectified=self._rectified, size=size)
            except WrongImageSize:
                if self._T_depth_camera is not None:
                    raise
                # One camera_info for the images and for depth of another size.
        return registered_depth(depth, camera, depth_camera, self._T_depth_camera)


def unusable_depth(index: BagIndex, depth: ImageTopic, image_frame: str, camera_frame: str) -> str:
    """Returns why depth images cannot be used with the images, as part of a sentence; "" where they can."""
    if depth.frame_id in (image_frame, camera_frame):
        return ""
    frame = optical_frame(index.tree, depth.frame_id, depth.topic)
    if frame == camera_frame:
        return ""
    if not index.tree.is_static(frame, camera_frame):
        return (
            f"no static transform leads from their frame {depth.frame_id} to the images' frame {camera_frame}"
        )
    if own_camera_info(index, depth) is None:
        return f"they are in another frame, {depth.frame_id}, and there is no camera_info beside them"
    return ""


def own_camera_info(index: BagIndex, depth: ImageTopic) -> CameraInfoSeries | None:
    """Returns the intrinsics of depth images: of the topic beside them, or the only one of their frame."""
    inside = depth.topic.rsplit("/", 2 if depth.compressed else 1)[0]
    beside = index.camera_infos.get(f"{inside}/camera_info")
    if beside is not None and len(beside):
        return beside
    same = [
        series for series in index.camera_infos.values() if series.frame_id == depth.frame_id and len(series)
    ]
    return same[0] if len(same) == 1 else None


def _other_size(depth: NDArray[np.float32], camera: Camera) -> bool:
    return depth.shape != (camera.height, camera.width)
