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

"""The cameras of RobotCar runs, read from small runs in the official layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from robotcar_run import RUN, stamp_us, vehicle_at, write_run

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.places.areas import Area
from scene_geo_loc.places.places import places_of
from scene_geo_loc.places.views import VIEWS, open_cameras
from scene_geo_loc.traversals.skipped import Skipped

EVERYWHERE = Area(np.array([[-1e4, -1e4, 1e4, 1e4]]))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("robotcar")
    write_run(folder)
    return folder


def test_the_four_views_of_a_place_look_about_where_their_cameras_are_mounted(root: Path) -> None:
    places = places_of(RUN, open_cameras(root, RUN), 5.0, EVERYWHERE, Skipped())
    assert len(places) > 15
    front, left, rear, right = places[3]
    assert [view.camera for view in places[3]] == list(VIEWS)

    def turned(view: Any) -> float:
        return np.degrees(np.angle(np.exp(1j * (view.heading_rad - front.heading_rad))))

    assert 50 < turned(left) < 90
    assert abs(turned(rear)) > 170
    assert -90 < turned(right) < -50


def test_a_view_is_where_the_car_was_and_can_be_read(root: Path) -> None:
    view = places_of(RUN, open_cameras(root, RUN), 5.0, EVERYWHERE, Skipped())[2][0]
    seconds = (view.files.stamp_ns / 1000 - stamp_us(0)) / 1e6
    northing, easting = vehicle_at(seconds)[:2, 3]
    assert view.position == pytest.approx([easting - 620_000, northing - 5_735_000], abs=0.05)
    image = view.read()
    assert image.dtype == np.uint8
    assert image.shape == (48, 64, 3)


def test_a_damaged_image_says_so_when_it_is_read(tmp_path: Path) -> None:
    write_run(tmp_path, cameras=("stereo/centre",))
    view = places_of(RUN, open_cameras(tmp_path, RUN), 5.0, EVERYWHERE, Skipped())[1][0]
    view.files.image.write_bytes(b"no image")
    with pytest.raises(TraversalError, match=view.files.image.name):
        view.read()


def test_a_run_with_some_of_the_cameras_gives_these(tmp_path: Path) -> None:
    write_run(tmp_path, cameras=("mono_rear", "stereo/centre"))
    assert list(open_cameras(tmp_path, RUN)) == ["stereo/centre", "mono_rear"]
    assert open_cameras(tmp_path, "2015-01-01-00-00-00") == {}


def test_visual_odometry_is_no_place_in_the_city(tmp_path: Path) -> None:
    folder = write_run(tmp_path, cameras=("stereo/centre",))
    (tmp_path / "rtk" / RUN / "rtk.csv").unlink()
    files = open_cameras(tmp_path, RUN)["stereo/centre"].frame_files[3]
    northing, easting = vehicle_at((files.stamp_ns / 1000 - stamp_us(0)) / 1e6)[:2, 3]
    assert files.T_map_camera[:2, 3] == pytest.approx([easting - 620_000, northing - 5_735_000], abs=1)
    (folder / "gps" / "ins.csv").unlink()
    with pytest.raises(TraversalError, match="no poses of ins"):
        open_cameras(tmp_path, RUN)
