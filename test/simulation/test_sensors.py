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

"""Measurements of the simulated lidars, odometry and GPS."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from town import CAMERA

from scene_geo_loc.geometry.datum import Datum
from scene_geo_loc.geometry.datum_fit import fit_datum
from scene_geo_loc.geometry.pose import inverse, transform
from scene_geo_loc.simulation.rendering.render import Scene
from scene_geo_loc.simulation.town.city import City
from scene_geo_loc.simulation.vehicle.motion import Motion
from scene_geo_loc.simulation.vehicle.satellite import TOWN, GpsSettings, gps
from scene_geo_loc.simulation.vehicle.sensors import (
    CameraView,
    MountedCamera,
    PushbroomLidar,
    SpinningLidar,
    line_scan,
    odometry,
    sweep,
)

pytestmark = pytest.mark.slow


def test_deskewed_lidar_points_lie_on_the_surfaces_that_the_camera_sees(
    overcast: Scene, motion: Motion
) -> None:
    lidar = SpinningLidar(beams=32, columns=600)
    points, intensity, times = sweep(overcast, lidar, motion, 0.8, np.random.default_rng(0))
    assert len(points) == len(intensity) == len(times) > 5000
    assert times.min() >= 0
    assert times.max() < 0.1
    T = motion.poses(0.8 + times) @ lidar.T_base_lidar
    in_map = np.einsum("nij,nj->ni", T[:, :3, :3], points) + T[:, :3, 3]
    T_map_camera = motion.poses(0.85)[0] @ MountedCamera().T_base_camera
    depth = CameraView(overcast, CAMERA).depth(T_map_camera)
    seen = transform(inverse(T_map_camera), in_map)
    pixels = CAMERA.project(seen)
    inside = np.isfinite(pixels).all(1) & (pixels > 1).all(1) & (pixels < (158, 118)).all(1)
    u, v = pixels[inside].round().astype(int).T
    error = np.abs(depth[v, u] - seen[inside, 2])
    assert inside.sum() > 800
    # Points behind a nearer edge, and pixels across one, differ; all others agree.
    assert np.nanmedian(error) < 0.06
    assert (error < 0.3).mean() > 0.8


def test_a_sweep_that_is_not_deskewed_is_off_by_the_vehicles_way(overcast: Scene, motion: Motion) -> None:
    lidar = SpinningLidar(beams=8, columns=300)
    moved = motion.poses(0.1)[0, :3, 3] - motion.poses(0.0)[0, :3, 3]
    points, _, times = sweep(overcast, lidar, motion, 0.0, np.random.default_rng(0))
    poses = motion.poses(times) @ lidar.T_base_lidar
    right = np.einsum("nij,nj->ni", poses[:, :3, :3], points) + poses[:, :3, 3]
    frozen = transform(motion.poses(0.0)[0] @ lidar.T_base_lidar, points.astype(np.float64))
    late = times > 0.09
    assert np.linalg.norm(right[late] - frozen[late], axis=1).mean() == pytest.approx(
        np.linalg.norm(moved), rel=0.3
    )


def test_the_pushbroom_lidar_scans_a_plane_across_the_road(overcast: Scene, motion: Motion) -> None:
    lidar = PushbroomLidar()
    T_map_base = motion.poses(1.0)[0]
    ranges, intensities = line_scan(overcast, lidar, T_map_base, np.random.default_rng(0))
    assert len(ranges) == len(intensities) == 541
    assert np.degrees(lidar.angles[[0, -1]]) == pytest.approx([-135, 135])
    straight_down = ranges[270]
    assert straight_down == pytest.approx(0.7, abs=0.1)
    back = np.isfinite(ranges)
    flat = np.stack([np.cos(lidar.angles), np.sin(lidar.angles), np.zeros(541)], 1)[back] * ranges[back, None]
    in_base = transform(lidar.T_base_lidar, flat.astype(np.float64))
    assert in_base[:, 0] == pytest.approx(2.1)
    assert in_base[:, 1].min() < -3
    assert in_base[:, 1].max() > 3
    assert (ranges[back] < lidar.max_range_m + 0.1).all()


def test_odometry_starts_at_zero_and_drifts_by_about_a_hundredth_of_the_way(city: City) -> None:
    motion = Motion(city.plan, 0, 300, 8.0, seed=1)
    seconds = np.arange(0, motion.duration, 0.02)
    true = motion.poses(seconds)
    relative = inverse(true[0]) @ true[-1]
    ends = []
    for seed in range(20):
        track = odometry(motion, seconds, np.random.default_rng(seed))
        assert track.poses[0, :2, 3] == pytest.approx((0, 0), abs=0.01)
        start = inverse(track.poses[0]) @ track.poses[-1]
        ends.append(np.linalg.norm(start[:2, 3] - relative[:2, 3]))
    assert 0.5 < np.median(ends) < 9.0
    assert max(ends) < 25
    assert len({round(end, 6) for end in ends}) == 20
    assert (np.diff(track.pose_variances[:, 0]) >= 0).all()


def test_gps_errs_by_metres_and_wanders_slowly(city: City) -> None:
    motion = Motion(city.plan, 0, 200, 8.0, seed=1)
    seconds = np.arange(0, motion.duration, 0.2)
    true = motion.poses(seconds)[:, :3, 3]
    errors = [
        (TOWN.map_of(gps(motion, seconds, np.random.default_rng(seed)).geodetic) - true)[:, 1]
        for seed in range(20)
    ]
    assert 1.0 < np.std(errors) < 2.3
    assert np.mean([np.abs(np.diff(e)).mean() for e in errors]) < 1.0


def test_gps_has_the_bias_outliers_and_drop_outs_that_are_asked_for(city: City) -> None:
    motion = Motion(city.plan, 0, 200, 8.0, seed=1)
    seconds = np.arange(0, motion.duration, 0.2)
    datum = Datum(-33.0, 151.0, 20.0, 30.0)
    settings = GpsSettings(
        datum, 0.0, 0.0, bias_m=(100.0, 0.0), outlier_share=0.2, outlier_m=50.0, drop_out_share=0.4
    )
    fixes = gps(motion, seconds, np.random.default_rng(0), settings)
    errors = datum.map_of(fixes.geodetic) - motion.poses(seconds)[:, :3, 3]
    # 100 m to the east are turned by the yaw of the map.
    bias = 100 * np.array([np.cos(np.radians(30)), -np.sin(np.radians(30)), 0])
    away = np.linalg.norm((errors - bias)[:, :2], axis=1)
    assert np.median(away) < 0.01
    assert 0.1 < np.mean(away > 49) < 0.3
    assert np.mean(~fixes.has_fix) == pytest.approx(0.4, abs=0.05)


@pytest.mark.parametrize("errors", [{}, {"outlier_share": 0.1, "drop_out_share": 0.2}])
@pytest.mark.parametrize("seed", range(3))
def test_the_datum_of_a_drive_is_found_within_20_cm_and_a_tenth_of_a_degree(
    city: City, seed: int, errors: dict[str, Any]
) -> None:
    motion = Motion(city.plan, 0, 320, 8.0, seed=seed)
    seconds = np.arange(0, motion.duration, 0.2)
    datum = Datum(48.137, 11.575, 519.0, 25.0)
    settings = GpsSettings(datum, noise_m=0.5, wander_m=0.0, **errors)
    places, has_fix = gps(motion, seconds, np.random.default_rng(seed), settings)
    points = motion.poses(seconds)[:, :3, 3]
    found, fit = fit_datum(points[has_fix], places[has_fix])
    off = found.map_of(datum.geodetic_of(points)) - points
    assert np.linalg.norm(off[:, :2], axis=1).max() < 0.3  # at the ends of the drive
    assert np.linalg.norm(off[:, :2].mean(axis=0)) < 0.2
    assert abs(found.yaw_deg - 25.0) < 0.1
    assert fit.outliers < (0.15 if errors else 0.05) * len(points)
