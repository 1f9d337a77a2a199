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

"""The reach of keyframes, measured by localizing some of them by single others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pytest
from counted_street import Street
from numpy.typing import NDArray

from scene_geo_loc.geometry.pose import make_pose
from scene_geo_loc.localization.estimate import PoseEstimate, Status
from scene_geo_loc.localization.keyframe_queries.keyframe_reach import reach_of


class FoundStreet(Street):
    """A street whose keyframes around a point can be looked up."""

    def within(self, point: NDArray[np.float64], radius_m: float) -> NDArray[np.int64]:
        away = np.linalg.norm(self.T_map_camera[:, :3, 3] - point, axis=1)
        return np.flatnonzero(away <= radius_m)


class ReachingLocalizer:
    """Localizes a keyframe rightly by others within some metres, and 2 m off by those farther away."""

    def __init__(self, reach_m: float, *drives: list[float]) -> None:
        self.map = FoundStreet(drives=tuple((f"drive {i}", len(x), 1000 * i) for i, x in enumerate(drives)))
        self.map.T_map_camera = np.array(
            [make_pose(np.eye(3), (x, 0.0, 0.0)) for drive in drives for x in drive]
        )
        self.reach_m = reach_m
        self.asked = 0

    def localize_keyframe(self, keyframe: int, others: Sequence[int]) -> PoseEstimate:
        self.asked += 1
        (other,) = others
        assert other != keyframe
        T_map_base = self.map.T_map_camera[keyframe].copy()
        off = abs(T_map_base[0, 3] - self.map.T_map_camera[other][0, 3])
        if off > self.reach_m:
            T_map_base[0, 3] += 2.0
        return PoseEstimate(Status.LOCALIZED, T_map_base)


def reach(localizer: ReachingLocalizer) -> float:
    """The reach of a stand-in."""
    return reach_of(cast("Any", localizer))


def test_the_reach_is_the_distance_up_to_which_single_keyframes_localize() -> None:
    localizer = ReachingLocalizer(6.4, [float(x) for x in range(60)])
    assert reach(localizer) == pytest.approx(6.0)
    assert localizer.asked <= 40 * 7  # by bisection


def test_only_keyframes_of_the_same_drive_are_asked() -> None:
    along = [3.0 * x for x in range(30)]
    assert reach(ReachingLocalizer(6.4, along, [x + 0.5 for x in along])) == pytest.approx(6.0)


def test_keyframes_farther_apart_than_they_reach_have_none() -> None:
    assert reach(ReachingLocalizer(6.4, [10.0 * x for x in range(30)])) == 0.0
    assert reach(ReachingLocalizer(6.4, [0.0])) == 0.0
