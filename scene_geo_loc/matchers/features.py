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

"""Local features and their matches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class LocalFeatures(NamedTuple):
    """Local features of an image.

    Attributes:
        pixels: (N, 2) positions in pixels of the network's input, also where they were detected in another
            image size, so that errors in pixels are comparable between matchers.
        descriptors: (N, C) float32 of unit length.
    """

    pixels: NDArray[np.float64]
    descriptors: NDArray[np.float32]


class Matched(NamedTuple):
    """Matches of a query's features with a keyframe's.

    Attributes:
        query_pixels: (M, 2) in pixels of the network's input; finer than the features' own positions where
            the matcher interpolates.
        reference: (M,) rows of the keyframe's features.
    """

    query_pixels: NDArray[np.float64]
    reference: NDArray[np.intp]


def mutual_nearest(
    similarity: NDArray[np.float32], ends: Sequence[int] = ()
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Returns rows and columns of a matrix (M, N) of similarities that are each other's best.

    The bidirectional test of Perspective-n-Learned-Point, section 3.2.

    Args:
        ends: rows that end groups, each of which is matched on its own, the last one being M; none for one
            group.
    """
    if similarity.size == 0:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    best_column = similarity.argmax(axis=1)
    greatest_of_row = similarity[np.arange(len(similarity)), best_column]
    is_mutual, start = np.zeros(len(similarity), bool), 0
    for end in ends or (len(similarity),):
        group = slice(start, end)
        # Along columns, numpy's max is nine times as fast as its argmax.
        if end > start:
            greatest_of_column = similarity[group].max(axis=0)
            is_mutual[group] = greatest_of_row[group] == greatest_of_column[best_column[group]]
        start = end
    rows = np.flatnonzero(is_mutual)
    return rows, best_column[rows]


def unit(vectors: NDArray) -> NDArray[np.float32]:
    """Returns vectors (..., C) scaled to unit length."""
    single = np.asarray(vectors, np.float32)
    length = np.sqrt(np.einsum("...c,...c->...", single, single))[..., None]
    return single / np.maximum(length, np.float32(1e-9))
