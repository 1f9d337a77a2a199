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

"""The printed errors of the BMVC paper, and ours by its protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scene_geo_loc.geometry.pose import Pose, make_pose
from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.metrics.pose_error import QueryRecord
from scene_geo_loc.metrics.published.bmvc2019 import MedianErrors, medians_of, scene_table


def at(x: float) -> Pose:
    return make_pose(np.eye(3), (x, 0.0, 0.0))


@pytest.mark.parametrize(
    ("format", "folder", "benchmark", "scene", "row"),
    [
        ("7scenes", "data/stairs", "7-Scenes", "Stairs", MedianErrors("PnlP, FC supervised", 0.40, 9.2)),
        ("7scenes", "redkitchen/seq-03", "7-Scenes", "Kitchen", MedianErrors("RelocNet", 0.23, 5.1)),
        (
            *("12scenes", "x/apt2/bed", "12-Scenes", "Apt2-bed"),
            MedianErrors("PnlP, FC unsupervised", 0.15, 5.0),
        ),
        (
            *("12scenes", "office2/5a", "12-Scenes", "Office 5a"),
            MedianErrors("Retrieval, FC supervised", 0.12, 5.3),
        ),
        (
            *("cambridge", "KingsCollege", "Cambridge Landmarks", "Kings C."),
            MedianErrors("PoseNet, geometric loss", 0.9, 1.04),
        ),
        (
            *("cambridge", "GreatCourt", "Cambridge Landmarks", "Great Court"),
            MedianErrors("PnlP, C+LSTM unsupervised", 13.2, 10.07),
        ),
    ],
)
def test_a_scene_is_known_by_its_format_and_its_folder(
    format: Any, folder: Any, benchmark: str, scene: str, row: Any
) -> None:
    table = scene_table(format, Path(folder))
    assert table is not None
    assert (table.benchmark, table.scene) == (benchmark, scene)
    assert row in table.printed


@pytest.mark.parametrize(
    ("format", "folder"),
    [
        ("7scenes", "attic"),
        ("12scenes", "kitchen"),
        ("12scenes", "apt2"),
        ("rgbd", "stairs"),
        ("rosbag", "fire"),
    ],
)
def test_the_paper_prints_nothing_for_other_sources(format: str, folder: str) -> None:
    assert scene_table(format, Path(folder)) is None


def test_each_table_has_all_scenes_and_methods_that_the_paper_prints() -> None:
    kitchen, bed = scene_table("7scenes", Path("redkitchen")), scene_table("12scenes", Path("apt2/bed"))
    court, shop = scene_table("cambridge", Path("GreatCourt")), scene_table("cambridge", Path("ShopFacade"))
    assert [len(table.printed) for table in (kitchen, bed, court, shop)] == [6, 4, 4, 5]
    assert (kitchen.table, bed.table, court.table) == ("Table 1", "Table 1", "Table 2")


def test_a_query_that_is_not_localized_keeps_the_pose_retrieved() -> None:
    records = [
        QueryRecord(0, Status.LOCALIZED, at(0), at(0.1), T_retrieved=at(1.0)),
        QueryRecord(1, Status.RETRIEVED_ONLY, at(0), T_retrieved=at(2.0)),
        QueryRecord(2, Status.RETRIEVED_ONLY, at(0), T_retrieved=at(4.0)),
        QueryRecord(3, Status.LOCALIZED, None, at(9.0), T_retrieved=at(9.0)),
    ]
    assert medians_of(records) == [
        MedianErrors("Retrieved", 2.0, 0.0),
        MedianErrors("Localized, else retrieved", 2.0, 0.0),
    ]
    assert medians_of(records[:2])[1] == MedianErrors("Localized, else retrieved", pytest.approx(1.05), 0.0)  # type: ignore[arg-type]


def test_where_half_of_the_queries_have_no_answer_there_is_no_median() -> None:
    records = [
        QueryRecord(0, Status.LOCALIZED, at(0), at(0.1), T_retrieved=at(1.0)),
        QueryRecord(1, Status.LOST, at(0)),
    ]
    assert medians_of(records)[1] == MedianErrors("Localized, else retrieved", None, None)


def test_a_run_that_does_not_tell_what_was_retrieved_has_no_numbers_of_this_protocol() -> None:
    assert medians_of([QueryRecord(0, Status.LOCALIZED, at(0), at(0.1))]) == []


def test_the_record_keeps_the_paper_s_numbers_and_ours_apart() -> None:
    table = scene_table("7scenes", Path("fire"))
    record = table.to_dict([MedianErrors("Retrieved", 0.123456, None)])
    assert record["scene"] == "Fire"
    assert record["this_run"] == [
        {"method": "Retrieved", "position_median_m": 0.1235, "rotation_median_deg": None}
    ]
    assert record["printed_full_test_split"][2] == {
        "method": "PnlP, FC supervised",
        "position_median_m": 0.07,
        "rotation_median_deg": 3.2,
    }
