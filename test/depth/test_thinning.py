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

"""Scans of a dense lidar that are left out."""

from __future__ import annotations

import numpy as np
import pytest

from scene_geo_loc.depth.thinning import MAX_POINTS, ScanThinning
from scene_geo_loc.depth.window import LOOKED_AT
from scene_geo_loc.traversals.frame import Scan


def kept(thinning: ScanThinning, points: int, rate_hz: float, count: int = 200) -> list[int]:
    """Numbers of the scans of a lidar that are not passed over."""
    numbers = []
    for i in range(count):
        if not thinning.pass_over():
            numbers.append(i)
            thinning.look_at(Scan(round(i * 1e9 / rate_hz), np.broadcast_to(0.0, (points, 3))))
    return numbers


@pytest.mark.parametrize(
    ("points", "rate_hz", "every"), [(10_000, 10, 1), (28_000, 10, 2), (28_000, 20, 4), (130_000, 10, 9)]
)
def test_as_many_scans_are_kept_as_give_enough_points(points: int, rate_hz: float, every: int) -> None:
    numbers = kept(ScanThinning(), points, rate_hz)
    assert numbers[:LOOKED_AT] == list(range(LOOKED_AT))
    assert set(np.diff(numbers[LOOKED_AT:])) == {every}
    assert every == 1 or MAX_POINTS <= 3 * rate_hz * points / every < 2 * MAX_POINTS


def test_lines_of_a_pushbroom_are_all_needed() -> None:
    assert len(kept(ScanThinning(), 541, 5000)) == 200
    assert len(kept(ScanThinning(is_spinning=False), 130_000, 10)) == 200
    assert len(kept(ScanThinning(is_spinning=True), 541, 5000)) < 200


def test_scans_of_one_time_are_all_kept() -> None:
    thinning = ScanThinning()
    for _ in range(50):
        assert not thinning.pass_over()
        thinning.look_at(Scan(7, np.zeros((100_000, 3))))
