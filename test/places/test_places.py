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

"""Places along a run and their views."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scene_geo_loc.places.areas import Area
from scene_geo_loc.places.places import along_way, nearest_in_time, places_of
from scene_geo_loc.places.views import VIEWS
from scene_geo_loc.traversals.skipped import Skipped

EVERYWHERE = Area(np.array([[-1e4, -1e4, 1e4, 1e4]]))


def way(*positions: float) -> tuple[np.ndarray, np.ndarray]:
    """A car on the x axis, with a position every 0.1 s."""
    x = np.array(positions)
    return np.arange(len(x)) * 100_000_000, np.stack([x, np.zeros_like(x)], axis=1)


def test_places_are_the_asked_way_apart() -> None:
    stamps, positions = way(*np.arange(0, 100, 0.5))
    assert positions[along_way(stamps, positions, 5.0), 0].tolist() == list(np.arange(0, 100, 5.0))


def test_a_coarse_step_does_not_stretch_the_mean_distance() -> None:
    stamps, positions = way(*np.arange(0, 300, 3.0))
    assert len(along_way(stamps, positions, 5.0)) == 60


def test_a_stop_gives_no_second_place_though_its_poses_shake() -> None:
    shaking = 50 + 0.2 * np.random.default_rng(0).uniform(-1, 1, 2000)
    stamps, positions = way(*np.arange(0, 50, 1.0), *shaking, *np.arange(50, 100, 1.0))
    assert len(along_way(stamps, positions, 5.0)) == 20


def test_a_jump_of_the_pose_and_back_is_no_way_and_no_place() -> None:
    x = np.arange(0, 50, 1.0)
    stamps, positions = way(*x)
    positions[23] += 400
    chosen = along_way(stamps, positions, 5.0)
    assert 23 not in chosen
    assert len(chosen) == 10


def test_a_road_without_poses_goes_on_with_a_new_place_behind_it() -> None:
    stamps, positions = way(*np.arange(0, 21, 1.0), *np.arange(120, 141, 1.0))
    stamps[21:] += 10_000_000_000
    assert positions[along_way(stamps, positions, 5.0), 0].tolist() == [
        0,
        5,
        10,
        15,
        20,
        120,
        125,
        130,
        135,
        140,
    ]


@given(steps=st.lists(st.floats(0.0, 3.0), min_size=1, max_size=200), distance=st.floats(2.0, 30.0))
def test_however_the_car_drives_places_are_never_nearer_than_one_step_less_than_asked(
    steps: list[float], distance: float
) -> None:
    stamps, positions = way(*np.cumsum(steps))
    x = positions[along_way(stamps, positions, distance), 0]
    assert x[0] == steps[0]
    assert (np.diff(x) >= distance - 3.0 - 1e-9).all()
    assert len(x) <= 1 + (x[-1] - x[0]) / distance + 1e-6


@given(
    stamps=st.lists(st.integers(0, 1000), unique=True).map(sorted),
    wanted=st.lists(st.integers(-100, 1100), min_size=1),
    limit=st.integers(0, 50),
)
def test_the_nearest_stamp_is_found_within_the_limit(
    stamps: list[int], wanted: list[int], limit: int
) -> None:
    found = nearest_in_time(np.array(stamps, np.int64), np.array(wanted, np.int64), limit)
    for index, time in zip(found, wanted, strict=True):
        apart = min((abs(stamp - time) for stamp in stamps), default=limit + 1)
        assert (abs(stamps[index] - time) == apart) if apart <= limit else index == -1


def test_a_place_has_the_view_of_every_camera_at_its_time(drive: Any) -> None:
    places = places_of("run", drive([(0, 0), (52, 0)]), 5.0, EVERYWHERE, Skipped())
    assert len(places) == 11
    for number, place in enumerate(places):
        assert [view.camera for view in place] == list(VIEWS)
        assert {view.files.image.name for view in place} == {place[0].files.image.name}
        for view in place:
            assert view.position == pytest.approx([5.0 * number, 0.0])
    assert [view.heading_rad for view in places[0]] == pytest.approx([0, np.pi / 2, np.pi, -np.pi / 2])


def test_only_places_inside_the_area_count(drive: Any) -> None:
    area = Area(np.array([[12.0, -1.0, 31.0, 1.0]]))
    places = places_of("run", drive([(0, 0), (52, 0)]), 5.0, area, Skipped())
    assert [place[0].position[0] for place in places] == pytest.approx([15, 20, 25, 30])


def test_what_a_camera_misses_is_counted(drive: Any) -> None:
    cameras = dict(drive([(0, 0), (52, 0)]))
    rear = cameras["mono_rear"]
    files = list(rear.frame_files)
    files[10] = replace(files[10], T_map_camera=None)
    cameras["mono_rear"] = replace(rear, frame_files=[*files[:18], *files[23:]])
    skipped = Skipped()
    places = places_of("run", cameras, 5.0, EVERYWHERE, skipped)
    assert skipped.counts["images without a pose"] == 1
    # At 10 m/s images are 0.1 s apart, so that a neighbour still shows the place where one is missing.
    assert skipped.counts["places that not every camera sees"] == 1
    assert len(places) == 10
