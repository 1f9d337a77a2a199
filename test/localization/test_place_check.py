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

"""Comparison of layouts, on cells whose agreement is known."""

from __future__ import annotations

import numpy as np
import pytest

from scene_geo_loc.localization.retrieval.place_check import agreement

ROWS, COLUMNS, AXES = 10, 14, 64
Y, X = np.indices((ROWS, COLUMNS)) + 0.5
POSITIONS = ((X + 1j * Y) / COLUMNS).ravel()


def features(seed: int) -> np.ndarray:
    """Unit features (ROWS, COLUMNS, AXES) that are unlike each other."""
    values = np.random.default_rng(seed).normal(size=(ROWS, COLUMNS, AXES)).astype(np.float32)
    return values / np.linalg.norm(values, axis=2, keepdims=True)


def flat(values: np.ndarray) -> np.ndarray:
    return values.reshape(ROWS * COLUMNS, AXES)


def bits(*keyframes: np.ndarray) -> np.ndarray:
    return np.stack([np.packbits(flat(values) > 0, axis=1) for values in keyframes])


def test_the_same_image_agrees_in_all_cells_and_another_in_hardly_any() -> None:
    same, other = agreement(flat(features(0)), bits(features(0), features(1)), POSITIONS)
    assert same == pytest.approx(1.0)
    assert other < 0.1


def test_a_shifted_image_agrees_where_both_show_the_same() -> None:
    shifted = features(1)
    shifted[:, 4:] = features(0)[:, :-4]
    (share,) = agreement(flat(features(0)), bits(shifted), POSITIONS)
    assert share == pytest.approx(10 / 14, abs=0.1)


def test_an_image_of_another_scale_agrees() -> None:
    rows, columns = (np.arange(count) * 2 // 3 + 1 for count in (ROWS, COLUMNS))
    larger = features(0)[np.ix_(rows, columns)]
    (share,) = agreement(flat(larger), bits(features(0)), POSITIONS)
    (other,) = agreement(flat(features(1)), bits(features(0)), POSITIONS)
    assert share > 5 * other


def test_the_same_things_elsewhere_in_the_image_do_not_agree() -> None:
    shuffled = flat(features(0))[np.random.default_rng(3).permutation(ROWS * COLUMNS)]
    (share,) = agreement(shuffled, bits(features(0)), POSITIONS)
    assert share < 0.15


def test_it_is_the_same_each_time_and_of_each_keyframe_alone() -> None:
    keyframes = bits(features(0), features(1), features(0))
    noisy = features(0) + 0.15 * np.random.default_rng(5).normal(size=features(0).shape).astype(np.float32)
    first, second = (agreement(flat(noisy), keyframes, POSITIONS) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first[0] == pytest.approx(first[2], abs=0.05)
    assert first[0] > 3 * first[1]


def test_an_image_without_texture_agrees_with_nothing() -> None:
    shares = agreement(
        np.zeros((ROWS * COLUMNS, AXES), np.float32), bits(features(0), features(1)), POSITIONS
    )
    np.testing.assert_array_equal(shares, 0)
