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

"""Results on the terminal."""

from __future__ import annotations

import pytest

from scene_geo_loc.cli.results.poses import print_reasons, print_retrieval
from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.localization.verification.rejection import Rejection, RejectionKind
from scene_geo_loc.metrics.pose_error import QueryRecord
from scene_geo_loc.metrics.published.bmvc2019 import MedianErrors


def test_rejections_are_counted_by_kind_with_the_first_as_example(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ratio = RejectionKind.INLIER_RATIO
    rejections = [
        Rejection(ratio, 0.021, 0.13),
        Rejection(RejectionKind.NO_CONTRAST),
        Rejection(ratio, 0.04, 0.13),
        Rejection(ratio, 0.125, 0.13),
    ]
    records = [
        QueryRecord(i, Status.LOST, None, rejection=rejection) for i, rejection in enumerate(rejections)
    ]
    print_reasons([*records, QueryRecord(9, Status.LOCALIZED, None)])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "(3)" in lines[0]
    assert "2.1 % < 13 %" in lines[0]
    assert "(1)" in lines[1]


def test_where_half_of_the_queries_retrieve_nothing_their_distance_is_a_dash(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_retrieval(MedianErrors("Retrieved", None, None))
    assert capsys.readouterr().out == "Most similar keyframe: – m and –° from the query (median).\n"
    print_retrieval(MedianErrors("Retrieved", 1.234, 5.67))
    assert "1.23 m and 5.7° from" in capsys.readouterr().out
