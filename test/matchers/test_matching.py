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

"""Mutual nearest neighbours."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scene_geo_loc.matchers.features import mutual_nearest


def unit(seed: int, count: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_a_permutation_is_found_whole() -> None:
    features = unit(0, 50)
    order = np.random.default_rng(1).permutation(50)
    in_query, in_reference = mutual_nearest(features[order] @ features.T)
    np.testing.assert_array_equal(in_query, np.arange(50))
    np.testing.assert_array_equal(in_reference, order)


def test_a_feature_whose_nearest_prefers_another_has_no_match() -> None:
    reference = np.array([[1, 0]], np.float32)
    query = np.array([[1, 0], [0.8, 0.6]], np.float32)
    in_query, in_reference = mutual_nearest(query @ reference.T)
    assert in_query.tolist() == [0]
    assert in_reference.tolist() == [0]


@given(st.integers(0, 1000), st.integers(1, 30), st.integers(1, 30))
def test_matches_are_one_to_one_and_the_same_from_both_sides(seed: int, m: int, n: int) -> None:
    query, reference = unit(seed, m), unit(seed + 1, n)
    pairs = set(zip(*mutual_nearest(query @ reference.T), strict=True))
    assert pairs == {(q, r) for r, q in zip(*mutual_nearest((query @ reference.T).T), strict=True)}
    assert len({q for q, _ in pairs}) == len({r for _, r in pairs}) == len(pairs) >= 1


def test_each_group_of_rows_is_matched_as_if_alone() -> None:
    query = unit(2, 40)
    groups = [unit(3, 25), unit(4, 0), unit(5, 31)]
    rows, columns = mutual_nearest(np.concatenate(groups) @ query.T, [25, 25, 56])
    alone = [mutual_nearest(group @ query.T) for group in groups]
    np.testing.assert_array_equal(rows, np.concatenate([alone[0][0], alone[2][0] + 25]))
    np.testing.assert_array_equal(columns, np.concatenate([alone[0][1], alone[2][1]]))
