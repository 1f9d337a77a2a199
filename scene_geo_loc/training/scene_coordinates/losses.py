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


"""Loss of scene coordinates: distances from known points, or reprojection errors where depth is unknown."""

from __future__ import annotations

import torch
from torch import Tensor

NEAREST_M = 0.1
"""Points nearer than this to the camera, or behind it, have no reprojection error."""
FARTHEST_PX = 1000.0
"""Reprojection errors above this count as unusable, as in ACE."""


def coordinate_loss(
    points: Tensor,
    T_map_camera: Tensor,
    K: Tensor,
    pixels: Tensor,
    depth: Tensor,
    width_px: float,
    start_m: float,
) -> Tensor:
    """Returns the mean loss of points (N, 3) for the pixels (N, 2) of cameras, in pixels.

    Where the depth is known, it is w log(1 + e / w) of the distance e from the true point as it is seen from
    the camera.  Elsewhere it is w tanh(e / w) of the reprojection error e; a point that cannot be projected
    is drawn to one on the ray at a depth of `start_m` (ACE, equations 5 and 6).

    Args:
        points: (N, 3) in the map, metres.
        T_map_camera: (N, 4, 4).
        K: (N, 4) fx, fy, cx, cy.
        pixels: (N, 2).
        depth: (N,) metres, NaN where unknown.
        width_px: width w of the loss.
        start_m: depth that points are drawn to which cannot be projected.
    """
    focal, centre = K[:, :2], K[:, 2:]
    local = torch.einsum("nji,nj->ni", T_map_camera[:, :3, :3], points - T_map_camera[:, :3, 3])
    rays = torch.cat([(pixels - centre) / focal, torch.ones_like(depth)[:, None]], dim=1)
    is_known = torch.isfinite(depth)
    z = torch.where(is_known, depth, torch.full_like(depth, start_m))[:, None]
    # Focal lengths over the depth convert metres across the line of sight to pixels.
    apart = (local - rays * z).norm(dim=1) * focal[:, 0] / z[:, 0]
    to_point = width_px * torch.log1p(apart / width_px)
    before = local[:, 2:] > NEAREST_M
    projected = local[:, :2] / torch.where(before, local[:, 2:], torch.ones_like(z)) * focal + centre
    errors = (projected - pixels).norm(dim=1)
    usable = before[:, 0] & (errors < FARTHEST_PX)
    by_reprojection = torch.where(usable, width_px * torch.tanh(errors / width_px), width_px + to_point)
    return torch.where(is_known, to_point, by_reprojection).mean()
