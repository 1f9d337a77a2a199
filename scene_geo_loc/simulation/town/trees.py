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

"""Trees: a trunk, branches, and a ragged crown of leaves depending on the season."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.simulation.materials.stock import Stock, tint_of
from scene_geo_loc.simulation.rendering.mesh import MeshBuilder

_LEAVES = {
    "summer": ((70, 104, 44), (86, 118, 52), (58, 96, 52), (104, 124, 56)),
    "autumn": ((186, 124, 40), (160, 84, 36), (176, 150, 60), (128, 110, 50)),
}


def add_tree(mesh: MeshBuilder, stock: Stock, rng: np.random.Generator, foliage: str, leaves: int) -> None:
    """Adds a tree at the origin of the current frame.

    Args:
        rng: seeds its shape; the same generator state gives the same branches in every season.
        leaves: number of triangles of a summer crown.
    """
    height = rng.uniform(5.5, 9.5)
    spread = rng.uniform(1.6, 2.7)
    trunk = rng.uniform(0.28, 0.36) * height
    lean = rng.normal(0, 0.15, 2)
    top = np.array([lean[0], lean[1], trunk])
    bark = tint_of(np.array((104, 88, 72)) * rng.uniform(0.7, 1.15))
    mesh.cylinder((0, 0, 0), top, (0.02 * height, 0.014 * height), stock["bark"], bark, sides=7)
    starts, ends, thick, thin = _branches(rng, top, height, spread)
    mesh.ribbons(starts, ends, thick, thin, stock["bark"], bark)
    kind = int(rng.integers(4))
    if foliage == "bare":
        return
    count = leaves if foliage == "summer" else int(leaves * 0.45)
    colour = np.array(_LEAVES[foliage][kind])
    tips = ends[-len(ends) * 2 // 3 :]
    blobs = tips[rng.integers(len(tips), size=count)]
    middle = np.array([*(2 * lean), trunk + (height - trunk) * 0.5])
    centres = blobs + rng.normal(0, 0.36, (count, 3))
    outward = (centres - middle) / np.array([spread, spread, (height - trunk) / 2])
    reach = np.linalg.norm(outward, axis=1)
    # Fewer leaves are larger, which keeps the density of the crown.
    size = rng.uniform(0.75, 1.25, (count, 1, 1)) * 7.5 / np.sqrt(leaves)
    corners = centres[:, None] + size * np.clip(rng.normal(0, 0.6, (count, 3, 3)), -1, 1)
    normal = outward / np.maximum(reach, 0.1)[:, None] + (0, 0, 0.35) + rng.normal(0, 0.35, (count, 3))
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    # The inside and the underside of a crown are in its own shade.
    shade = np.clip(0.45 + 0.35 * reach + 0.22 * outward[:, 2], 0.3, 1.15) * rng.uniform(0.72, 1.2, count)
    uv = rng.uniform(0, 1.2, (count, 1, 2)) + np.array([[0, 0], [0.3, 0], [0.15, 0.3]])
    mesh.triangles(corners, uv, stock["leaf"], tint_of(colour * shade[:, None] ** 0.6), normal)


def _branches(
    rng: np.random.Generator, top: NDArray, height: float, spread: float
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Returns three generations of branches: starts, ends (N, 3) and radii (N,), the twigs last."""
    all_starts, all_ends, all_thick, all_thin = [], [], [], []
    starts = np.tile(top, (6, 1))
    angle = rng.uniform(0, 2 * np.pi) + np.arange(6) * 2.4
    length = (height - top[2]) * rng.uniform(0.5, 0.75, 6)
    tilt = np.append(rng.uniform(0.45, 0.95, 5), 0.08)
    directions = np.stack([np.sin(tilt) * np.cos(angle), np.sin(tilt) * np.sin(angle), np.cos(tilt)], 1)
    radius = 0.009 * height
    for children in (5, 5, 0):
        ends = starts + directions * length[:, None] * np.array([spread / 2, spread / 2, 1.0])
        all_starts.append(starts)
        all_ends.append(ends)
        all_thick.append(np.full(len(starts), radius))
        all_thin.append(np.full(len(starts), radius * 0.4))
        if children:
            share = rng.uniform(0.4, 1.0, (len(starts), children, 1))
            starts = (starts[:, None] + share * (ends - starts)[:, None]).reshape(-1, 3)
            directions = (
                np.repeat(directions, children, axis=0) + rng.normal(0, 0.55, (len(starts), 3)) + (0, 0, 0.12)
            )
            directions /= np.linalg.norm(directions, axis=1, keepdims=True)
            length = np.repeat(length, children) * rng.uniform(0.4, 0.62, len(starts))
            radius *= 0.42
    return tuple(np.concatenate(parts) for parts in (all_starts, all_ends, all_thick, all_thin))  # type: ignore[return-value]
