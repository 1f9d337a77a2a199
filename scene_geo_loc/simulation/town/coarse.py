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
"""Coarse geometry of a town: planes of the ground and of the houses' walls, as street-view services give.

It has no cars, trees, street furniture and roofs, and the walls are flat.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.simulation.rendering.rays import TriangleTree
from scene_geo_loc.simulation.town.city import City
from scene_geo_loc.simulation.town.houses.architecture import design_house
from scene_geo_loc.simulation.town.plan import Plot

F64 = NDArray[np.float64]

_REACH_M = 1000.0


@dataclass(frozen=True)
class Planes:
    """Planes that are visible from one point.

    Attributes:
        planes: (P, 4) unit normal n in the map's axes and distance d > 0 in metres of each plane, whose
            points p satisfy n . (p - eye) = d.
        index: (N,) plane of each ray; -1 for the sky.
    """

    planes: F64
    index: NDArray[np.int64]

    def distance(self, directions: F64) -> F64:
        """Returns the distances (N,) along the rays' unit directions (N, 3) of the map, inf for the sky."""
        out = np.full(len(self.index), np.inf)
        seen = self.index >= 0
        planes = self.planes[self.index[seen]]
        out[seen] = planes[:, 3] / np.einsum("ni,ni->n", planes[:, :3], directions[seen])
        return out

    def largest(self, count: int) -> tuple[F64, NDArray[np.int64]]:
        """Returns the planes that the most rays see, at most `count`, and the plane of each ray (N,)."""
        rays = np.bincount(self.index[self.index >= 0], minlength=len(self.planes))
        kept = np.sort(np.argsort(-rays, kind="stable")[:count])
        number = np.full(len(self.planes) + 1, -1)
        number[kept] = np.arange(len(kept))
        return self.planes[kept], number[self.index]


class CoarseTown:
    """Ground and walls around a path.

    Args:
        path: (N, 2) points in metres, around which houses within `reach` metres are built.
    """

    def __init__(self, city: City, path: F64, reach: float = 120.0) -> None:
        quads = [_ground(path)]
        for plot in city.house_plots:
            middle = plot.origin + plot.width / 2 * plot.along
            if np.square(path - middle).sum(1).min() < reach**2:
                house = design_house(city.seed, plot)
                quads += _walls(plot, house.depth, house.height)
        corners = np.array(quads)  # (Q, 4, 3)
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 3] - corners[:, 0])
        self._normal = normal / np.linalg.norm(normal, axis=1, keepdims=True)
        self._offset = np.einsum("qi,qi->q", self._normal, corners[:, 0])
        self._tree = TriangleTree(corners[:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3, 3).astype(np.float32))

    def seen(self, eye: F64, directions: F64) -> Planes:
        """Returns the planes on rays from a point (3,) along unit directions (N, 3)."""
        d = np.ascontiguousarray(directions, np.float32)
        origins = np.broadcast_to(eye.astype(np.float32), d.shape)
        _, triangle = self._tree.cast(origins, d)
        wall = np.where(triangle >= 0, triangle // 2, -1)
        visible, index = np.unique(wall, return_inverse=True)
        index = index.reshape(-1)
        if visible[0] < 0:
            visible, index = visible[1:], index - 1
        away = self._offset[visible] - self._normal[visible] @ eye
        side = np.where(away < 0, -1.0, 1.0)
        planes = np.column_stack([self._normal[visible] * side[:, None], away * side])
        return Planes(planes, index)


def _ground(path: F64) -> list[list[float]]:
    (x0, y0), (x1, y1) = path.min(0) - _REACH_M, path.max(0) + _REACH_M
    return [[x0, y0, 0.0], [x1, y0, 0.0], [x1, y1, 0.0], [x0, y1, 0.0]]


def _walls(plot: Plot, depth: float, height: float) -> list[list[list[float]]]:
    """Returns front, back and both sides of a house as rectangles (4, 3)."""
    along, inward = plot.width * plot.along, depth * plot.inward
    foot = [plot.origin, plot.origin + along, plot.origin + along + inward, plot.origin + inward]
    return [
        [[*a, 0.0], [*b, 0.0], [*b, height], [*a, height]]
        for a, b in zip(foot, foot[1:] + foot[:1], strict=True)
    ]
