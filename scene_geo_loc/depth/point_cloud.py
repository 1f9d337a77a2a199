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

"""An existing map of points, such as of a lidar, that images get their depth from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.depth.lidar import MAX_DEPTH_M, MapPoints
from scene_geo_loc.depth.window import PUSHBROOM
from scene_geo_loc.traversals.point_cloud_files import read_points
from scene_geo_loc.traversals.sources import Reason, Role, SensorSource

POINT_CLOUD = "point cloud"
"""Kind of its source in `MapInfo.sources`."""
TILE_M = 25.0
"""Side of the squares of x and y that the points are kept by."""
SPACING_M = 0.05
"""Of points in one cube of this side one is kept."""
_MOST_PARTS = 8
OCCLUDER_M = PUSHBROOM.occluder_m
"""See `lidar.project_depth`: a cloud has points of all that was ever seen from anywhere."""


class PointCloud:
    """Points of a place in the frame of a map, by tiles.

    Attributes:
        name: of the file.
        count: number of points that are kept.
        low, high: (3,) corners of the box around the points, metres.
    """

    def __init__(self, name: str, blocks: Iterable[NDArray[np.float64]]) -> None:
        """Takes the points (M, 3) of all blocks. Raises MapError where there are none."""
        self.name = name
        self._tiles: dict[tuple[int, int], MapPoints] = {}
        self.low, self.high = np.full(3, np.inf), np.full(3, -np.inf)
        parts: dict[tuple[int, int], list[NDArray[np.float32]]] = {}
        for block in blocks:
            if not len(block):
                continue
            self.low, self.high = (
                np.minimum(self.low, block.min(axis=0)),
                np.maximum(self.high, block.max(axis=0)),
            )
            for key, points in _by_tile(block):
                own = parts.setdefault(key, [])
                own.append(_thinned((points - _origin(key)).astype(np.float32)))
                if len(own) == _MOST_PARTS:  # so that a cloud of any size takes the memory of its surfaces
                    own[:] = [_thinned(np.concatenate(own))]
        if not parts:
            raise MapError(f"{name} has no points: name another cloud.")
        for key in list(parts):
            offsets = _thinned(np.concatenate(parts.pop(key)))
            self._tiles[key] = MapPoints(_origin(key), np.ascontiguousarray(offsets.T))
        self.count = sum(len(points) for points in self._tiles.values())

    @classmethod
    def read(cls, path: Path) -> PointCloud:
        """Reads a PCD, PLY, LAS or LAZ file block by block.

        Raises TraversalError where it cannot be read, MapError where it has no points.
        """
        return cls(path.name, read_points(path))

    @property
    def source(self) -> SensorSource:
        """Record of the cloud in a map."""
        return SensorSource(Role.LIDAR.value, self.name, POINT_CLOUD, self.count, reason=Reason.NAMED.value)

    def near(self, position: NDArray[np.float64]) -> list[MapPoints]:
        """Returns the points that a camera at a position (3,) may see, by tiles."""
        low, high = (
            np.floor((position[:2] + side) / TILE_M).astype(int) for side in (-MAX_DEPTH_M, MAX_DEPTH_M)
        )
        keys = ((x, y) for x in range(low[0], high[0] + 1) for y in range(low[1], high[1] + 1))
        return [self._tiles[key] for key in keys if key in self._tiles]

    def check_frame(self, positions: NDArray[np.float64]) -> None:
        """Raises MapError where most positions (N, 3) of a drive lie outside of the cloud."""
        is_outside = ((positions < self.low - MAX_DEPTH_M) | (positions > self.high + MAX_DEPTH_M)).any(
            axis=1
        )
        if is_outside.mean() > 0.5:
            first, last = positions.min(axis=0), positions.max(axis=0)
            raise MapError(
                f"{self.name} spans {_box(self.low, self.high)} and the drive {_box(first, last)}: they are "
                "in different frames; bring the cloud, or the drive's poses, into the other's frame."
            )


def _by_tile(points: NDArray[np.float64]) -> Iterator[tuple[tuple[int, int], NDArray[np.float64]]]:
    """Yields the tiles of points (M, 3) with those in each."""
    numbers = np.floor(points[:, :2] / TILE_M).astype(np.int64)
    order = np.lexsort(numbers.T)
    numbers, points = numbers[order], points[order]
    starts = np.flatnonzero(np.r_[True, (np.diff(numbers, axis=0) != 0).any(axis=1)])
    for start, part in zip(starts, np.split(points, starts[1:]), strict=True):
        yield (int(numbers[start, 0]), int(numbers[start, 1])), part


def _origin(tile: tuple[int, int]) -> NDArray[np.float64]:
    return np.array([tile[0] * TILE_M, tile[1] * TILE_M, 0.0])


def _thinned(offsets: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns one of the points (M, 3) in each cube of `SPACING_M`."""
    cubes = np.floor(offsets / np.float32(SPACING_M)).astype(np.int64)
    # One number for each cube: tiles are narrow, and heights beyond 100 km do not matter.
    keys = (cubes[:, 0] << 42) ^ (cubes[:, 1] << 32 & (1 << 42) - 1) ^ (cubes[:, 2] & (1 << 32) - 1)
    return offsets[np.unique(keys, return_index=True)[1]]


def _box(low: NDArray[np.float64], high: NDArray[np.float64]) -> str:
    sides = (f"{axis} {a:.0f} to {b:.0f}" for axis, a, b in zip("xyz", low, high, strict=True))
    return ", ".join(sides) + " m"
