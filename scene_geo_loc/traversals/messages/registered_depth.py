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

"""Depth images of another camera, or of another size, registered to the images."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.geometry.registration import register_depth

_SAME_ASPECT = 0.01


def registered_depth(
    depth: NDArray[np.float32], camera: Camera, depth_camera: Camera | None, T_depth_camera: Pose | None
) -> NDArray[np.float32]:
    """Returns a depth map (h, w) as seen by the camera of the image, (H, W) metres, NaN where unknown.

    Args:
        camera: camera of the image.
        depth_camera: camera of the depth map; None for that of the image, at the size of the depth map.
        T_depth_camera: pose of the image's optical frame in that of the depth map; None where both are in one
            frame: then depth of the image's size is registered already.

    Raises:
        ValueError: the camera of the depth map is unknown.
    """
    height, width = depth.shape
    if T_depth_camera is None and (width, height) == (camera.width, camera.height):
        return depth
    if depth_camera is None:
        if abs(width * camera.height / (height * camera.width) - 1) > _SAME_ASPECT:
            raise ValueError(
                f"depth images have {width} x {height} pixels, images {camera.width} x {camera.height}, and "
                "the camera of the depth images is unknown"
            )
        depth_camera = camera.resized(width, height)
    finer = math.ceil(max(camera.fx / depth_camera.fx, camera.fy / depth_camera.fy) - 0.01)
    if finer > 1:  # else the registered map would have gaps
        width, height = finer * width, finer * height
        depth = np.asarray(cv2.resize(depth, (width, height), interpolation=cv2.INTER_NEAREST), np.float32)
        depth_camera = depth_camera.resized(width, height)
    return register_depth(
        depth, depth_camera, camera, np.eye(4) if T_depth_camera is None else T_depth_camera
    )
