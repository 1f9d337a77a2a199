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

"""Comparison of layouts, on keypoints whose agreement is known."""

from __future__ import annotations

import numpy as np
import pytest

from scene_geo_loc.localization.retrieval.place_check import agreement
from scene_geo_loc.mapping.search.place_keypoints import PlaceKeypoints

ROWS, COLUMNS, AXES = 10, 14, 64
Y, X = np.indices((ROWS, COLUMNS)) + 0.5
PLACES = ((X + 1j * Y) / COLUMNS).ravel()


def features(seed: int) -> np.ndarray:
    """Unit features (ROWS, COLUMNS, AXES) that are unlike each other."""
    values = np.random.default_rng(seed).normal(size=(ROWS, COLUMNS, AXES)).astype(np.float32)
    return values / np.linalg.norm(values, axis=2, keepdims=True)


def shares(query: np.ndarray, *keyframes: np.ndarray, rows: slice = slice(None)) -> np.ndarray:
    """Agreement of features on the grid with the signs of others; `rows` of the query are compared."""
    signs = np.stack([np.packbits(flat(values) > 0, axis=1) for values in keyframes])
    asked = PlaceKeypoints(flat(query)[rows], PLACES[rows])
    return agreement(asked, signs, np.tile(PLACES, (len(keyframes), 1)))


def flat(values: np.ndarray) -> np.ndarray:
    return values.reshape(ROWS * COLUMNS, AXES)


def test_the_same_image_agrees_in_all_cells_and_another_in_hardly_any() -> None:
    same, other = shares(features(0), features(0), features(1))
    assert same == pytest.approx(1.0)
    assert other < 0.1


def test_a_shifted_image_agrees_where_both_show_the_same() -> None:
    shifted = features(1)
    shifted[:, 4:] = features(0)[:, :-4]
    (share,) = shares(features(0), shifted)
    assert share == pytest.approx(10 / 14, abs=0.1)


def test_an_image_of_another_scale_agrees() -> None:
    rows, columns = (np.arange(count) * 2 // 3 + 1 for count in (ROWS, COLUMNS))
    larger = features(0)[np.ix_(rows, columns)]
    (share,) = shares(larger, features(0))
    (other,) = shares(features(1), features(0))
    assert share > 5 * other


def test_the_same_things_elsewhere_in_the_image_do_not_agree() -> None:
    shuffled = flat(features(0))[np.random.default_rng(3).permutation(ROWS * COLUMNS)]
    (share,) = shares(shuffled, features(0))
    assert share < 0.15


def test_it_is_the_same_each_time_and_of_each_keyframe_alone() -> None:
    keyframes = (features(0), features(1), features(0))
    noisy = features(0) + 0.15 * np.random.default_rng(5).normal(size=features(0).shape).astype(np.float32)
    first, second = (shares(noisy, *keyframes) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first[0] == pytest.approx(first[2], abs=0.05)
    assert first[0] > 3 * first[1]


def test_keypoints_need_not_be_at_the_same_places_nor_as_many() -> None:
    order = np.random.default_rng(2).permutation(ROWS * COLUMNS)[:100]
    signs = np.packbits(flat(features(0))[order] > 0, axis=1)
    query = PlaceKeypoints(flat(features(0))[:80], PLACES[:80])
    (share,) = agreement(query, signs[None], PLACES[order][None])
    assert share == pytest.approx(np.mean(order < 80) * 100 / 80, abs=0.02)


def test_an_image_without_texture_or_keypoints_agrees_with_nothing() -> None:
    black = np.zeros((ROWS, COLUMNS, AXES), np.float32)
    np.testing.assert_array_equal(shares(black, features(0), features(1)), 0)
    np.testing.assert_array_equal(shares(features(0), features(0), rows=slice(0)), 0)
