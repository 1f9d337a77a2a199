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

"""Keyframes that stay within a budget, by what they support and by usefulness."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from counted_street import Street
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from scene_geo_loc.geometry.pose import make_pose
from scene_geo_loc.mapping.editing.pruning import FARTHEST, keyframes_within

UNKNOWN = np.nan


def street(*drives: list[float]) -> Any:
    """Returns a street with drives along x whose keyframes are at some metres."""
    made = Street(drives=tuple((f"drive {i}", len(x), 1000 * i) for i, x in enumerate(drives)))
    made.T_map_camera = np.array([make_pose(np.eye(3), (x, 0.0, 0.0)) for drive in drives for x in drive])
    return made


def test_the_even_drive_of_a_grown_map_stays_where_the_budget_is_its_own() -> None:
    """Later drives have keyframes in clumps, only where the first one did not suffice."""
    first = [10.0 * i for i in range(21)]
    clumps = [x + step for x in (23.0, 64.0, 126.0, 171.0) for step in (0.0, 1.0, 2.0, 3.0, 4.0)]
    grown = street(first, clumps, [x + 0.5 for x in clumps])
    for reach in (0.0, 6.0):
        kept, farthest = keyframes_within(grown, 21, reach_m=reach)
        assert kept.tolist() == list(range(21))
        assert farthest == pytest.approx(5.0)


def test_a_place_counts_once_in_each_light_whatever_its_number_of_keyframes() -> None:
    crowded = [0.2 * i for i in range(50)]
    lone = [100.0, 200.0, 300.0]
    kept, _ = keyframes_within(street(crowded, lone), 6, reach_m=5.0)
    assert {50, 51, 52} <= set(kept.tolist())


def test_places_come_before_lights_and_both_lights_stay_where_there_is_room() -> None:
    along = [20.0 * i for i in range(10)]
    two = street(along, along)
    few, farthest = keyframes_within(two, 10, reach_m=8.0)
    assert farthest == 0.0
    assert sorted(few % 10) == list(range(10))
    most, _ = keyframes_within(two, 19, reach_m=8.0)
    assert len(most) == 19


def test_near_duplicates_of_one_drive_go_before_keyframes_in_another_light() -> None:
    day = [float(x) for x in (0, 0.1, 20, 20.1, 40, 40.1)]
    kept, _ = keyframes_within(street(day, [0.0, 20.0, 40.0]), 6, reach_m=8.0)
    assert {6, 7, 8} <= set(kept.tolist())
    assert (kept[kept < 6] // 2).tolist() == [0, 1, 2]


def test_keyframes_that_look_elsewhere_are_other_places() -> None:
    turned = street([0.0, 0.0, 0.0, 0.0])
    half = make_pose(np.diag([-1.0, -1.0, 1.0]), (0.0, 0.0, 0.0))
    turned.T_map_camera[2:] = half
    kept, farthest = keyframes_within(turned, 2)
    assert kept.tolist() == [0, 2]
    assert farthest == pytest.approx(0.0)


def test_keyframes_of_no_use_go_first() -> None:
    usefulness = np.full(20, 5.0)
    usefulness[[3, 7, 15]] = [0.0, -2.0, -1.0]
    kept, farthest = keyframes_within(street(list(range(20))), 17, usefulness)
    assert set(range(20)) - set(kept.tolist()) == {3, 7, 15}
    assert farthest == pytest.approx(1.0)


def test_keyframes_of_no_use_go_first_where_others_crowd() -> None:
    crowded = [0.1 * i for i in range(40)]
    usefulness = np.full(40, 5.0)
    usefulness[[0, 20]] = 0.0
    kept, _ = keyframes_within(street(crowded), 38, usefulness, reach_m=6.0)
    assert set(range(40)) - set(kept.tolist()) == {0, 20}


def test_what_a_large_budget_has_left_is_spread() -> None:
    kept, farthest = keyframes_within(street([0.5 * i for i in range(200)]), 100, reach_m=8.0)
    assert farthest <= 1.5
    assert np.bincount(kept // 40).min() >= 15


def test_a_drive_of_no_use_goes_where_another_one_has_its_places() -> None:
    usefulness = np.append(np.full(10, 5.0), np.full(10, 0.0))
    two = street([float(x) for x in range(10)], [x + 0.5 for x in range(10)])
    kept, _ = keyframes_within(two, 10, usefulness)
    assert kept.tolist() == list(range(10))


def test_the_last_keyframe_of_a_place_stays_though_it_was_of_no_use() -> None:
    usefulness = np.append(np.full(20, 5.0), -3.0)
    kept, farthest = keyframes_within(street([*map(float, range(20)), 200.0]), 6, usefulness)
    assert kept[-1] == 20
    assert len(kept) <= 6
    assert farthest < 20


def test_the_most_useful_keyframe_of_a_neighbourhood_stays() -> None:
    usefulness = np.array([9.0, 2.0, 1.0, 8.0])
    kept, _ = keyframes_within(street([0.0, 0.1, 50.0, 50.1]), 2, usefulness)
    assert kept.tolist() == [0, 3]


def test_keyframes_of_which_nothing_is_known_are_kept_as_without_statistics() -> None:
    whole = street([0.1 * x * x for x in range(30)])
    without = keyframes_within(whole, 9)
    known_of_none = keyframes_within(whole, 9, np.full(30, UNKNOWN))
    np.testing.assert_array_equal(known_of_none[0], without[0])
    assert known_of_none[1] == pytest.approx(without[1])


def least_spacing(x: list[float], budget: int) -> float:
    """The least distance that leaves no more than a budget of keyframes, each away from those before it."""
    for spacing in sorted({abs(a - b) for a in x for b in x}):
        kept: list[float] = []
        for place in x:
            if all(abs(place - other) > spacing for other in kept):
                kept.append(place)
        if len(kept) <= budget:
            return spacing
    return 0.0


@settings(max_examples=40)
@given(
    st.lists(st.floats(0, 100), min_size=2, max_size=30),
    st.lists(st.floats(0, 100), min_size=1, max_size=20),
    st.integers(0, 10**6),
    st.floats(0.1, 1),
    st.floats(0, 20),
)
def test_every_keyframe_that_goes_has_one_near_it(
    first: list[float], second: list[float], seed: int, share: float, reach: float
) -> None:
    whole = street(first, second)
    usefulness = np.random.default_rng(seed).choice([UNKNOWN, -1.0, 0.0, 1.0, 7.0], len(whole))
    budget = max(1, int(share * len(whole)))
    kept, farthest = keyframes_within(whole, budget, usefulness, reach)
    assert len(kept) == len(set(kept.tolist())) == budget
    x = whole.T_map_camera[:, :1, 3]
    away = cKDTree(x[kept]).query(x)[0]
    assert away.max() == pytest.approx(farthest, abs=1e-6)
    assert farthest <= 1.02 * FARTHEST * least_spacing(x[:, 0].tolist(), budget) + 1e-6
