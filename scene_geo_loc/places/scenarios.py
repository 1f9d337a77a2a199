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

"""The four localization scenarios on RobotCar of "Learning Scene Geometry for Visual Localization in
Challenging Conditions" (ICRA 2019), section IV.

References are the four views of a place every 5 m along the overcast run inside the test area.  The paper
gives only the number of queries: 261 for the sunny run, hence not four for each place; its figures show
queries of the front, side and rear cameras.  Here, as many places as the paper has queries are chosen evenly
along the run, with each camera in turn.  If the run has fewer places, as in a simulated town, a place gives
several views, none of them twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.places.areas import AREAS_FILE, Area, Areas
from scene_geo_loc.places.places import places_of
from scene_geo_loc.places.views import VIEWS, Cameras, View, open_cameras
from scene_geo_loc.traversals.skipped import Skipped

REFERENCE_RUN = "2014-06-26-09-31-18"
TRAINING_RUNS = ("2015-05-19-14-06-38", "2015-08-28-09-50-22", "2015-11-10-14-15-57")
"""The runs of the triplets; anchors are from the first."""

PLACE_DISTANCE_M = 5.0


@dataclass(frozen=True)
class QueryRun:
    """The run of the queries, and their number in the paper."""

    run: str
    count: int


SCENARIOS = {
    "sunny": QueryRun("2014-06-24-14-47-45", 261),
    "long-term": QueryRun("2015-02-10-11-58-05", 224),
    "snow": QueryRun("2015-02-03-08-45-10", 112),
    "night": QueryRun("2014-12-16-18-44-24", 156),
}


@dataclass(frozen=True)
class Scenario:
    """The references and queries of one scenario.

    Attributes:
        name: one of `SCENARIOS`.
        references: views of known place.
        queries: views to be localized.
        skipped: what was left out of the two runs, by reason.
    """

    name: str
    references: Sequence[View]
    queries: Sequence[View]
    skipped: Skipped


def references_of(run: str, cameras: Cameras, area: Area, skipped: Skipped) -> list[View]:
    """Returns all views of the places of a run inside the area."""
    places = places_of(run, cameras, PLACE_DISTANCE_M, area, skipped)
    return [view for place in places for view in place]


def queries_of(run: str, cameras: Cameras, area: Area, count: int, skipped: Skipped) -> list[View]:
    """Returns at most `count` views of a run inside the area, evenly along it and of each camera in turn."""
    return views_in_turn(places_of(run, cameras, PLACE_DISTANCE_M, area, skipped), count)


def views_in_turn(places: Sequence[Sequence[View]], count: int) -> list[View]:
    """Returns at most `count` views of places, evenly along them and of each camera in turn, none twice."""
    views = len(places[0]) if places else 0
    count = min(count, len(places) * views)
    return [places[k * len(places) // count][k % views] for k in range(count)]


def load_scenario(root: Path, name: str) -> Scenario:
    """Loads one scenario of a folder of RobotCar runs, real or simulated.

    Raises:
        SceneGeoLocError: there is no such scenario, or a run is missing or has no place in the test area.
    """
    if name not in SCENARIOS:
        raise SceneGeoLocError(f"there is no scenario {name!r}; known are {', '.join(SCENARIOS)}.")
    area = Areas.load(root).test
    return _scenario(root, name, area, *_references(root, area))


def load_scenarios(root: Path) -> tuple[list[Scenario], list[str]]:
    """Loads all scenarios of a folder of RobotCar runs, and returns a sentence for each missing one.

    Raises:
        SceneGeoLocError: there are no references, or no scenario is complete.
    """
    area = Areas.load(root).test
    references = _references(root, area)
    scenarios, left_out = [], []
    for name in SCENARIOS:
        try:
            scenarios.append(_scenario(root, name, area, *references))
        except SceneGeoLocError as error:
            left_out.append(f"{name} is left out: {error}")
    if not scenarios:
        runs = ", ".join(query.run for query in SCENARIOS.values())
        raise SceneGeoLocError(
            f"{root}: there are references but no queries, for which at least one of the runs {runs} is "
            f"expected ({left_out[0]})"
        )
    return scenarios, left_out


def training_runs(root: Path) -> tuple[dict[str, Cameras], list[str]]:
    """Opens those of `TRAINING_RUNS` that exist, and returns the names of the others.

    Raises SceneGeoLocError if the run of the anchors is missing.
    """
    runs = {TRAINING_RUNS[0]: cameras_of(root, TRAINING_RUNS[0])}
    runs |= {run: cameras for run in TRAINING_RUNS[1:] if (cameras := open_cameras(root, run))}
    return runs, [run for run in TRAINING_RUNS if run not in runs]


def cameras_of(root: Path, run: str) -> Cameras:
    """Returns the cameras of a run. Raises SceneGeoLocError if it does not exist."""
    cameras = open_cameras(root, run)
    if not cameras:
        raise SceneGeoLocError(
            f"{root}: there is no RobotCar run {run}, a folder with images in "
            f"{', '.join(VIEWS[:-1])} or {VIEWS[-1]}."
        )
    return cameras


def _references(root: Path, area: Area) -> tuple[list[View], Skipped]:
    skipped = Skipped()
    views = references_of(REFERENCE_RUN, cameras_of(root, REFERENCE_RUN), area, skipped)
    return _some(views, REFERENCE_RUN, root, skipped), skipped


def _scenario(root: Path, name: str, area: Area, references: list[View], skipped: Skipped) -> Scenario:
    query, skipped = SCENARIOS[name], Skipped(dict(skipped.counts))
    queries = queries_of(query.run, cameras_of(root, query.run), area, query.count, skipped)
    return Scenario(name, references, _some(queries, query.run, root, skipped), skipped)


def _some(views: list[View], run: str, root: Path, skipped: Skipped) -> list[View]:
    if not views:
        because = f" ({skipped})" if skipped else ""
        raise SceneGeoLocError(
            f"{root / run}: no place lies in the test area{because}; check its poses and {AREAS_FILE}."
        )
    return views
