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

"""Streets of a map of panoramas: lines between neighbours, drawn below the run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray

from scene_geo_loc.geometry.pose import make_pose
from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.metrics.pose_error import QueryRecord
from scene_geo_loc.plots.map_view import draw_trajectory, trajectory_svg
from scene_geo_loc.plots.streets import panorama_positions, street_lines


def street(count: int, spacing_m: float) -> NDArray[np.float64]:
    return np.stack([spacing_m * np.arange(count), np.zeros(count), np.full(count, 2.5)], axis=1)


def test_views_of_one_place_are_one_panorama_in_the_order_of_the_map() -> None:
    panoramas = street(4, 18.0)[::-1]
    assert np.array_equal(panorama_positions(np.repeat(panoramas, 10, axis=0)), panoramas)


@pytest.mark.parametrize("positions", [np.zeros((0, 3)), street(50, 1.0), np.repeat(street(9, 1.0), 2, 0)])
def test_a_drive_or_a_rig_of_two_cameras_has_no_panoramas(positions: NDArray[np.float64]) -> None:
    assert panorama_positions(positions).shape == (0, 3)
    assert street_lines(panorama_positions(positions)).shape == (0, 2, 3)


def test_lines_follow_the_street_into_its_side_street_and_end_at_a_gap() -> None:
    main, side = street(5, 18.0), street(3, 18.0)[:, [1, 0, 2]] + np.array([36.0, 18.0, 0.0])
    far = street(2, 18.0) + np.array([200.0, 0.0, 0.0])
    lines = street_lines(np.concatenate([main, side, far]))
    lengths = np.linalg.norm(lines[:, 0] - lines[:, 1], axis=1)
    assert len(lines) == 4 + 3 + 1
    assert lengths == pytest.approx(18.0)


def test_panoramas_at_one_place_stay_connected() -> None:
    positions = np.concatenate([street(3, 20.0), street(3, 20.0)[:1]])
    assert len(street_lines(positions)) == 3


def test_the_top_view_shows_panoramas_over_their_streets() -> None:
    found = QueryRecord(0, Status.LOCALIZED, make_pose(np.eye(3), (20.0, 1, 1)))
    found = replace(found, T_estimated=make_pose(np.eye(3), (20.5, 1, 1)))
    lost = QueryRecord(1, Status.LOST, make_pose(np.eye(3), (40.0, 1, 1)))
    keyframes = np.repeat(street(5, 18.0), 10, axis=0)
    svg = trajectory_svg([found, lost], keyframes, 5.0)
    assert ">panoramas<" in svg
    assert ">lost<" in svg
    axes = Figure().add_subplot()
    draw_trajectory(axes, [found, lost], keyframes, 5.0, 20.0)
    streets, panoramas = axes.collections[:2]
    assert len(streets.get_paths()) == 4
    assert len(np.asarray(panoramas.get_offsets())) == 5
    assert ">map keyframes<" in trajectory_svg([found, lost], street(90, 1.0), 5.0)
