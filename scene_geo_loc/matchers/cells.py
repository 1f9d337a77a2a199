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

"""The cells of a keyframe that a map keeps, and their features in four bits a number."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.matchers.features import unit

BLOCK = 2
"""Side of the blocks of cells that the kept cells are spread over."""

_CLIP = 3.0
"""Larger numbers than this multiple of their feature's root mean square are cut off."""

_LARGEST = 7
"""Numbers are stored as integers from -7 to 7, plus 8."""

_UNPACKED = np.stack([np.arange(256) & 15, np.arange(256) >> 4], axis=1).astype(np.float32) - 8
"""Both numbers of a byte."""


def choose_cells(features: NDArray[np.float32], known: NDArray[np.bool_], count: int) -> NDArray[np.intp]:
    """Returns at most `count` cells with depth, the most distinct ones of each block first.

    A cell is distinct where its feature differs from those of the cells beside it: there the top of the
    similarities is sharp, and a match is precise.  First comes one cell of each block, then a second one.

    Args:
        features: (rows, columns, C) of unit length.
        known: (cells,) whether the depth of a cell is known.
        count: largest number of cells.
    """
    rows, columns = features.shape[:2]
    distinctness = np.where(known, -_similarity_to_neighbours(features).ravel(), -np.inf)
    blocks_of = (np.arange(rows) // BLOCK)[:, None] * columns + np.arange(columns) // BLOCK
    order = np.lexsort((-distinctness, blocks_of.ravel()))
    block = blocks_of.ravel()[order]
    rank = np.empty(len(order), np.intp)
    rank[order] = np.arange(len(order)) - np.searchsorted(block, block)
    chosen = np.lexsort((-distinctness, rank))
    return chosen[known[chosen]][:count]


def _similarity_to_neighbours(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the mean cosine (rows, columns) of each cell's feature with those of the cells beside it."""
    rows, columns = features.shape[:2]
    total, count = np.zeros((2, rows, columns), np.float32)
    for one, other in (
        ((slice(None), slice(1, None)), (slice(None), slice(-1))),
        ((slice(1, None), slice(None)), (slice(-1), slice(None))),
    ):
        cosine = (features[one] * features[other]).sum(axis=-1)
        for cells in (one, other):
            total[cells] += cosine
            count[cells] += 1
    return np.asarray(total / np.maximum(count, 1), np.float32)


def pack(features: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Returns the directions of features (N, C) as bytes (N, C/2, rounded up), two numbers in each."""
    if features.shape[1] % 2:
        features = np.pad(features, ((0, 0), (0, 1)))
    root_mean_square = np.sqrt((features**2).mean(axis=1, keepdims=True))
    largest = np.minimum(np.abs(features).max(axis=1, keepdims=True), _CLIP * root_mean_square)
    scaled = np.round(features * ((_LARGEST + 0.5) / np.maximum(largest, 1e-9)))
    numbers = (np.clip(scaled, -_LARGEST, _LARGEST) + _LARGEST + 1).astype(np.uint8)
    return numbers[:, ::2] | numbers[:, 1::2] << 4


def unpack(packed: NDArray[np.uint8], channels: int) -> NDArray[np.float32]:
    """Returns unit features (N, C) from bytes (N, C/2, rounded up), the inverse of `pack`."""
    return unit(_UNPACKED.take(packed, axis=0).reshape(len(packed), 2 * packed.shape[1])[:, :channels])
