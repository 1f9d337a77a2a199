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

"""Depth registration: reprojects a depth map into another camera."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose, inverse, transform


def register_depth(
    depth: NDArray[np.float32], measured_by: Camera, seen_by: Camera, T_measured_seen: Pose
) -> NDArray[np.float32]:
    """Reprojects a depth map into another camera; each pixel gets the nearest of its points.

    The pixels of `seen_by` should be no finer than those of `measured_by`, else the map has gaps.

    Args:
        depth: (H, W) metres along the optical axis of `measured_by`, NaN where unknown.
        measured_by: the camera of the depth map.
        seen_by: the camera to register to.
        T_measured_seen: pose of `seen_by` in the optical frame of `measured_by`.

    Returns:
        (H, W) float32 metres along the optical axis of `seen_by` and of its size, NaN where unknown.
    """
    v, u = np.nonzero(np.isfinite(depth))
    points = measured_by.back_project(np.stack([u, v], axis=1), depth[v, u])
    points = transform(inverse(T_measured_seen), points)
    pixels = np.round(seen_by.project(points))
    inside = ((pixels >= 0) & (pixels < (seen_by.width, seen_by.height))).all(axis=1)
    u, v = pixels[inside].astype(np.intp).T
    registered = np.full((seen_by.height, seen_by.width), np.inf, np.float32)
    np.minimum.at(registered, (v, u), points[inside, 2].astype(np.float32))
    registered[np.isinf(registered)] = np.nan
    return registered
