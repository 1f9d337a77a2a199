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

"""Keyframes that stay within a budget, by spacing and by usefulness."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from counted_street import Street
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from scene_geo_loc.geometry.pose import make_pose
from scene_geo_loc.mapping.editing.pruning import USELESS_SPACING, keyframes_within

UNKNOWN = np.nan


def street(*drives: list[float]) -> Any:
    """Returns a street with drives along x whose keyframes are at some metres."""
    made = Street(drives=tuple((f"drive {i}", len(x), 1000 * i) for i, x in enumerate(drives)))
    made.T_map_camera = np.array([make_pose(np.eye(3), (x, 0.0, 0.0)) for drive in drives for x in drive])
    return made


def test_keyframes_of_no_use_go_first() -> None:
    usefulness = np.full(20, 5.0)
    usefulness[[3, 7, 15]] = [0.0, -2.0, -1.0]
    kept, spacing = keyframes_within(street(list(range(20))), 17, usefulness)
    assert set(range(20)) - set(kept.tolist()) == {3, 7, 15}
    assert spacing < 1.0


def test_a_drive_of_no_use_goes_where_another_one_has_its_places() -> None:
    usefulness = np.append(np.full(10, 5.0), np.full(10, 0.0))
    two = street([float(x) for x in range(10)], [x + 0.5 for x in range(10)])
    kept, _ = keyframes_within(two, 10, usefulness)
    assert kept.tolist() == list(range(10))


def test_the_last_keyframe_of_a_place_stays_though_it_was_of_no_use() -> None:
    usefulness = np.append(np.full(20, 5.0), -3.0)
    kept, _ = keyframes_within(street([*map(float, range(20)), 200.0]), 6, usefulness)
    assert kept[-1] == 20
    assert len(kept) <= 6


def test_the_most_useful_keyframe_of_a_neighbourhood_stays() -> None:
    usefulness = np.array([1.0, 9.0, 2.0, 1.0, 3.0, 8.0])
    kept, _ = keyframes_within(street([0.0, 1.0, 2.0, 50.0, 51.0, 52.0]), 2, usefulness)
    assert kept.tolist() == [1, 5]


def test_keyframes_of_which_nothing_is_known_are_thinned_as_without_statistics() -> None:
    whole = street([0.1 * x * x for x in range(30)])
    without = keyframes_within(whole, 9)
    known_of_none = keyframes_within(whole, 9, np.full(30, UNKNOWN))
    np.testing.assert_array_equal(known_of_none[0], without[0])
    assert known_of_none[1] == pytest.approx(without[1])


@settings(max_examples=40)
@given(
    st.lists(st.floats(0, 100), min_size=2, max_size=30),
    st.lists(st.floats(0, 100), min_size=1, max_size=20),
    st.integers(0, 10**6),
    st.floats(0.1, 1),
)
def test_every_keyframe_that_goes_has_one_near_it(
    first: list[float], second: list[float], seed: int, share: float
) -> None:
    whole = street(first, second)
    usefulness = np.random.default_rng(seed).choice([UNKNOWN, -1.0, 0.0, 1.0, 7.0], len(whole))
    budget = max(2, int(share * len(whole)))
    kept, spacing = keyframes_within(whole, budget, usefulness)
    assert 1 <= len(kept) <= budget
    x = whole.T_map_camera[:, :1, 3]
    away = cKDTree(x[kept]).query(x)[0]
    assert away.max() <= USELESS_SPACING * spacing + 1e-9
