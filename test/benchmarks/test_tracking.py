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

"""Scores of a tracked run: gaps, calibration of covariances, and a kidnapped camera."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from scene_geo_loc.benchmarks.localization.run import localize_traversal
from scene_geo_loc.benchmarks.localization.tracking import gaps_of, kidnap, without_middle
from scene_geo_loc.geometry.lie import displaced
from scene_geo_loc.geometry.pose import Pose, inverse, make_pose
from scene_geo_loc.localization.estimate import LocalizerSettings, PoseEstimate, Status
from scene_geo_loc.localization.session import Session
from scene_geo_loc.localization.tracking.tracker import Tracker
from scene_geo_loc.localization.verification.rejection import Rejection, RejectionKind
from scene_geo_loc.metrics.covariance_calibration import covariance_calibration
from scene_geo_loc.metrics.pose_error import QueryRecord, summarize
from scene_geo_loc.traversals.frame import Frame, PassOver, read_all

pytestmark = pytest.mark.slow

T_ODOM_MAP = make_pose([[0, -1, 0], [1, 0, 0], [0, 0, 1]], (3.0, 4.0, 0.0))


@dataclass
class WithOdometry:
    """A traversal with a perfect odometry, in a frame of its own."""

    traversal: Any
    name: str = "walk"

    def __len__(self) -> int:
        return len(self.traversal)

    def frames(self, pass_over: PassOver = read_all) -> Iterator[Frame]:
        for frame in self.traversal.frames():
            yield replace(frame, T_odom_camera=T_ODOM_MAP @ frame.T_map_camera)


class Sure:
    """Knows the pose of each image to a few centimetres."""

    def __init__(self, localizer: Any) -> None:
        self.localizer, self.map, self.settings = localizer, None, localizer.settings

    def localize(self, *arguments: Any) -> PoseEstimate:
        estimate = self.localizer.localize(*arguments)
        if estimate.status is Status.LOCALIZED:
            estimate.covariance = np.diag([0.1**2] * 3 + [0.01**2] * 3)
        return estimate


def tracking(localizer: Any) -> Session:
    return Session(localizer, Tracker())


def at(i: int, status: Status, x: float) -> QueryRecord:
    T = make_pose(np.eye(3), (x, 0.0, 0.0))
    return QueryRecord(i * 10**8, status, T, T if status.has_pose else None)


def test_gaps_are_from_pose_to_pose_and_count_at_both_ends() -> None:
    localized, lost = Status.LOCALIZED, Status.LOST
    states = [lost, localized, Status.DEAD_RECKONED, lost, lost, localized, lost]
    gaps = gaps_of([at(i, status, x=2.0 * i) for i, status in enumerate(states)])
    assert (gaps.dead_reckoned, gaps.longest_s, gaps.longest_m) == (1, pytest.approx(0.3), pytest.approx(6.0))
    late = gaps_of([at(i, status, x=0.0) for i, status in enumerate([lost] * 5 + [localized])])
    assert (late.longest_s, late.longest_m) == (pytest.approx(0.5), 0.0)
    assert gaps_of([at(i, lost, x=float(i)) for i in range(4)]).longest_s == pytest.approx(0.3)


def test_a_way_that_is_not_known_is_not_told() -> None:
    records = [
        at(0, Status.LOCALIZED, 0.0),
        QueryRecord(10**9, Status.LOST, None),
        at(20, Status.LOCALIZED, 5.0),
    ]
    assert gaps_of(records).to_dict() == {"dead_reckoned": 0, "longest_gap_s": 2.0, "longest_gap_m": None}


def test_right_covariances_cover_as_often_as_they_say_and_small_ones_do_not() -> None:
    rng = np.random.default_rng(0)
    stated = np.diag([0.1, 0.2, 0.3, 0.01, 0.02, 0.01]) ** 2

    def records(covariance: np.ndarray) -> list[QueryRecord]:
        true = make_pose(np.eye(3), (1.0, 2.0, 3.0))
        offs = rng.multivariate_normal(np.zeros(6), stated, 1000)
        return [
            QueryRecord(i, Status.LOCALIZED, true, displaced(true, off), covariance=covariance)
            for i, off in enumerate(offs)
        ]

    right = covariance_calibration(records(stated))
    assert right is not None
    np.testing.assert_allclose([right.position, right.rotation, right.pose], 0.95, atol=0.025)
    too_sure = covariance_calibration(records(np.diag([0.25] * 3 + [1.0] * 3) * stated))
    assert too_sure is not None
    assert too_sure.position < 0.6
    assert too_sure.rotation > 0.92
    assert covariance_calibration([at(0, Status.LOCALIZED, 0.0)]) is None


def test_a_tracked_run_bridges_what_the_localizer_loses(localizer: Any, traversal: Any) -> None:
    records = list(localize_traversal(tracking(Sure(localizer)), WithOdometry(traversal)))  # type: ignore[arg-type]
    assert [record.status for record in records[:3]] == [Status.LOST, Status.LOST, Status.LOCALIZED]
    assert [record.status for record in records[20:25]] == [Status.DEAD_RECKONED] * 5
    assert records[35].status is Status.DEAD_RECKONED
    assert records[22].kind is RejectionKind.ODOMETRY_ONLY
    assert "0.3 s" in records[22].reason
    summary = summarize(records)
    assert (summary.localized, summary.wrong_fixes) == (38, 0)
    assert gaps_of(records).longest_s == pytest.approx(0.2)


def test_over_the_cut_stamps_and_odometry_go_on(traversal: Any) -> None:
    frames = list(without_middle(WithOdometry(traversal).frames(), 13, 26))
    assert len(frames) == 27
    assert np.diff([frame.stamp_ns for frame in frames]).tolist() == [10**8] * 26
    ways = [inverse(a.T_odom_camera) @ b.T_odom_camera for a, b in pairwise(frames)]
    np.testing.assert_allclose(ways, np.tile(ways[0], (26, 1, 1)), atol=1e-9)
    assert frames[13].T_map_camera[0, 3] - frames[12].T_map_camera[0, 3] == 14.0


def test_a_camera_that_is_without_middle_is_found_again(localizer: Any, traversal: Any) -> None:
    found = kidnap(tracking(Sure(localizer)), WithOdometry(traversal), wrong_fix_m=5.0)  # type: ignore[arg-type]
    assert found is not None
    assert found.to_dict() == {"away_m": 14.0, "recovered_s": pytest.approx(0.2), "wrong_poses": 0}


def test_where_it_is_never_found_again_the_wrong_poses_are_counted(traversal: Any) -> None:
    class Blind:
        """Sees nothing in the second half."""

        map, settings = None, LocalizerSettings()

        def localize(self, frame: Frame, *arguments: Any) -> PoseEstimate:
            i = int(frame.image[0, 0, 0])
            if i >= 20:
                return PoseEstimate(Status.LOST, rejection=Rejection(RejectionKind.UNKNOWN_PLACE, 0.0, 0.1))
            T: Pose = make_pose(np.eye(3), (float(i), 0.0, 0.0))
            return PoseEstimate(Status.LOCALIZED, T, np.diag([0.1**2] * 3 + [0.01**2] * 3))

    lost = kidnap(tracking(Blind()), WithOdometry(traversal), wrong_fix_m=5.0)  # type: ignore[arg-type]
    assert lost is not None
    assert (lost.recovered_s, lost.wrong_poses) == (None, 14)


def test_without_truth_nothing_is_told_of_carrying_away(localizer: Any, traversal: Any) -> None:
    traversal.has_truth = False
    assert kidnap(tracking(Sure(localizer)), traversal, wrong_fix_m=5.0) is None  # type: ignore[arg-type]
