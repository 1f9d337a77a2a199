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

"""Series of poses that are added one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scene_geo_loc.geometry.pose_series import PoseSeries

SECOND = 10**9
NO_TURN = (0.0, 0.0, 0.0, 1.0)


def test_a_series_is_sorted_and_of_one_stamp_the_last_pose_counts() -> None:
    series = PoseSeries()
    for stamp, x in ((30, 3.0), (10, 1.0), (30, 4.0), (20, 2.0)):
        assert series.add(stamp, (x, 0, 0), NO_TURN)
    trajectory = series.trajectory()
    assert trajectory.stamps_ns.tolist() == [10, 20, 30]
    assert trajectory.poses[:, 0, 3].tolist() == [1.0, 2.0, 4.0]
    assert len(PoseSeries().trajectory()) == 0


def test_poses_between_two_look_ups_are_taken_in() -> None:
    series = PoseSeries()
    for second in range(4):
        assert series.add(second * SECOND, (second, 0, 0), NO_TURN)
        poses, known = series.at_many(np.array([second * SECOND, second * SECOND + 1]))
        assert known.tolist() == [True, False]
        assert poses[0, 0, 3] == second


def test_a_look_up_does_not_depend_on_the_poses_further_away() -> None:
    rng = np.random.default_rng(0)
    series = PoseSeries()
    for i in range(50):
        quaternion = rng.normal(size=4)
        series.add(i * SECOND // 10, rng.normal(size=3), quaternion / np.linalg.norm(quaternion))
    stamps = rng.integers(0, 5 * SECOND, 100)
    poses, known = series.at_many(stamps)
    expected, expected_known = series.trajectory().at_many(stamps)
    np.testing.assert_array_equal(known, expected_known)
    np.testing.assert_array_equal(poses, expected)


def known_at(seconds: list[float], xs: list[float], at: float) -> float | None:
    series = PoseSeries()
    for second, x in zip(seconds, xs, strict=True):
        assert series.add(round(second * SECOND), (x, 0, 0), NO_TURN)
    poses, known = series.at_many(np.array([round(at * SECOND)]))
    return float(poses[0, 0, 3]) if known[0] else None


def test_slow_transforms_are_interpolated_over_their_usual_distance() -> None:
    seconds = [0.0, 1.0, 2.003, 2.998, 4.001]
    assert known_at(seconds, [0, 3, 6, 9, 12], 1.5) == pytest.approx(4.5, abs=0.01)
    slow = [0.0, 2.0, 4.0, 6.0, 10.5]
    assert known_at(slow, [0, 2, 4, 6, 15], 8.25) == pytest.approx(10.5)
    # Further apart than 5 s, or than 2.5 times what is usual, they may have moved in any way between.
    assert known_at([0, 6, 12, 18, 24], [0, 1, 2, 3, 4], 9.0) is None
    assert known_at([0, 0.1, 0.2, 0.3, 1.4], [0, 1, 2, 3, 4], 0.9) is None


def test_a_transform_that_hardly_changes_is_held_over_longer_gaps() -> None:
    assert known_at([0, 6, 12, 18, 24], [0, 0.1, 0.2, 0.3, 0.4], 9.0) == pytest.approx(0.15)
    assert known_at([0, 60], [1, 1], 30.0) == 1.0
    # A fast transform that stops may have been anywhere until it goes on.
    assert known_at([0, 0.1, 0.2, 0.3, 5.0], [0, 0, 0, 0, 0], 3.0) is None


@pytest.mark.parametrize(
    ("translation", "quaternion"),
    [
        ((np.nan, 0, 0), NO_TURN),
        ((1e308, 0, 0), NO_TURN),
        ((0, 0, 0), (0, 0, 0, 0)),
        ((0, 0, 0), (0, 0, 0, 1.02)),
        ((0, 0, 0), (0, np.inf, 0, 1)),
    ],
)
def test_what_is_no_pose_is_refused(translation: Any, quaternion: Any) -> None:
    series = PoseSeries()
    assert not series.add(0, translation, quaternion)
    assert len(series) == 0


def test_memory_is_bounded_without_a_look_up() -> None:
    series = PoseSeries(cache_s=1.0)
    for i in range(5000):
        series.add(i * SECOND // 10, (i, 0, 0), NO_TURN)
    assert len(series) < 1100
    assert len(series.trajectory()) == 11


@pytest.mark.parametrize("stray_s", [3600, -3600])
def test_one_wrong_stamp_does_not_drop_the_others(stray_s: int) -> None:
    series = PoseSeries(cache_s=5.0)
    for i in range(40):
        series.add(i * SECOND // 10, (i, 0, 0), NO_TURN)
    series.add(4 * SECOND + stray_s * SECOND, (0, 0, 0), NO_TURN)
    for i in range(40, 50):
        series.add(i * SECOND // 10, (i, 0, 0), NO_TURN)
        assert series.at_many(np.array([2 * SECOND, i * SECOND // 10]))[1].all()
    assert series.trajectory().stamps_ns.max() < 10 * SECOND


def test_after_a_jump_of_the_stamps_the_series_goes_on_from_there() -> None:
    series = PoseSeries(cache_s=5.0)
    for first_s in (0, 1000, 50):
        for i in range(5):
            series.add(first_s * SECOND + i, (i, 0, 0), NO_TURN)
        assert series.at_many(np.array([first_s * SECOND + 4]))[1].all()
