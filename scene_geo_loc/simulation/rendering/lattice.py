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

"""Saving of rays: one for a quarter of an image's pixels, and more only where neighbours differ."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_TILE = 8


class LatticeStage(NamedTuple):
    """Pixels (N,) between four neighbours (4, N) of earlier stages, as indices in the flat image."""

    pixels: NDArray[np.intp]
    neighbours: NDArray[np.intp]

    def agreed(self, values: NDArray) -> tuple[NDArray[np.bool_], NDArray]:
        """Returns a mask (N,) of the pixels whose neighbours have one value, and these values (N,).

        Args:
            values: of all pixels of the image, of which only those of the neighbours count.
        """
        first, *others = (values.take(part) for part in self.neighbours)
        agreed = np.ones(len(first), bool)
        for other in others:
            agreed &= first == other
        return agreed, first


class PixelLattice:
    """The pixels of an image in three stages: every other pixel of every other row, and those between.

    Attributes:
        first: pixels of the first stage, as indices in the flat image.
        later: the second stage lies diagonally between pixels of the first, the third beside both.
    """

    def __init__(self, width: int, height: int) -> None:
        row, column = np.indices((height, width), dtype=np.intp)
        index = row * width + column
        # Rays of one tile pass the same parts of the scene, which are then in the processor's cache.
        order = np.lexsort([column.ravel(), row.ravel(), column.ravel() // _TILE, row.ravel() // _TILE])
        row, column = row.ravel()[order], column.ravel()[order]
        around = np.pad(index, 1, mode="reflect")

        def stage(chosen: NDArray[np.bool_], steps: tuple[tuple[int, int], ...]) -> LatticeStage:
            r, c = row[chosen], column[chosen]
            return LatticeStage(
                index[r, c], np.stack([around[r + 1 + down, c + 1 + right] for down, right in steps])
            )

        even_row, even_column = row % 2 == 0, column % 2 == 0
        first = even_row & even_column
        self.first = index[row[first], column[first]]
        self.later = (
            stage(~even_row & ~even_column, ((-1, -1), (-1, 1), (1, -1), (1, 1))),
            stage(even_row != even_column, ((-1, 0), (1, 0), (0, -1), (0, 1))),
        )
