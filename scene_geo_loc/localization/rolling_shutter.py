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

"""Matches of an image that a rolling shutter took, as a global shutter would have seen them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.geometry.rolling_shutter import ReadoutMotion
from scene_geo_loc.localization.estimate import Matches
from scene_geo_loc.localization.pnp import depth_is_known, nearest_on_rays, rays_of

FITS = 2
"""Number of fits after which the depth of the points, which the pixels' shifts follow from, is settled."""

MotionOf = Callable[[], "ReadoutMotion | None"]


@dataclass(frozen=True)
class RollingRows:
    """Moves the pixels of matches to where a global shutter would have seen them.

    That depends on the depth of the points.  Before a pose is known, it is the one in the keyframe, which is
    near to the image.

    Attributes:
        motion: of the camera during the image.
        T_map_keyframe: (N, 4, 4) poses of the map's keyframes.
        T_map_camera: pose of the camera at the image's time; None before one is known.
    """

    motion: ReadoutMotion
    T_map_keyframe: NDArray[np.float64]
    T_map_camera: Pose | None = None

    def ideal_pixels(self, camera: Camera, matches: Matches) -> NDArray[np.float64]:
        """Returns the pixels (M, 2) of matches, without lens distortion and as of a global shutter."""
        points = self.motion.at_once(camera, matches.query_pixels, self._depth(camera, matches))
        return points[:, :2] / points[:, 2:] * (camera.fx, camera.fy) + (camera.cx, camera.cy)

    def _depth(self, camera: Camera, matches: Matches) -> NDArray[np.float64]:
        """Returns the depths (M,) of the points of matches in the camera, infinite where unknown."""
        known, points = depth_is_known(matches.points_sigma, len(matches)), matches.points_map
        if self.T_map_camera is None:
            T = self.T_map_keyframe[matches.keyframe]
            depth = np.einsum("ni,ni->n", T[:, :3, 2], points - T[:, :3, 3])
            return np.where(known & (depth > 0), depth, np.inf)
        T_map_camera = self.T_map_camera
        if not known.all():
            far = self.motion.at_once(camera, matches.query_pixels, np.full(len(matches), np.inf))
            pixels = far[:, :2] / far[:, 2:] * (camera.fx, camera.fy) + (camera.cx, camera.cy)
            on_rays = nearest_on_rays(T_map_camera, pixels, *rays_of(points, matches.points_sigma), camera)
            points = np.where(known[:, None], points, on_rays)
        depth = (points - T_map_camera[:3, 3]) @ T_map_camera[:3, 2]
        return np.where(depth > 0, depth, np.inf)
