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
"""Keyframes by square tiles of x and y: those around a place are found without looking at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TILE_M = 25.0
"""Side of a tile: a prior of some tens of metres reads a few tiles, and a city has some hundred thousand."""

_ROW = 1 << 32
_BLOCK_TILES = 64


class Tiles:
    """Keyframes sorted by the tile that they are in.

    Attributes:
        tiles: (T, 3) int64, row and column of each tile in ascending order, and the end of its keyframes.
        keyframes: (N,) uint32, those of one tile after the other, ascending in each.
    """

    def __init__(self, tiles: NDArray[np.int64], keyframes: NDArray[np.uint32]) -> None:
        self.tiles, self.keyframes = tiles, keyframes
        self._keys = _key(tiles[:, 0], tiles[:, 1])
        self._starts = np.append(0, tiles[:, 2])

    @classmethod
    def of(cls, positions: NDArray[np.float64]) -> Tiles:
        """Returns the tiles of keyframes at positions (N, 2 or 3)."""
        corners = np.floor(positions[:, :2] / TILE_M).astype(np.int64)
        keys = _key(corners[:, 0], corners[:, 1])
        order = np.argsort(keys, kind="stable")
        _, first, counts = np.unique(keys[order], return_index=True, return_counts=True)
        tiles = np.c_[corners[order[first]], np.cumsum(counts)].reshape(-1, 3)
        return cls(tiles, order.astype(np.uint32))

    @classmethod
    def read(cls, tiles: Path, keyframes: Path, count: int) -> Tiles:
        """Opens what `save` wrote of a map with a number of keyframes; the larger file is memory-mapped.

        Raises ValueError where they do not fit.
        """
        rows = np.load(tiles, allow_pickle=False)
        order = np.asarray(np.load(keyframes, mmap_mode="r", allow_pickle=False))
        is_table = rows.ndim == 2 and rows.shape[1] == 3 and rows.dtype == np.int64
        if not is_table or order.shape != (count,) or order.dtype != np.uint32:
            raise ValueError(f"{tiles.name} and {keyframes.name} are not of {count} keyframes")
        if (np.diff(rows[:, 2], prepend=0) <= 0).any() or (len(rows) and rows[-1, 2] != count):
            raise ValueError(f"{tiles.name} has other keyframes than {keyframes.name}")
        return cls(rows, order)

    def save(self, tiles: Path, keyframes: Path) -> None:
        """Writes the two files of a map."""
        np.save(tiles, self.tiles)
        np.save(keyframes, self.keyframes)

    def around(self, x: float, y: float, radius_m: float) -> NDArray[np.int64]:
        """Returns the keyframes, ascending, of all tiles that a circle reaches: those in it and some more."""
        if not len(self.tiles) or not np.isfinite([x, y]).all():
            return np.zeros(0, np.int64)
        low, high = self.tiles[:, :2].min(axis=0), self.tiles[:, :2].max(axis=0)
        centre, reach = np.array([x, y]), min(radius_m, 1e9)
        first = np.maximum(np.floor((centre - reach) / TILE_M), low).astype(np.int64)
        last = np.minimum(np.floor((centre + reach) / TILE_M), high).astype(np.int64)
        rows = np.arange(first[0], last[0] + 1)
        begin = np.searchsorted(self._keys, _key(rows, np.full_like(rows, first[1])))
        end = np.searchsorted(self._keys, _key(rows, np.full_like(rows, last[1])), side="right")
        spans = [
            self.keyframes[self._starts[b] : self._starts[e]]
            for b, e in zip(begin, end, strict=True)
            if b < e
        ]
        return np.sort(np.concatenate([np.zeros(0, np.uint32), *spans])).astype(np.int64)

    def nearest(self, point: NDArray[np.float64], positions: NDArray[np.float64]) -> tuple[int | None, float]:
        """Returns the keyframe nearest to a point, and its distance in metres; None and inf without any.

        Args:
            point: (2,) or (3,), for the horizontal distance or that in space.
            positions: (N, 3) of the keyframes.
        """
        centre = (self.tiles[:, :2] + 0.5) * TILE_M
        beyond = np.maximum(np.abs(centre - point[:2]) - TILE_M / 2, 0)
        at_least = np.hypot(beyond[:, 0], beyond[:, 1])
        order = np.argsort(at_least, kind="stable")
        best: tuple[int | None, float] = (None, np.inf)
        for start in range(0, len(order), _BLOCK_TILES):
            block = order[start : start + _BLOCK_TILES]
            if at_least[block[0]] > best[1]:
                break
            rows = np.sort(
                np.concatenate([self.keyframes[self._starts[t] : self._starts[t + 1]] for t in block])
            )
            distances = np.linalg.norm(positions[rows][:, : len(point)] - point, axis=1)
            nearest = int(distances.argmin())
            if distances[nearest] < best[1]:
                best = int(rows[nearest]), float(distances[nearest])
        return best


def _key(row: NDArray[np.int64], column: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns one number for each tile, in the order of rows and then columns."""
    return np.asarray(row * _ROW + column)
