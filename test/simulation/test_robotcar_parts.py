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

"""Parts of the writer of RobotCar's layout: grids, errors, colour filters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scene_geo_loc.geometry.pose import from_xyzrpy
from scene_geo_loc.simulation.recordings.robotcar_layout import bayer_mosaic, write_image, write_scan
from scene_geo_loc.simulation.town.plan import StreetPlan
from scene_geo_loc.simulation.vehicle.motion import Motion
from scene_geo_loc.simulation.vehicle.navigation import visual_odometry, wandering
from scene_geo_loc.simulation.vehicle.robotcar_rig import T_BASE_VEHICLE, lidars
from scene_geo_loc.traversals.messages.images import decode_image
from scene_geo_loc.traversals.robotcar.calibration import read_raw
from scene_geo_loc.traversals.robotcar.scans import read_beams


@pytest.mark.parametrize("pattern", ["gbrg", "rggb"])
def test_colours_come_back_from_behind_the_filter(tmp_path: Path, pattern: str) -> None:
    rgb = np.empty((16, 20, 3), np.uint8)
    rgb[:] = 200, 120, 40
    write_image(tmp_path / "1.png", rgb, pattern)
    raw = read_raw(tmp_path / "1.png")
    assert raw.tolist() == bayer_mosaic(rgb, pattern).tolist()
    assert decode_image(f"bayer_{pattern}8", 20, 16, 20, False, raw) == pytest.approx(rgb)


def test_beams_that_do_not_come_back_are_left_out_of_a_scan(tmp_path: Path) -> None:
    ranges = np.array([2.0, np.inf, 4.0], np.float32)
    write_scan(tmp_path / "1.bin", np.array([0.0, 0.5, np.pi / 2]), ranges, np.array([10, 0, 30], np.float32))
    points, reflectance = read_beams(tmp_path / "1.bin")
    assert points == pytest.approx(np.array([[2, 0, 0], [0, 4, 0]]), abs=1e-6)
    assert reflectance == pytest.approx([10, 30])


def test_both_lidars_look_down_at_the_middle_of_their_fan_and_sweep_across_the_road() -> None:
    for lidar in lidars().values():
        assert lidar.T_base_lidar[2, 0] < -0.98
        assert abs(lidar.T_base_lidar[0, 2]) > 0.9
        assert 0.3 < lidar.T_base_lidar[2, 3] < 0.8


def test_a_wandering_error_has_its_size_and_is_smooth() -> None:
    seconds = np.arange(0, 4000, 0.1)
    error = wandering(seconds, (1.0, 0.1), 20.0, np.random.default_rng(3))
    assert error.std(0) == pytest.approx([1.0, 0.1], rel=0.35)
    assert np.abs(np.diff(error[:, 0])).max() < 0.05


def test_visual_odometry_drifts_by_a_per_cent_or_so_and_not_at_a_stop() -> None:
    long_way = Motion(StreetPlan(7), 100.0, 400.0, 8.0, 3)
    seconds = np.arange(0, long_way.duration, 1 / 16)
    true = long_way.poses(seconds) @ T_BASE_VEHICLE
    errors = []
    for seed in range(12):
        T = true[0]
        for step in from_xyzrpy(
            visual_odometry(long_way, seconds, T_BASE_VEHICLE, np.random.default_rng(seed))
        ):
            T = T @ step
        errors.append(np.linalg.norm(T[:3, 3] - true[-1, :3, 3]) / 400.0)
    assert 0.002 < np.median(errors) < 0.02
    still = visual_odometry(long_way, np.zeros(4), T_BASE_VEHICLE, np.random.default_rng(0))
    assert still == pytest.approx(np.zeros((3, 6)), abs=1e-12)
