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
"""Pairs of a camera and a keyframe whose features have no depth, each with both bearings of its matches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.pose import Pose, make_pose
from scene_geo_loc.localization.pnp import CameraMatches

SAME_PLACE_M = 0.05
"""Keyframes nearer than this, such as the views of one panorama, have no baseline between them."""

LEAST_COSINE = 0.2
"""Least cosine of a ray's angle from the mean ray of its keyframe."""


@dataclass(frozen=True)
class RayPair:
    """Matches of one camera with the rays of one keyframe.

    Attributes:
        camera: number of the camera in the rig.
        T_map_view: pose of a camera at the keyframe that looks along the mean of its rays.
        view: (n, 2) rays in that camera, x and y at a depth of 1.
        query: (n, 2) rays of the matched pixels in the query's camera, x and y at a depth of 1.
    """

    camera: int
    T_map_view: Pose
    view: NDArray[np.float64]
    query: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.view)


def ray_pairs(matches: Sequence[CameraMatches]) -> Iterator[RayPair]:
    """Yields the pairs of cameras and keyframes among matches that all have no depth."""
    for number, camera in enumerate(matches):
        if not len(camera):
            continue
        origins, directions = camera.rays
        query = query_rays(camera)[:, :2]
        keyframes = np.zeros(len(camera), np.int64) if camera.keyframe is None else camera.keyframe
        for keyframe in np.unique(keyframes):
            own = keyframes == keyframe
            rays = directions[own] / np.linalg.norm(directions[own], axis=1, keepdims=True)
            R = _looking_along(rays.mean(axis=0))
            rays = rays @ R
            ahead = rays[:, 2] > LEAST_COSINE
            T = make_pose(R, origins[own][0])
            yield RayPair(number, T, rays[ahead, :2] / rays[ahead, 2:], query[own][ahead])


def query_rays(camera: CameraMatches) -> NDArray[np.float64]:
    """Returns the rays (M, 3) of a camera's ideal pixels at a depth of 1, in its frame."""
    K = camera.camera
    rays = np.ones((len(camera), 3))
    rays[:, :2] = (camera.pixels - (K.cx, K.cy)) / (K.fx, K.fy)
    return rays


def place_numbers(origins: NDArray[np.float64]) -> NDArray[np.intp]:
    """Returns the number (M,) of the place of each ray, from their origins (M, 3)."""
    if not len(origins):
        return np.zeros(0, np.intp)
    places: list[NDArray[np.float64]] = []
    unique, row = np.unique(origins, axis=0, return_inverse=True)
    numbers = np.zeros(len(unique), np.intp)
    for i, origin in enumerate(unique):
        apart = [float(np.linalg.norm(origin - place)) for place in places]
        if not apart or min(apart) > SAME_PLACE_M:
            places.append(origin)
            apart.append(0.0)
        numbers[i] = int(np.argmin(apart))
    return np.asarray(numbers[row.ravel()], np.intp)


def _looking_along(direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the axes (3, 3), as columns, of a camera that looks along a direction (3,)."""
    z = direction / max(float(np.linalg.norm(direction)), 1e-9)
    x = np.cross(np.eye(3)[int(np.abs(z).argmin())], z)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z], axis=1)
