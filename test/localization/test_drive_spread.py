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

"""Candidates of several drives of a map."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from counted_street import Street
from hypothesis import given, settings
from hypothesis import strategies as st

from scene_geo_loc.localization.retrieval.drive_spread import DriveSpread

QUERY = np.ones(1, np.float32)


class Index:
    """Compares numbers in place of descriptors."""

    def __init__(self, cosines: Any) -> None:
        self.cosines = np.asarray(cosines, np.float32)
        self.searches = 0

    def search(self, descriptor: Any, count: int, among: Any = None) -> tuple[np.ndarray, np.ndarray]:
        self.searches += 1
        rows = np.arange(len(self.cosines)) if among is None else np.asarray(among)
        best = rows[np.argsort(-self.cosines[rows], kind="stable")[:count]]
        return best, self.cosines[best]


def spread_over(*drives: Any) -> tuple[DriveSpread, Index]:
    """Returns what spreads over drives whose keyframes are as similar to the image as the numbers."""
    street: Any = Street(drives=tuple((f"drive {i}", len(d), 1000 * i) for i, d in enumerate(drives)))
    street.index = Index(np.concatenate(drives))
    return DriveSpread(street), street.index


NIGHT, DAY = np.linspace(0.9, 0.6, 40), np.linspace(0.5, 0.1, 40)


def test_a_place_that_is_there_by_day_only_has_candidates_by_night() -> None:
    spread, _ = spread_over(NIGHT, DAY)
    keyframes, cosines = spread.search(QUERY, 20, None, 10, 0.3)
    assert keyframes.tolist() == [*range(14), *range(40, 46)]
    assert (np.diff(cosines) <= 0).all()
    assert keyframes[spread.choose(keyframes, 10, 0.3)].tolist() == [*range(7), 40, 41, 42]


def test_nothing_changes_where_the_drives_look_alike_or_there_is_one() -> None:
    for drives in ((NIGHT, NIGHT), (NIGHT,)):
        spread, index = spread_over(*drives)
        keyframes, _ = spread.search(QUERY, 20, None, 10, 0.3)
        np.testing.assert_array_equal(keyframes, index.search(QUERY, 20)[0])
        assert spread.choose(keyframes, 10, 0.3).tolist() == list(range(10))
        assert index.searches == 2  # one of the spread, and one of this test


@pytest.mark.parametrize("share", [0.0, 0.09])
def test_a_share_of_none_is_plain_ranking(share: float) -> None:
    spread, _ = spread_over(NIGHT, DAY)
    assert spread.choose(np.arange(60), 10, share).tolist() == list(range(10))


def test_a_prior_restricts_the_other_drives_too() -> None:
    spread, _ = spread_over(NIGHT, DAY)
    among = np.array([5, 6, 7, 8, 9, 10, 11, 50, 60])
    keyframes, _ = spread.search(QUERY, 6, among, 6, 0.5)
    assert sorted(keyframes.tolist()) == [5, 6, 7, 8, 50, 60]
    alone, _ = spread.search(QUERY, 6, among[:7], 6, 0.5)
    assert alone.tolist() == [5, 6, 7, 8, 9, 10]


def test_a_map_too_large_for_a_second_search_is_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scene_geo_loc.localization.retrieval.drive_spread.LARGEST_MAP", 79)
    spread, index = spread_over(NIGHT, DAY)
    assert spread.search(QUERY, 20, None, 10, 0.3)[0].tolist() == list(range(20))
    assert index.searches == 1


@settings(max_examples=50)
@given(
    st.lists(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=15), min_size=1, max_size=4),
    st.integers(1, 12),
    st.floats(0, 1),
)
def test_the_best_of_the_main_drive_and_of_the_others_are_chosen(
    drives: list[list[float]], count: int, share: float
) -> None:
    spread, index = spread_over(*drives)
    ranked = np.argsort(-index.cosines, kind="stable")
    chosen = spread.choose(ranked, count, share)
    assert len(chosen) == min(count, len(ranked))
    assert (np.diff(chosen) > 0).all()
    drive = np.repeat(np.arange(len(drives)), [len(d) for d in drives])[ranked]
    main = np.bincount(drive[:count]).argmax()
    others = np.flatnonzero(drive != main)
    taken = int((drive[chosen] != main).sum())
    assert taken >= min(int(share * count), len(others))
    assert set(others[:taken]) <= set(chosen.tolist())
