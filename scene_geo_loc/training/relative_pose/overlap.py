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

"""Overlap of the frustums of two cameras (Balntas, Li and Prisacariu, ECCV 2018, section 3.2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.pose import inverse

COLUMNS, ROWS, DEPTHS = 6, 4, 5
"""Points of a frustum along each axis."""
_NEAREST = 0.1
"""Nearest depth of a point, as a share of the frustum's."""


def frustum_overlap(
    T_map_camera: NDArray[np.float64], K: NDArray[np.float64], width: int, height: int, depth_m: float
) -> NDArray[np.float32]:
    """Returns the overlaps (N, N) of frustums, 0 to 1, the same in both directions.

    The overlap is the share of points spread over the one frustum that lie in the other, the smaller of both
    directions.

    Args:
        T_map_camera: (N, 4, 4) poses.
        K: (N, 4) fx, fy, cx, cy in pixels.
        width, height: of the images, pixels.
        depth_m: depth of the frustums.
    """
    v, u, d = np.meshgrid(
        (np.arange(ROWS) + 0.5) / ROWS * height - 0.5,
        (np.arange(COLUMNS) + 0.5) / COLUMNS * width - 0.5,
        depth_m * (_NEAREST + (1 - _NEAREST) * (np.arange(DEPTHS) + 0.5) / DEPTHS),
        indexing="ij",
    )
    pixels, depth = np.stack([u.ravel(), v.ravel()], axis=1), d.ravel()[:, None]
    T_camera_map = inverse(T_map_camera)
    shares = np.zeros((len(T_map_camera), len(T_map_camera)), np.float32)
    for i, T in enumerate(T_map_camera):
        rays = (pixels - K[i, 2:]) / K[i, :2]
        points = np.hstack([rays, np.ones_like(depth)]) * depth @ T[:3, :3].T + T[:3, 3]
        local = np.einsum("nij,pj->npi", T_camera_map[:, :3, :3], points) + T_camera_map[:, None, :3, 3]
        z = local[..., 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            seen = local[..., :2] / z[..., None] * K[:, None, :2] + K[:, None, 2:]
        inside = (z > 0) & (z <= depth_m)
        inside &= ((seen >= -0.5) & (seen <= np.array([width, height]) - 0.5)).all(axis=-1)
        shares[i] = inside.mean(axis=1)
    return np.minimum(shares, shares.T)
