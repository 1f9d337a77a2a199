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

"""Subsets of a traversal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.traversals.subset import WHOLE, Subset

STAMPS = st.lists(st.integers(0, 10**12), min_size=0, max_size=50, unique=True).map(
    lambda stamps: np.array(sorted(stamps), np.int64)
)


@given(STAMPS, st.integers(1, 7))
def test_the_offsets_of_every_n_share_the_frames_out_without_a_rest(stamps: Any, every: Any) -> None:
    shares = [Subset(every, offset).select(stamps) for offset in range(every)]
    assert sorted(np.concatenate(shares).tolist()) == list(range(len(stamps)))


@given(STAMPS, st.floats(0, 1000), st.floats(0, 1000))
def test_a_span_holds_the_frames_between_its_seconds(stamps: Any, a: Any, b: Any) -> None:
    subset = Subset(start=min(a, b), end=max(a, b))
    seconds = (stamps - (stamps[0] if len(stamps) else 0)) / 1e9
    inside = set(subset.select(stamps).tolist())
    for i, second in enumerate(seconds):
        if min(a, b) + 1e-6 < second < max(a, b) - 1e-6:
            assert i in inside
        elif not min(a, b) - 1e-6 <= second <= max(a, b) + 1e-6:
            assert i not in inside


def test_the_whole_is_every_frame() -> None:
    assert WHOLE.select(np.arange(5)).tolist() == [0, 1, 2, 3, 4]


def test_scans_somewhat_around_the_span_belong_to_it() -> None:
    first, last = Subset(start=10.0, end=20.0).span(np.array([10**12, 2 * 10**12]))
    assert (first, last) == (10**12 - 50 * 10**9, 10**12 + 80 * 10**9)


@pytest.mark.parametrize("numbers", [{"every": 0}, {"offset": -1}, {"start": 5.0, "end": 4.0}])
def test_numbers_that_select_nothing_sensible_are_refused(numbers: Any) -> None:
    with pytest.raises(TraversalError):
        Subset(**numbers)
