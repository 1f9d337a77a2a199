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

"""Summary of a run: the records that it counts and those that it leaves out."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from scene_geo_loc.geometry.pose import Pose, make_pose
from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.localization.verification.rejection import Rejection, RejectionKind
from scene_geo_loc.metrics.pose_error import QueryRecord, errors_of, group_rejections, summarize

HERE = make_pose(Rotation.from_euler("z", 40, degrees=True).as_matrix(), (3.0, -2.0, 1.0))


def off_by(metres: float, degrees: float) -> Pose:
    """A pose that differs from HERE by a known distance and angle."""
    turn = Rotation.from_rotvec(np.radians(degrees) * np.array([0.6, 0.0, 0.8])).as_matrix()
    return make_pose(HERE[:3, :3] @ turn, HERE[:3, 3] + metres * np.array([0.0, 0.6, 0.8]))


def localized(metres: float, degrees: float = 0.0, latency_ms: float | None = 10.0) -> QueryRecord:
    return QueryRecord(0, Status.LOCALIZED, HERE, off_by(metres, degrees), latency_ms)


def missed(status: Status = Status.LOST) -> QueryRecord:
    return QueryRecord(0, status, HERE, rejection=Rejection(RejectionKind.INLIER_RATIO, 0.1, 0.13))


def test_the_record_has_exactly_the_agreed_keys() -> None:
    record = summarize([localized(0.1)]).to_dict()
    assert list(record) == [
        "queries",
        "localized",
        "localized_share",
        "position_median_m",
        "position_p95_m",
        "rotation_median_deg",
        "rotation_p95_deg",
        "within",
        "wrong_fixes",
        "latency_ms",
    ]
    assert list(record["within"]) == ["0.1 m 5°", "0.25 m 2°", "0.5 m 5°", "5 m 10°"]
    assert list(record["latency_ms"]) == ["p50", "p95"]
    assert json.loads(json.dumps(record)) == record


def test_errors_are_the_distance_and_the_angle_to_the_truth() -> None:
    position, rotation = errors_of([localized(0.25, 3.0), missed()])
    assert position[0] == pytest.approx(0.25)
    assert rotation[0] == pytest.approx(3.0)
    assert np.isnan(position[1])
    assert np.isnan(rotation[1])


def test_medians_are_over_the_localized_queries_and_shares_over_all() -> None:
    records = [
        localized(0.05, 1.0),
        localized(0.2, 1.0),
        localized(0.4, 4.0),
        missed(),
        missed(Status.RETRIEVED_ONLY),
    ]
    summary = summarize(records)
    assert (summary.queries, summary.localized, summary.localized_share) == (5, 3, 0.6)
    assert summary.position_median_m == pytest.approx(0.2)
    assert summary.rotation_median_deg == pytest.approx(1.0)
    shares: Sequence[float | None] = list(summary.within.values())
    assert shares == pytest.approx([0.2, 0.4, 0.6, 0.6])


def test_a_share_needs_both_position_and_rotation_within_bounds() -> None:
    assert summarize([localized(0.01, 9.0)]).within == {
        "0.1 m 5°": 0.0,
        "0.25 m 2°": 0.0,
        "0.5 m 5°": 0.0,
        "5 m 10°": 1.0,
    }


def test_a_retrieved_pose_is_no_answer_even_where_one_is_given() -> None:
    retrieved = QueryRecord(0, Status.RETRIEVED_ONLY, HERE, off_by(40.0, 0.0))
    summary = summarize([retrieved, localized(0.1)])
    assert summary.localized == 1
    assert summary.wrong_fixes == 0


def test_wrong_fixes_are_localized_poses_beyond_a_threshold_that_can_be_set() -> None:
    records = [localized(0.4), localized(0.6), localized(5.1), missed()]
    assert summarize(records).wrong_fixes == 1
    assert summarize(records, wrong_fix_m=0.5).wrong_fixes == 2


def test_queries_without_truth_are_left_out_and_counted_as_such() -> None:
    unknown = QueryRecord(0, Status.LOCALIZED, None, HERE, latency_ms=1e6)
    summary = summarize([unknown, localized(0.1), unknown])
    assert (summary.queries, summary.without_truth) == (1, 2)
    assert summary.latency_p95_ms == pytest.approx(10.0)


def test_where_there_is_nothing_to_measure_the_record_says_null() -> None:
    nothing = summarize([]).to_dict()
    assert nothing["queries"] == 0
    assert nothing["localized_share"] is None
    assert set(nothing["within"].values()) == {None}
    all_lost = summarize([missed(), missed(Status.UNANSWERED)]).to_dict()
    assert all_lost["localized_share"] == 0.0
    assert all_lost["position_median_m"] is None
    assert all_lost["latency_ms"] == {"p50": None, "p95": None}


def test_latency_counts_every_answered_query_lost_ones_too() -> None:
    lost = QueryRecord(0, Status.LOST, HERE, latency_ms=30.0)
    assert summarize([localized(0.1), lost, missed(Status.UNANSWERED)]).latency_p50_ms == pytest.approx(20.0)


def test_rejections_are_grouped_by_kind_and_those_with_a_pose_are_left_out() -> None:
    dead_reckoned = QueryRecord(
        0, Status.DEAD_RECKONED, HERE, HERE, rejection=Rejection(RejectionKind.ODOMETRY_ONLY, 1.0)
    )
    black = QueryRecord(0, Status.LOST, HERE, rejection=Rejection(RejectionKind.NO_CONTRAST))
    groups = group_rejections([dead_reckoned, black, missed(), missed(), localized(0.1)])
    assert [(group.kind, group.count) for group in groups] == [
        (RejectionKind.INLIER_RATIO, 2),
        (RejectionKind.NO_CONTRAST, 1),
    ]
    assert "10 % < 13 %" in groups[0].example


def test_older_files_name_a_dead_reckoned_pose_carried() -> None:
    assert Status("carried") is Status.DEAD_RECKONED


def test_images_without_an_answer_of_the_node_are_counted_apart() -> None:
    records = [
        QueryRecord(0, Status.UNANSWERED, np.eye(4)),
        QueryRecord(1, Status.LOST, np.eye(4)),
        QueryRecord(2, Status.UNANSWERED, None),
    ]
    summary = summarize(records)
    assert (summary.queries, summary.localized, summary.unanswered) == (2, 0, 1)
    assert summary.to_dict()["unanswered"] == 1


def test_shares_are_over_the_answered_images() -> None:
    summary = summarize([localized(0.1), missed(), missed(Status.UNANSWERED), missed(Status.UNANSWERED)])
    assert (summary.answered, summary.localized_share) == (2, 0.5)
    assert summary.within["0.5 m 5°"] == 0.5
