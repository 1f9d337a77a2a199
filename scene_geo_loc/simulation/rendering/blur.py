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

"""Motion blur of a long exposure from a moving vehicle."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose, inverse
from scene_geo_loc.simulation.rendering.night import Moment

F32 = NDArray[np.float32]

_STEP = 4
_TAPS = 7
_FAR_M = 1e4


class MotionBlur:
    """Blurs each pixel along the image motion of the surface that it shows.

    The image's stamp is the middle of the exposure, so its pose is the one at that time.
    """

    def __init__(self, camera: Camera, exposure_s: float) -> None:
        self.camera, self.exposure_s = camera, exposure_s
        middles = [np.arange(_STEP // 2, size, _STEP) for size in (camera.width, camera.height)]
        u, v = np.meshgrid(*middles)
        rays = camera.rays(np.stack([u.ravel(), v.ravel()], 1).astype(np.float64))
        self._rays = rays / np.linalg.norm(rays, axis=1, keepdims=True)
        self._u, self._v = (
            grid.astype(np.float32) for grid in np.meshgrid(np.arange(camera.width), np.arange(camera.height))
        )

    def flow(self, distance: F32, T_map_camera: Pose, moment: Moment) -> F32:
        """Returns the image motion (H, W, 2) in pixels during the exposure.

        Args:
            distance: (H, W) metres from the camera to the surfaces, inf for the sky.
        """
        T_base_camera = inverse(moment.T_map_base) @ T_map_camera
        to_camera = T_base_camera[:3, :3].T
        turn = to_camera @ moment.angular
        way = to_camera @ (moment.linear + np.cross(moment.angular, T_base_camera[:3, 3]))
        near = np.minimum(distance[_STEP // 2 :: _STEP, _STEP // 2 :: _STEP], _FAR_M)
        points = self._rays * near.reshape(-1, 1)
        half = (-way - np.cross(turn, points)) * (self.exposure_s / 2)
        moved = self.camera.project(points + half) - self.camera.project(points - half)
        limit = self.camera.width / 8
        coarse = np.clip(np.nan_to_num(moved), -limit, limit).astype(np.float32).reshape(*near.shape, 2)
        size = self.camera.width, self.camera.height
        return np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_LINEAR), np.float32)

    def smear(self, light: F32, flow: F32, dither: F32) -> F32:
        """Returns linear light (H, W, 3) averaged along the flow; dither (H, W) in [0, 1) hides the steps."""
        out = np.zeros_like(light)
        for tap in range(_TAPS):
            share = (tap + dither) / np.float32(_TAPS) - np.float32(0.5)
            out += cv2.remap(
                light,
                self._u + share * flow[..., 0],
                self._v + share * flow[..., 1],
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
        return out * np.float32(1 / _TAPS)
