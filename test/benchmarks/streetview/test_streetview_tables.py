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

"""Tables, goals and the page of the street-view benchmark, of made-up results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scene_geo_loc.benchmarks.streetview import table
from scene_geo_loc.benchmarks.streetview.methods import METHODS, PACKAGE, WORDS, find_methods
from scene_geo_loc.benchmarks.streetview.page import write_streetview_results
from scene_geo_loc.benchmarks.streetview.pictures import shares_of_all
from scene_geo_loc.benchmarks.streetview.results import (
    DriveResult,
    SetInfo,
    StreetviewResults,
    VirtualViewCount,
    best_and_worst,
    merged,
    read_results,
)
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.geometry.pose import make_pose
from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.metrics.pose_error import QueryRecord


def drive(errors: list[float | None], **names: object) -> DriveResult:
    """Queries every metre along x, each pose off to the left by its error."""
    count = range(len(errors))
    values = {"set": "p18", "drive": "sunny", "method": PACKAGE, "keyframes": 280} | names
    return DriveResult.model_validate(
        {
            **values,
            "stamps_ns": list(count),
            "true_m": [(float(i), 0.0, 1.5) for i in count],
            "estimated_m": [None if e is None else (float(i), e, 1.5) for i, e in enumerate(errors)],
            "position_m": errors,
            "rotation_deg": [None if e is None else 0.5 for e in errors],
        }
    )


SETS = [
    SetInfo(name="p50", panoramas=11, spacing_m=50.0, street_m=500.0),
    SetInfo(name="p18", panoramas=28, spacing_m=18.0, street_m=498.0),
    SetInfo(name="erring", panoramas=28, spacing_m=17.8, street_m=498.0, position_std_m=1.0),
]
GOOD: list[float | None] = [0.2] * 19 + [None]
RESULTS = StreetviewResults(
    version="0.1.0",
    machine="a machine",
    sets=SETS,
    drives=[
        drive(GOOD),
        drive([0.2] * 10 + [2.5] * 2 + [None] * 8, drive="night"),
        drive([0.4] * 13 + [None] * 7, set="p50"),
        drive([0.5] * 4 + [5.0] + [None] * 15, method=WORDS),
        drive([0.5] * 11 + [None] * 9, method=WORDS, virtual_m=4.0),
        drive([1.0] * 20, set="erring", inside_95=0.9, with_covariance=20),
    ],
    virtual_views=[
        VirtualViewCount(
            set="p18",
            distance_m=4,
            positions=56,
            inside=2,
            nearer=1,
            views=540,
            views_with_empty=0.9,
            empty=0.05,
        )
    ],
    left_out=["p18, some method: some reason"],
)


def cells(found: table.Table, first: str) -> dict[str, str]:
    (line,) = [line for line in found.lines if line[0] == first]
    return dict(zip(found.headings, line, strict=True))


def test_the_set_nearest_to_the_slides_spacing_is_one_without_errors_of_its_tags() -> None:
    assert RESULTS.slides_set.name == "p18"


def test_parts_of_the_slides_set_are_beside_it_and_not_instead_of_it() -> None:
    part = SetInfo(name="part", panoramas=7, spacing_m=17.9, street_m=108.0)
    results = RESULTS.model_copy(
        update={"sets": [part, *SETS], "drives": [*RESULTS.drives, drive(GOOD, set="part", method=WORDS)]}
    )
    assert [one.name for one in results.slides_sets] == ["p18", "part"]
    assert table.method_tables(results)["sunny"].lines[-1][:2] == ["part", "BoVW + SIFT + PnlP"]
    assert all(line[0] != "17.9" for line in table.spacing_table(results).lines)


def test_ours_stand_below_the_printed_rows() -> None:
    found = table.slides_table(RESULTS)
    printed = cells(found, "slides: original, 28 panoramas in 498 m")
    assert (printed["localized"], printed["%"], printed["mean m"]) == ("137 of 1046", "13.1", "3.82")
    assert (printed["0–1 m, %"], printed["≥ 4 m, %"], printed["< 2 m, %"]) == ("21.9", "0.0", "50.4")
    first = cells(found, "slides: original, 13 panoramas in 287 m")
    assert (first["mean m"], first["0–1 m, %"], first["< 2 m, %"]) == ("< 6.5", "–", "58.6")
    ours = cells(found, "p18: package's descriptor + PnlP, sunny")
    assert (ours["localized"], ours["%"], ours["mean m"]) == ("19 of 20", "95.0", "0.200")
    words = cells(found, next(line[0] for line in found.lines if ", virtual views 4 m" in line[0]))
    assert (words["localized"], words["0–1 m, %"]) == ("11 of 20", "100.0")


def test_sets_are_in_the_order_of_their_spacing_and_erring_ones_apart() -> None:
    found = table.spacing_table(RESULTS)
    assert [line[:3] for line in found.lines] == [
        ["18", "28", "sunny"],
        ["18", "28", "night"],
        ["50", "11", "sunny"],
    ]
    tags = table.tag_table(RESULTS)
    assert [line[0] for line in tags.lines] == ["p18", "p18", "erring"]
    assert "1.000 m" in tags.lines[-1][1]
    assert "90.0" in tags.lines[-1]
    assert list(table.method_tables(RESULTS)) == ["sunny", "night"]


def test_virtual_views_that_were_not_counted_have_dashes() -> None:
    found = {line[0]: line for line in table.virtual_table(RESULTS).lines}
    assert found["4 m"] == ["4 m", "3", "2 of 56", "1", "12.5", "90.0", "5.0"]
    assert found["8 m"] == ["8 m", "27", "–", "–", "100", "–", "–"]


def test_goals_say_which_drives_meet_them() -> None:
    localized, mean, below, gain, wide, inside = table.goals(RESULTS)
    assert (localized.ours, localized.met) == ("sunny 95.0 %; night 60.0 %", "1 of 2: sunny")
    assert mean.met == "1 of 2: sunny"
    assert below.met == "1 of 2: sunny"
    assert (gain.ours, gain.met) == ("sunny 5 → 11 of 20", "yes")
    assert (wide.ours, wide.met) == ("sunny 65.0 %", "yes")
    assert "every 50 m" in wide.text
    assert inside.met == "no"
    assert "90.0 %" in inside.ours


def test_goals_without_a_measurement_are_open() -> None:
    results = RESULTS.model_copy(update={"sets": SETS[1:2], "drives": []})
    assert [goal.met for goal in table.goals(results)] == [None] * 6


def test_sets_of_which_all_tags_err_have_goals_too() -> None:
    results = RESULTS.model_copy(update={"sets": SETS[2:], "drives": RESULTS.drives[-1:]})
    *_, wide, inside = table.goals(results)
    assert wide.met is None
    assert "90.0 %" in inside.ours


def test_shares_of_all_queries_add_up() -> None:
    assert shares_of_all(RESULTS.drives[3]) == pytest.approx([20, 0, 0, 0, 5, 75])
    assert shares_of_all(drive([None] * 4)) == [0, 0, 0, 0, 0, 100]


def test_the_best_and_the_worst_are_of_all_drives() -> None:
    (_, best, i), (_, worst, j) = best_and_worst([drive([None, 0.5, 0.1]), drive([7.0, 3.0], drive="b")])
    assert (best.drive, i, worst.drive, j) == ("sunny", 2, "b", 0)
    assert best_and_worst([drive([None])]) == []


def test_a_result_keeps_the_queries_whose_truth_is_known() -> None:
    at = make_pose(np.eye(3), (1.0, 2.0, 3.0))
    off = make_pose(np.eye(3), (1.0, 2.0, 3.6))
    records = [
        QueryRecord(1, Status.LOCALIZED, at, off, latency_ms=10.0, covariance=np.eye(6)),
        QueryRecord(2, Status.LOST, at, latency_ms=30.0),
        QueryRecord(3, Status.DEAD_RECKONED, at, at),
        QueryRecord(4, Status.LOCALIZED, None, off),
    ]
    result = DriveResult.of(records, set="p18", drive="sunny", method=PACKAGE, keyframes=5)
    assert result.stamps_ns == [1, 2, 3]
    assert result.position_m == [0.6, None, 0.0]
    assert result.estimated_m == [(1.0, 2.0, 3.6), None, (1.0, 2.0, 3.0)]
    assert (result.dead_reckoned, result.with_covariance, result.inside_95, result.ms) == (1, 1, 1.0, 20.0)
    assert DriveResult.model_validate_json(result.model_dump_json()) == result
    drawn = result.records()
    assert [record.is_localized for record in drawn] == [True, False, True]


def test_the_page_has_every_table_and_picture(tmp_path: Path) -> None:
    positions = np.repeat(np.array([[0.0, 0, 2], [18, 0, 2]]), 10, axis=0)
    page, *pictures = write_streetview_results(tmp_path / "docs/street.md", RESULTS, positions)
    text = page.read_text()
    for picture in pictures:
        assert picture.stat().st_size > 1000
        assert f"(images/{picture.name})" in text
    assert {picture.name for picture in pictures} == {"streetview_errors.png", "streetview_map.png"}
    for words in (
        "| 4 m | 3 | 2 of 56 | 1 |",
        "- p18, some method",
        "| erring |",
        "| 4 | 216 | 901 |",
    ):
        assert words in text, words
    lines = text.splitlines()
    for i, line in enumerate(lines):
        if line.startswith("|---"):
            assert lines[i - 2] == "" or lines[i - 1].count("|") == line.count("|")
            assert lines[i + 1].count("|") == line.count("|"), lines[i + 1]


def test_results_of_several_runs_are_shown_together(tmp_path: Path) -> None:
    file = tmp_path / "earlier.json"
    file.write_text(RESULTS.model_dump_json())
    last = RESULTS.model_copy(
        update={"sets": SETS[1:2], "drives": [drive([None] * 3)], "virtual_views": [], "left_out": []}
    )
    both = merged([read_results(file)], last)
    assert [one.name for one in both.sets] == [one.name for one in SETS]
    assert len(both.drives) == len(RESULTS.drives)
    assert both.find(set="p18", drive="sunny", method=PACKAGE)[0].continuity.localized == 0
    assert both.virtual_views == RESULTS.virtual_views
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(SceneGeoLocError, match=r"other\.json"):
        read_results(tmp_path / "other.json")


def test_methods_are_found_by_name() -> None:
    assert find_methods(None) == list(METHODS)
    assert [method.key for method in find_methods([PACKAGE])] == [PACKAGE]
    with pytest.raises(SceneGeoLocError, match="'voodoo'"):
        find_methods(["voodoo"])
