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

"""Localization of a traversal, and the choice of frames to show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scene_geo_loc.benchmarks.localization.run import localize_traversal
from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.localization.session import Session
from scene_geo_loc.localization.verification.rejection import RejectionKind
from scene_geo_loc.metrics.pose_error import errors_of, summarize
from scene_geo_loc.reports.examples import choose_examples, draw_examples


def test_every_frame_gets_one_record_in_order_of_time(localizer: Any, traversal: Any) -> None:
    records = list(localize_traversal(Session(localizer), traversal))
    assert [record.stamp_ns for record in records] == [i * 10**8 for i in range(40)]
    summary = summarize(records)
    assert (summary.queries, summary.localized) == (40, 33)
    assert summary.position_median_m == pytest.approx(0.16)


def test_a_retrieved_pose_is_not_kept_as_an_answer(localizer: Any, traversal: Any) -> None:
    record = list(localize_traversal(Session(localizer), traversal))[30]
    assert record.status is Status.RETRIEVED_ONLY
    assert record.T_estimated is None
    assert record.kind is RejectionKind.INLIER_RATIO


def test_a_frame_that_the_localizer_refuses_is_lost_for_that_reason(localizer: Any, traversal: Any) -> None:
    record = list(localize_traversal(Session(localizer), traversal))[35]
    assert (record.status, record.reason) == (Status.LOST, "The image is of another size.")


def test_the_worst_the_lost_and_the_best_of_each_stretch_are_chosen(localizer: Any, traversal: Any) -> None:
    records = list(localize_traversal(Session(localizer), traversal))
    chosen = choose_examples(records, each=3)
    assert [i for i, kind in chosen.items() if kind == "worst"] == [39, 38, 37]
    assert [i for i, kind in chosen.items() if kind == "lost"] == [20, 23, 35]
    best = [i for i, kind in chosen.items() if kind == "best"]
    position, _ = errors_of(records)
    assert best[0] == 0
    assert len(best) == 3
    assert np.all(np.diff(position[best]) > 0), "one of each stretch of the way"


def test_few_localized_frames_are_shown_as_best_not_as_worst(localizer: Any, traversal: Any) -> None:
    records = list(localize_traversal(Session(localizer), traversal))[:3]
    assert choose_examples(records, each=4) == {0: "best", 1: "best", 2: "best"}


def test_examples_are_drawn_with_the_numbers_of_their_pose(
    localizer: Any, traversal: Any, fake_map: Any
) -> None:
    records = list(localize_traversal(Session(localizer), traversal))
    chosen = {39: "worst", 4: "best", 21: "lost", 8: "best"}
    examples = draw_examples(records, chosen, localizer, fake_map, traversal)
    assert [example.kind for example in examples] == ["best", "best", "worst", "lost"]
    assert examples[0].title == "4.0 cm, 0.00° off at 0.4 s"
    assert examples[0].details == "2 inliers (67 % of matches) · keyframe 2, 50.0 cm from the query"
    assert examples[3].title == "lost at 2.1 s"
    assert "0.00 < 0.10" in examples[3].details
    assert all(example.jpeg.startswith(b"\xff\xd8") for example in examples)
