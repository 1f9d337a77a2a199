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

"""The four scenarios of RobotCar."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.places import scenarios
from scene_geo_loc.places.areas import Area
from scene_geo_loc.places.scenarios import (
    REFERENCE_RUN,
    SCENARIOS,
    load_scenario,
    load_scenarios,
    queries_of,
    references_of,
)
from scene_geo_loc.places.views import VIEWS, Cameras
from scene_geo_loc.traversals.skipped import Skipped

AREA = Area(np.array([[-10.0, -10.0, 1000.0, 1000.0]]))
OXFORD_TEST_ROAD = [(300.0, 100.0), (740.0, 100.0), (740.0, 580.0)]
"""Inside the test area that is built in."""


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, drive: Any) -> dict[str, Cameras]:
    """The runs that there are, in place of files."""
    there: dict[str, Cameras] = {}
    monkeypatch.setattr(scenarios, "open_cameras", lambda root, run: there.get(run, {}))
    return there


@pytest.mark.parametrize("name", SCENARIOS)
def test_at_the_paper_s_scale_there_are_as_many_references_and_queries_as_in_the_paper(
    drive: Any, name: Any
) -> None:
    road = drive([(0, 0), (990, 0), (990, 990), (861, 990)], step=0.5)  # 2109 m
    references = references_of("reference", road, AREA, Skipped())
    queries = queries_of("query", road, AREA, SCENARIOS[name].count, Skipped())
    assert len(references) == 1688
    assert len(queries) == {"sunny": 261, "long-term": 224, "snow": 112, "night": 156}[name]


def test_queries_lie_evenly_along_the_road_and_are_of_each_camera_in_turn(drive: Any) -> None:
    queries = queries_of("query", drive([(0, 0), (500, 0)]), AREA, 50, Skipped())
    assert [view.position[0] for view in queries] == pytest.approx(list(range(0, 500, 10)))
    assert [view.camera for view in queries[:5]] == [*VIEWS, VIEWS[0]]


@pytest.mark.parametrize(("count", "given"), [(20, 20), (33, 33), (40, 40), (41, 40), (261, 40)])
def test_on_a_short_road_a_place_gives_several_views_but_none_twice(
    drive: Any, count: int, given: int
) -> None:
    queries = queries_of("query", drive([(0, 0), (50, 0)]), AREA, count, Skipped())
    assert len({(view.camera, view.files.stamp_ns) for view in queries}) == len(queries) == given
    assert max(Counter(view.camera for view in queries).values()) <= -(-given // 4)


def test_a_road_outside_the_area_gives_nothing(drive: Any) -> None:
    assert queries_of("query", drive([(2000, 0), (2100, 0)]), AREA, 100, Skipped()) == []


def test_a_scenario_sets_the_queries_of_its_run_against_the_reference_run(
    tmp_path: Path, runs: dict[str, Cameras], drive: Any
) -> None:
    runs[REFERENCE_RUN] = drive(OXFORD_TEST_ROAD)
    runs["2015-02-03-08-45-10"] = drive(OXFORD_TEST_ROAD)
    scenario = load_scenario(tmp_path, "snow")
    assert {view.run for view in scenario.references} == {REFERENCE_RUN}
    assert {view.run for view in scenario.queries} == {"2015-02-03-08-45-10"}
    assert (len(scenario.references), len(scenario.queries)) == (184 * 4, 112)


def test_scenarios_without_their_run_are_left_out_with_a_sentence_each(
    tmp_path: Path, runs: dict[str, Cameras], drive: Any
) -> None:
    for run in (REFERENCE_RUN, SCENARIOS["night"].run):
        runs[run] = drive(OXFORD_TEST_ROAD)
    runs[SCENARIOS["sunny"].run] = drive([(0, 0), (30, 0)])
    found, left_out = load_scenarios(tmp_path)
    assert [scenario.name for scenario in found] == ["night"]
    assert [sentence.split()[0] for sentence in left_out] == ["sunny", "long-term", "snow"]
    assert "no place lies in the test area" in left_out[0]
    assert "there is no RobotCar run 2015-02-10-11-58-05" in left_out[1]


def test_without_references_or_any_queries_the_error_says_what_was_expected(
    tmp_path: Path, runs: dict[str, Cameras], drive: Any
) -> None:
    with pytest.raises(SceneGeoLocError, match=f"no RobotCar run {REFERENCE_RUN}.*stereo/centre"):
        load_scenarios(tmp_path)
    runs[REFERENCE_RUN] = drive(OXFORD_TEST_ROAD)
    with pytest.raises(SceneGeoLocError, match="at least one of the runs 2014-06-24-14-47-45"):
        load_scenarios(tmp_path)
    with pytest.raises(SceneGeoLocError, match="no scenario 'rain'; known are sunny"):
        load_scenario(tmp_path, "rain")


def test_a_run_that_is_not_there_has_no_cameras(tmp_path: Path) -> None:
    with pytest.raises(SceneGeoLocError, match="there is no RobotCar run"):
        scenarios.cameras_of(tmp_path, REFERENCE_RUN)
