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

"""Goals and records of the demo, without its drives."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("embreex")

from scene_geo_loc.benchmarks.demo import DRIVES, MAPPED, STREET_M, LiveDrive, live_record, missed_goals
from scene_geo_loc.geometry.pose import make_pose
from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.metrics.pose_error import QueryRecord, summarize


def records(localized: int, lost: int, unanswered: int, off_m: float = 0.02) -> list[QueryRecord]:
    here, there = np.eye(4), make_pose(np.eye(3), (off_m, 0.0, 0.0))
    found = [QueryRecord(i, Status.LOCALIZED, here, there, latency_ms=50.0) for i in range(localized)]
    return [
        *found,
        *(QueryRecord(100 + i, Status.LOST, here) for i in range(lost)),
        *(QueryRecord(200 + i, Status.UNANSWERED, here) for i in range(unanswered)),
    ]


def test_images_that_a_busy_node_did_not_answer_miss_no_goal() -> None:
    assert missed_goals(summarize(records(19, 1, 30))) == []


def test_a_missed_goal_gives_the_number_and_its_limit() -> None:
    (share,) = missed_goals(summarize(records(8, 2, 0)))
    assert "80.0 % < 90 %" in share
    (median,) = missed_goals(summarize(records(10, 0, 0, off_m=0.7)))
    assert "0.700 m > 0.5 m" in median
    assert len(missed_goals(summarize(records(0, 0, 5)))) == 3


def test_the_record_of_a_live_drive_counts_unanswered_images_and_states_its_pace() -> None:
    record = live_record(LiveDrive(records(8, 2, 3), slowdown=1.7512))
    assert (record["queries"], record["localized"], record["unanswered"]) == (13, 8, 3)
    assert record["localized_share"] == 0.8
    assert record["slowdown"] == 1.75
    assert live_record(LiveDrive(records(1, 0, 0), slowdown=1.0))["unanswered"] == 0


def test_the_drives_lie_inside_the_mapped_street() -> None:
    mapped_start, mapped_length = STREET_M[MAPPED]
    for condition in DRIVES:
        start, length = STREET_M[condition]
        assert mapped_start + 10 <= start
        assert start + length <= mapped_start + mapped_length - 10
