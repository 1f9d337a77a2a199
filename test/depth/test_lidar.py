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

"""Lidar points in a camera's image: scans around it, projection, and removal of hidden points."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from scene_geo_loc.depth.lidar import LidarAccumulator, MapPoints, lidar_depth
from scene_geo_loc.depth.lidar import project_depth as project_points
from scene_geo_loc.depth.window import PUSHBROOM, ScanWindow
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose, inverse, make_pose, transform
from scene_geo_loc.traversals.frame import Scan
from scene_geo_loc.traversals.opening import open_traversal

CAMERA = Camera(160, 120, 120.0, 120.0, 79.5, 59.5)
SECOND = 1_000_000_000


def wall(distance: float, half_width: float, half_height: float, step: float) -> np.ndarray:
    """Points of a wall across the optical axis."""
    x, y = np.meshgrid(np.arange(-half_width, half_width, step), np.arange(-half_height, half_height, step))
    return np.stack([x.ravel(), y.ravel(), np.full(x.size, distance)], axis=1)


def project_depth(
    points_map: np.ndarray, T_map_camera: Pose, camera: Camera, occluder_m: float = 0.0
) -> np.ndarray:
    return project_points([MapPoints.of(points_map)], T_map_camera, camera, occluder_m)


def scan(second: float) -> Scan:
    return Scan(round(second * SECOND), np.full((2, 3), second))


def test_scans_around_an_image_are_those_before_and_after_it() -> None:
    lidar = LidarAccumulator(ScanWindow(before_s=2.0, after_s=1.0))
    for second in range(10):
        lidar.add(scan(second))
    around = lidar.points_around(8 * SECOND)
    assert [points.origin[0] for points in around] == [6, 7, 8, 9]
    assert [len(points) for points in around] == [2] * 4


def test_the_accumulator_holds_no_more_than_its_window_needs() -> None:
    lidar = LidarAccumulator(ScanWindow(before_s=2.0, after_s=1.0))
    for tenth in range(10_000):
        lidar.add(scan(tenth / 10))
    assert len(lidar) <= 10 * (2 + 1 + 1) + 1


def test_nothing_around_gives_no_points() -> None:
    assert LidarAccumulator(ScanWindow(1.0, 1.0)).points_around(0) == []


def test_a_clock_that_jumps_back_starts_anew() -> None:
    lidar = LidarAccumulator(ScanWindow(1.0, 1.0))
    lidar.add(scan(100.0))
    lidar.add(scan(5.0))
    assert len(lidar) == 1
    assert [len(points) for points in lidar.points_around(5 * SECOND)] == [2]


def test_a_lidar_that_is_not_named_is_known_by_its_first_scans_and_keeps_its_window() -> None:
    lidar = LidarAccumulator(None)
    for tenth in range(1000):
        lidar.add(Scan(tenth * SECOND // 10, np.zeros((500 if tenth < 900 else 30_000, 3))))
    assert lidar.window == PUSHBROOM
    assert len(lidar) == 10 * (10 + 50 + 1) + 1


def test_a_point_lands_on_its_pixel_with_its_depth_whatever_the_pose() -> None:
    T = make_pose(Rotation.from_euler("xyz", [20, -30, 10], degrees=True).as_matrix(), [5.0, -3.0, 2.0])
    points = transform(
        T, np.array([[1.02, -0.53, 10.0], [0.0, 0.0, -5.0], [50.0, 0.0, 10.0], [0.0, 0.0, 150.0]])
    )
    depth = project_depth(points, T, CAMERA)
    assert np.isfinite(depth).sum() == 1
    u, v = np.round(CAMERA.project(np.array([[1.02, -0.53, 10.0]]))[0]).astype(int)
    assert depth[v, u] == pytest.approx(10.0)


def test_points_far_from_the_origin_of_the_map_are_projected_as_near_ones() -> None:
    near, away = wall(5.0, 3.0, 2.0, 0.05), np.array([3_500_000.0, 5_400_000.0, 200.0])
    T = np.eye(4)
    T[:3, 3] = away
    depth = project_points([MapPoints.of(near + away), MapPoints.of(near + away + 1e-3)], T, CAMERA)
    here = project_points([MapPoints.of(near), MapPoints.of(near + 1e-3)], np.eye(4), CAMERA)
    np.testing.assert_allclose(depth, here, atol=1e-5)


def test_of_points_on_one_pixel_the_nearest_stays() -> None:
    points = np.array([[0.0, 0.0, 20.0], [0.0, 0.0, 10.0], [0.0, 0.0, 30.0]])
    depth = project_depth(points, np.eye(4), CAMERA)
    assert depth[np.isfinite(depth)].tolist() == [10.0]


def test_a_wall_seen_through_the_dots_of_a_nearer_one_is_hidden() -> None:
    camera = CAMERA.resized(640, 480)
    near, far = wall(5.0, 1.0, 1.0, 0.035), wall(20.0, 10.0, 8.0, 0.1)
    depth = project_depth(np.concatenate([near, far]), np.eye(4), camera)
    behind = depth[180:300, 260:380]
    assert np.isfinite(behind).sum() > 1000
    assert (behind[np.isfinite(behind)] == 5.0).all()
    beside = depth[:, :200]
    assert np.isfinite(beside).sum() > 1000
    assert (beside[np.isfinite(beside)] == 20.0).all()


def test_a_road_seen_at_a_flat_angle_stays() -> None:
    x, z = np.meshgrid(np.linspace(-8, 8, 120), np.linspace(3, 60, 300))
    road = np.stack([x.ravel(), np.full(x.size, 1.6), z.ravel()], axis=1)
    pixels = np.round(CAMERA.project(road))
    inside = ((pixels >= 0) & (pixels < (160, 120))).all(axis=1)
    seen = len(np.unique(pixels[inside], axis=0))
    assert np.isfinite(project_depth(road, np.eye(4), CAMERA)).sum() > 0.9 * seen


def test_what_a_sparsely_scanned_surface_hides_is_hidden_where_lines_were_gathered() -> None:
    near, far = wall(5.0, 1.0, 1.0, 0.2), wall(20.0, 10.0, 8.0, 0.2)
    camera = CAMERA.resized(640, 480)
    seen_through = [
        np.nanmax(project_depth(np.concatenate([near, far]), np.eye(4), camera, occluder_m)[190:290, 270:370])
        for occluder_m in (0.0, 1.0)
    ]
    assert seen_through == [20.0, 5.0]


def test_the_end_of_a_street_stays_in_view_between_its_walls() -> None:
    along, up = np.meshgrid(np.linspace(3, 60, 400), np.linspace(-6, 1.6, 60))
    across, ahead = np.meshgrid(np.linspace(-8, 8, 200), np.linspace(3, 60, 400))
    points = np.concatenate(
        [np.stack([np.full(along.size, side), up.ravel(), along.ravel()], axis=1) for side in (-8.0, 8.0)]
        + [np.stack([across.ravel(), np.full(across.size, 1.6), ahead.ravel()], axis=1)]
        + [wall(60.0, 8.0, 1.6, 0.1)]
    )
    end = project_depth(points, np.eye(4), CAMERA.resized(640, 480), occluder_m=1.0)[235:245, 300:340]
    assert np.isfinite(end).mean() > 0.5
    assert np.nanmin(end) > 50.0


def test_points_far_outside_the_view_are_not_folded_into_it_by_the_lens_model() -> None:
    camera = Camera(160, 120, 120.0, 120.0, 79.5, 59.5, "plumb_bob", (-0.35, 0.12, 0.0, 0.0, -0.02))
    directions = np.linspace(-4, 4, 400)
    outside = np.stack([directions, np.zeros(400), np.ones(400)], axis=1) * 10.0
    outside = outside[np.abs(directions) > 1.2]
    assert np.isfinite(camera.project(outside)).all()
    assert not np.isfinite(project_depth(outside, np.eye(4), camera)).any()


def test_no_points_give_an_empty_map() -> None:
    for nothing in ([], [MapPoints.of(np.zeros((0, 3)))]):
        assert np.isnan(lidar_depth(nothing, np.eye(4), CAMERA)).all()


def test_the_real_lidar_predicts_what_it_measured_from_elsewhere(data_dir: Path) -> None:
    """Depth made of the other scans of a real drive, against the scan taken with the image.

    Vehicles in it move, so that some points are wrong with any method.
    """
    traversal = open_traversal(data_dir / "kitti_lidar_camera")
    scans = list(traversal.scans())
    frame = list(traversal.frames())[6]
    others = np.concatenate([scan.points_map for scan in scans if scan.stamp_ns != frame.stamp_ns])
    own = next(scan.points_map for scan in scans if scan.stamp_ns == frame.stamp_ns)
    own = own[np.linalg.norm(transform(inverse(frame.T_map_camera), own), axis=1) > 3.0]
    predicted = lidar_depth([MapPoints.of(others)], frame.T_map_camera, frame.camera, frame.image)
    measured = project_depth(own, frame.T_map_camera, frame.camera)
    both = np.isfinite(predicted) & np.isfinite(measured)
    ratio = predicted[both] / measured[both]
    assert both.sum() > 0.95 * np.isfinite(measured).sum()
    assert np.median(np.abs(ratio - 1)) < 0.02
    assert ((ratio > 0.8) & (ratio < 1.25)).mean() > 0.85
