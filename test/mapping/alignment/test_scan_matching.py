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

"""Walls of a map found in an occupancy grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from scene_geo_loc.mapping.alignment.occupancy_grid import OccupancyGrid
from scene_geo_loc.mapping.alignment.scan_matching import Alignment, align, wall_points

Walls = Sequence[tuple[tuple[float, float], tuple[float, float]]]

RESOLUTION = 0.05
ORIGIN = (-3.0, -2.0, 0.3)
WALLS: Walls = [
    *[((1, 1), (21, 1)), ((21, 1), (21, 13)), ((21, 13), (1, 13)), ((1, 13), (1, 1))],
    *[((9, 1), (9, 6)), ((9, 8), (9, 13)), ((9, 8), (15, 8)), ((15, 13), (15, 10)), ((1, 6), (4, 6))],
]
"""Walls of a storey in metres, in the frame of the grid's corner."""
SQUARE: Walls = [((1, 1), (11, 1)), ((11, 1), (11, 11)), ((11, 11), (1, 11)), ((1, 11), (1, 1))]


def grid_of(walls: Walls) -> OccupancyGrid:
    """A grid in which everything between the walls is free."""
    size = (15.0, 23.0)
    cells = np.zeros([round(side / RESOLUTION) for side in size], np.uint8)
    for start, end in walls:
        first, last = ([round(value / RESOLUTION) for value in place] for place in (start, end))
        cv2.line(cells, first, last, 1, 2)
    inside = np.zeros_like(cells)
    corners = np.array([place for wall in walls for place in wall]) / RESOLUTION
    low, high = corners.min(axis=0).astype(int), corners.max(axis=0).astype(int)
    inside[low[1] : high[1], low[0] : high[0]] = 1
    return OccupancyGrid(cells > 0, (inside > 0) & (cells == 0), RESOLUTION, ORIGIN)


def seen(walls: Walls, rng: np.random.Generator) -> NDArray[np.float64]:
    """Points on walls with noise of 3 cm, and a tenth of them anywhere, in the frame of the grid's corner."""
    points = []
    for start, end in walls:
        count = int(15 * math.dist(start, end))
        points.append(np.linspace(start, end, count) + rng.normal(0, 0.03, (count, 2)))
    everywhere = rng.uniform((1, 1), (21, 13), (sum(map(len, points)) // 10, 2))
    return np.concatenate([*points, everywhere])


def in_map(points: NDArray[np.float64], x: float, y: float, yaw: float) -> NDArray[np.float64]:
    """Points of the grid's corner in the frame of a map that lies at x, y, yaw in the grid's frame."""
    rotations = [
        np.array([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]]) for a in (ORIGIN[2], yaw)
    ]
    return (points @ rotations[0].T + ORIGIN[:2] - (x, y)) @ rotations[1]


def aligned(
    walls: Walls,
    grid: OccupancyGrid,
    pose: tuple[float, float, float],
    path: list[tuple[float, float]],
) -> Alignment:
    points = seen(walls, np.random.default_rng(0))
    return align(in_map(points, *pose), in_map(np.array(path, float), *pose), grid)


@pytest.mark.parametrize("pose", [(0.0, 0.0, 0.0), (12.0, -7.0, 2.0), (-30.0, 4.0, -1.2)])
def test_a_map_is_found_wherever_its_origin_is(pose: tuple[float, float, float]) -> None:
    found = aligned(WALLS, grid_of(WALLS), pose, [(3.0, 3.0), (12.0, 7.0), (18.0, 5.0)])
    assert found.doubts == []
    assert math.hypot(found.x - pose[0], found.y - pose[1]) < 0.1
    assert abs(math.remainder(found.yaw - pose[2], 2 * math.pi)) < math.radians(0.3)
    assert found.overlap > 0.8
    assert found.residual_m < 0.06
    assert found.free == 1.0
    assert found.T_grid_map[:2, 3] == pytest.approx((found.x, found.y))


def test_a_map_of_a_part_is_found() -> None:
    part = [wall for wall in WALLS if max(wall[0][0], wall[1][0]) <= 15]
    found = aligned(part, grid_of(WALLS), (2.0, 3.0, 0.7), [(3.0, 3.0)])
    assert found.doubts == []
    assert math.hypot(found.x - 2.0, found.y - 3.0) < 0.1


def test_a_few_points_far_away_do_not_coarsen_the_search() -> None:
    points = np.concatenate([seen(WALLS, np.random.default_rng(0)), [[4000.0, -900.0], [-7000.0, 50.0]]])
    found = align(points, np.array([[3.0, 3.0]]), replace(grid_of(WALLS), origin=(0.0, 0.0, 0.0)))
    assert found.doubts == []
    assert math.hypot(found.x, found.y) < 0.1


def test_a_square_room_fits_four_ways_and_is_refused() -> None:
    found = aligned(SQUARE, grid_of(SQUARE), (1.0, 2.0, 0.4), [(6.0, 6.0)])
    assert any("another place fits" in reason for reason in found.doubts)


def test_a_map_of_another_place_is_refused() -> None:
    rng = np.random.default_rng(1)
    elsewhere = [
        (tuple(start), tuple(start + rng.choice([(0.0, 5.0), (4.0, 3.0), (-2.0, 4.0)])))
        for start in rng.uniform(0, 18, (14, 2))
    ]
    found = aligned(elsewhere, grid_of(WALLS), (0.0, 0.0, 0.0), [(3.0, 3.0), (9.0, 9.0)])
    assert found.doubts


def test_a_drive_through_walls_is_refused() -> None:
    found = aligned(WALLS, grid_of(WALLS), (0.0, 0.0, 0.0), [(0.2, 0.2), (9.0, 4.0), (9.0, 5.0), (3.0, 3.0)])
    assert any("keyframes on free cells" in reason for reason in found.doubts)


def test_a_map_without_walls_is_not_aligned() -> None:
    assert align(np.zeros((0, 2)), np.zeros((1, 2)), grid_of(WALLS)) is None


def test_walls_are_what_stands_upright() -> None:
    rng = np.random.default_rng(0)
    floor = np.c_[rng.uniform(0, 10, (4000, 2)), rng.normal(0, 0.02, 4000)]
    wall = np.c_[np.full(500, 3.1), rng.uniform(0, 10, 500), rng.uniform(0, 2.5, 500)]
    outliers = np.c_[rng.uniform(0, 10, (20, 2)), rng.uniform(-30, 30, 20)]
    points = np.concatenate([floor, wall, outliers, [[np.nan] * 3]])
    walls = wall_points(points)
    assert (np.abs(walls[:, 0] - 3.1) < 0.26).mean() > 0.95
    assert len(walls) >= 400
    band = wall_points(points, (1.0, 2.0))
    assert 100 < len(band) < 300
