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

"""Lines of the streets that panoramas were taken along, from their positions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial import cKDTree

LONGEST_M = 75.0
"""Longest distance between neighbours along a street; panoramas are 10 to 50 m apart."""
MIN_VIEWS = 3
"""Fewest keyframes at one place that are views of a panorama rather than images of a rig."""
_SAME_PLACE_M = 1e-3


def panorama_positions(keyframe_positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the positions (P, 3) of the panoramas whose views are the keyframes of a map.

    Args:
        keyframe_positions: (N, 3) metres.

    Returns (0, 3) where the keyframes are not views of panoramas: fewer than `MIN_VIEWS` share a position.
    """
    cells = np.round(keyframe_positions / _SAME_PLACE_M).astype(np.int64)
    _, first = np.unique(cells, axis=0, return_index=True)
    if not len(first) or len(keyframe_positions) < MIN_VIEWS * len(first):
        return np.zeros((0, 3))
    return keyframe_positions[np.sort(first)]


def street_lines(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns segments (S, 2, 3) between neighbouring panoramas at positions (P, 3).

    They are the shortest lines that connect all panoramas, without those longer than `LONGEST_M`; a street
    that is a loop is therefore open at one place.
    """
    pairs = cKDTree(positions).query_pairs(LONGEST_M, output_type="ndarray") if len(positions) else []
    if not len(pairs):
        return np.zeros((0, 2, 3))
    a, b = np.asarray(pairs).T
    # Two panoramas at one place are still connected: the tree ignores edges of length 0.
    lengths = np.maximum(np.linalg.norm(positions[a] - positions[b], axis=1), _SAME_PLACE_M)
    tree = minimum_spanning_tree(csr_matrix((lengths, (a, b)), shape=(len(positions),) * 2)).tocoo()
    return np.stack([positions[tree.row], positions[tree.col]], axis=1)
