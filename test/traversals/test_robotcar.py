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

"""Oxford RobotCar runs in the official layout."""

from __future__ import annotations

import pickle
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from robotcar_run import (
    EXTRINSICS,
    MODELS,
    ORIGIN,
    RUN,
    SIZES,
    distorted,
    numbers_of,
    rigid,
    scan_at,
    stamp_us,
    times,
    unit_at,
    vehicle_at,
    write_run,
)
from trees import open_folder

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import from_xyzrpy, inverse, position_error_m, rotation_error_deg, transform
from scene_geo_loc.traversals import subset
from scene_geo_loc.traversals.opening import open_traversal
from scene_geo_loc.traversals.robotcar.calibration import Calibration
from scene_geo_loc.traversals.robotcar.poses import ZONE, read_poses
from scene_geo_loc.traversals.robotcar.rows import in_order, without_jumps
from scene_geo_loc.traversals.satellite import georeference_of
from scene_geo_loc.traversals.skipped import Skipped

pytestmark = pytest.mark.slow

OPTICAL = np.array([[0.0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
"""The optical frame (right, down, forward) in a camera's frame (forward, right, down)."""

EAST_NORTH_UP = np.array([[0.0, 1, 0, -ORIGIN[1]], [1, 0, 0, -ORIGIN[0]], [0, 0, -1, 0], [0, 0, 0, 1]])
"""Takes northing, easting, down to the map."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("robotcar"))


def seconds_of(stamp_ns: int) -> float:
    return (stamp_ns // 1000 - stamp_us(0)) / 1e6


def true_camera(camera: str, seconds: float) -> np.ndarray:
    """The pose in the map of a camera whose images are not turned."""
    unit, model = {
        "stereo/centre": ("stereo", "stereo_narrow_left"),
        "stereo/left": ("stereo", "stereo_wide_left"),
        "stereo/right": ("stereo", "stereo_wide_right"),
    }.get(camera, (camera, camera))
    T_unit_lens = OPTICAL.copy()
    T_unit_lens[1, 3] = MODELS[model][4]
    return EAST_NORTH_UP @ vehicle_at(seconds) @ np.linalg.inv(rigid(EXTRINSICS[unit])) @ T_unit_lens


def test_a_run_is_recognised_and_its_stereo_centre_camera_taken(run: Path) -> None:
    traversal = open_traversal(run)
    frames = list(traversal.frames())
    assert len(frames) == len(traversal) == 24
    assert [frame.stamp_ns for frame in frames] == [stamp_us(t) * 1000 for t in times(0.5, 0.25)]
    assert frames[0].camera == Camera(64, 48, 48.2, 48.2, 32.2, 24.2)
    assert traversal.map_frame == "map"
    assert not traversal.skipped


@pytest.mark.parametrize("camera", ["stereo/centre", "stereo/left", "stereo/right", "mono_rear"])
def test_a_camera_is_where_the_car_and_its_extrinsics_put_it(run: Path, camera: str) -> None:
    for frame in open_traversal(run, camera=camera, poses="ins").frames():
        truth = true_camera(camera, seconds_of(frame.stamp_ns))
        # Between two rows of the table, 0.02 s apart, the car is taken to go straight.
        assert position_error_m(truth, frame.T_map_camera) < 0.001
        assert rotation_error_deg(truth, frame.T_map_camera) < 0.01


@pytest.mark.parametrize(("poses", "metres", "degrees"), [("rtk", 0.02, 0.05), ("ins", 0.001, 0.01)])
def test_rtk_and_inertial_navigation_agree_in_the_map(
    run: Path, poses: str, metres: float, degrees: float
) -> None:
    for frame in open_traversal(run, poses=poses).frames():
        truth = true_camera("stereo/centre", seconds_of(frame.stamp_ns))
        assert position_error_m(truth, frame.T_map_camera) < metres
        assert rotation_error_deg(truth, frame.T_map_camera) < degrees


def test_rtk_is_taken_first_then_inertial_navigation_then_odometry(tmp_path: Path) -> None:
    run = write_run(tmp_path, cameras=("stereo/centre",))
    for poses, file in (
        ("rtk", tmp_path / "rtk" / RUN / "rtk.csv"),
        ("ins", run / "gps" / "ins.csv"),
        ("vo", run / "vo" / "vo.csv"),
    ):
        best = next(open_traversal(run).frames()).T_map_camera
        np.testing.assert_array_equal(best, next(open_traversal(run, poses=poses).frames()).T_map_camera)
        file.unlink()
    traversal = open_traversal(run)
    assert [frame.T_map_camera for frame in traversal.frames()] == [None] * 24
    assert traversal.skipped.counts == {"images without a pose": 24}


@pytest.mark.parametrize("place", ["rtk.csv", "rtk/rtk.csv", "gps/rtk.csv"])
def test_rtk_is_found_in_the_run_too(tmp_path: Path, place: str) -> None:
    run = write_run(tmp_path, cameras=("stereo/centre",))
    expected = next(open_traversal(run).frames()).T_map_camera
    (run / place).parent.mkdir(exist_ok=True)
    (tmp_path / "rtk" / RUN / "rtk.csv").rename(run / place)
    np.testing.assert_array_equal(next(open_traversal(run, poses="rtk").frames()).T_map_camera, expected)


def test_yaw_that_is_a_right_angle_too_much_as_in_the_published_rtk_files_is_corrected(
    tmp_path: Path,
) -> None:
    run = write_run(tmp_path, cameras=("stereo/centre",))
    rtk = tmp_path / "rtk" / RUN / "rtk.csv"
    expected = [files.T_map_camera for files in open_folder(run).frame_files]
    lines = [line.split(",") for line in rtk.read_text().splitlines()]
    for fields in lines[1:]:
        yaw = float(fields[13]) + np.pi / 2
        fields[13] = f"{np.arctan2(np.sin(yaw), np.cos(yaw)):.9f}"
    rtk.write_text("\n".join(",".join(fields) for fields in lines))
    for files, T in zip(open_folder(run).frame_files, expected, strict=True):
        np.testing.assert_allclose(files.T_map_camera, T, atol=1e-6)


def test_yaw_that_has_nothing_to_do_with_the_course_is_left_as_it_is(tmp_path: Path) -> None:
    run = write_run(tmp_path, cameras=("stereo/centre",))
    rtk = tmp_path / "rtk" / RUN / "rtk.csv"
    lines = [line.split(",") for line in rtk.read_text().splitlines()]
    for t, fields in zip(times(0.1), lines[1:], strict=True):
        # All ways round, somewhat more of them at a right angle to the course.
        fields[13] = f"{unit_at(t)[5] + 3 * t + 0.5 * np.cos(3 * t):.6f}"
    rtk.write_text("\n".join(",".join(fields) for fields in lines))
    poses = read_poses(run, Calibration(run), Skipped(), "rtk")
    for t, T in zip(times(0.1), poses.trajectory.poses, strict=True):
        yaw = unit_at(t)[5] + 3 * t + 0.5 * np.cos(3 * t)
        np.testing.assert_allclose(T[:2, 0] / np.linalg.norm(T[:2, 0]), [np.sin(yaw), np.cos(yaw)], atol=1e-3)


def test_visual_odometry_gives_a_map_that_begins_at_base_link(run: Path) -> None:
    frames = list(open_traversal(run, poses="vo").frames())
    start = vehicle_at(times(0.0625)[1])  # the first row's stamp
    T_start_base = np.diag([1.0, -1, -1, 1])
    for frame in frames:
        truth = T_start_base @ np.linalg.inv(start) @ np.linalg.inv(EAST_NORTH_UP)
        truth = truth @ true_camera("stereo/centre", seconds_of(frame.stamp_ns))
        assert position_error_m(truth, frame.T_map_camera) < 0.005
        assert rotation_error_deg(truth, frame.T_map_camera) < 0.01


@pytest.mark.parametrize("camera", ["stereo/centre", "stereo/right", "mono_rear"])
def test_images_are_demosaiced_and_undistorted_by_the_look_up_table(run: Path, camera: str) -> None:
    image = next(open_traversal(run, camera=camera).frames()).image
    width, height = SIZES[camera.partition("/")[0]]
    x, y = distorted(*np.meshgrid(np.arange(width), np.arange(height)), width, height)
    expected = np.stack([3 * x, 4 * y, np.full_like(x, 40)], axis=2)
    inner = (slice(3, -3), slice(3, -3))
    assert np.abs(image.astype(float) - expected)[inner].max() < 1.5


@pytest.mark.parametrize("camera", ["mono_left", "mono_right"])
def test_turned_images_show_the_same_world(run: Path, camera: str) -> None:
    """Each pixel's ray, followed to the image that is not turned, ends at the pixel of the same colour."""
    frame = next(open_traversal(run, camera=camera, poses="ins").frames())
    straight = Camera(64, 64, *MODELS[camera][:4])
    T_straight_turned = inverse(true_camera(camera, seconds_of(frame.stamp_ns))) @ frame.T_map_camera
    v, u = np.mgrid[3 : frame.camera.height - 3, 3 : frame.camera.width - 3].reshape(2, -1)
    rays = frame.camera.rays(np.stack([u, v], axis=1))
    x, y = straight.project(transform(T_straight_turned, rays)).T
    x, y = distorted(x, y, 64, 64)
    colours = frame.image[v, u].astype(float)
    assert np.abs(colours[:, 0] - 3 * x).max() < 1.5
    assert np.abs(colours[:, 1] - 4 * y).max() < 1.5


@pytest.mark.parametrize(("camera", "degrees"), [("mono_left", 11.0), ("mono_right", 11.4)])
def test_turned_images_are_more_upright_by_the_authors_angles(run: Path, camera: str, degrees: float) -> None:
    frame = next(open_traversal(run, camera=camera, poses="ins").frames())

    def lean(T: np.ndarray) -> float:
        down = T[:3, :3].T @ (0, 0, -1)
        return np.degrees(np.arctan2(abs(down[0]), down[1]))

    before = lean(true_camera(camera, seconds_of(frame.stamp_ns)))
    assert before - lean(frame.T_map_camera) == pytest.approx(degrees, abs=0.01)
    assert (frame.camera.width, frame.camera.height) == (54, 54)
    assert (frame.image > 0).all(axis=2).mean() > 0.95  # nothing of the black corners


def test_scans_of_all_lidars_come_in_order_and_in_the_map(run: Path) -> None:
    traversal = open_folder(run, poses="ins")
    scans = list(traversal.scans())
    stamps = [scan.stamp_ns for scan in scans]
    assert stamps == sorted(stamps)
    assert len(scans) == 360
    for scan, file in zip(scans[:40], traversal.scan_files, strict=False):
        lidar, seconds = file.path.parent.name, seconds_of(scan.stamp_ns)
        points = scan_at(lidar, seconds)
        if lidar != "ldmrs":
            points[:, 2] = 0.0
        T = EAST_NORTH_UP @ vehicle_at(seconds) @ rigid(EXTRINSICS[lidar])
        np.testing.assert_allclose(scan.points_map, transform(T, points), atol=0.002)


def test_a_part_of_a_run_has_the_scans_around_it(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subset, "_MARGIN_NS", 2_000_000_000)  # the run is shorter than the margin
    whole, some = open_folder(run), open_folder(run, start=5.0, end=6.0)
    assert len(some) == 3
    first, last = stamp_us(0.25 + 5.0 - 2.0) * 1000, stamp_us(0.25 + 6.0 + 2.0) * 1000
    around = [file.stamp_ns for file in whole.scan_files if first <= file.stamp_ns <= last]
    assert [file.stamp_ns for file in some.scan_files] == around
    assert 0 < len(around) < len(whole.scan_files)


def test_calibration_in_the_run_goes_before_that_beside_it(tmp_path: Path) -> None:
    run = write_run(tmp_path, cameras=("stereo/centre",))
    for folder in ("models", "extrinsics"):
        (tmp_path / folder).rename(run / folder)
    assert len(list(open_traversal(run).frames())) == 24


def test_what_reads_images_can_be_sent_to_another_process(run: Path) -> None:
    traversal = open_folder(run, camera="mono_left")
    files = traversal.frame_files[0]
    copy = pickle.loads(pickle.dumps(traversal.read_image))
    np.testing.assert_array_equal(copy(files.image), traversal.read_image(files.image))


@settings(deadline=None)
@given(st.lists(st.floats(-3.0, 3.0), min_size=6, max_size=6))
def test_six_numbers_make_the_pose_that_they_come_from(numbers: Any) -> None:
    T = from_xyzrpy(np.array(numbers))
    np.testing.assert_allclose(T, rigid(np.array(numbers)), atol=1e-12)
    np.testing.assert_allclose(rigid(numbers_of(T)), T, atol=1e-6)


@settings(deadline=None)
@given(st.lists(st.integers(1, 9), max_size=9))
def test_the_most_stamps_that_increase_are_kept(stamps: Any) -> None:
    kept = [stamps[i] for i in in_order(stamps)]
    assert all(a < b for a, b in pairwise(kept))
    assert list(in_order(stamps)) == sorted(in_order(stamps))
    longest = [1] * len(stamps)
    for i, stamp in enumerate(stamps):
        longest[i] = 1 + max((longest[j] for j in range(i) if stamps[j] < stamp), default=0)
    assert len(kept) == max(longest, default=0)


def test_a_jump_is_not_believed_but_a_correction_is() -> None:
    stamps = np.arange(100) * 20_000_000
    path = np.stack([0.2 * np.arange(100.0), np.zeros(100), np.zeros(100)], axis=1)
    assert without_jumps(stamps, path).all()
    corrected = path + (np.arange(100) > 40)[:, None] * (0, 3.0, 0)
    assert without_jumps(stamps, corrected).all()
    astray = path.copy()
    astray[[0, 30, 31, 99]] += 500.0
    assert np.flatnonzero(~without_jumps(stamps, astray)).tolist() == [0, 30, 31, 99]
    elsewhere = path + (np.arange(100) > 69)[:, None] * (0, 400.0, 0)
    assert np.flatnonzero(~without_jumps(stamps, elsewhere)).tolist() == list(range(70, 100))


def test_the_map_knows_where_it_is_on_the_utm_grid(run: Path) -> None:
    traversal = open_traversal(run)
    found = georeference_of(traversal)
    assert found.source == "rtk"
    for frame in traversal.frames():
        east, north, up = frame.T_map_camera[:3, 3]
        northing, easting = ORIGIN
        true = ZONE.geodetic_of_grid([easting + east, northing + north, up])
        off = found.datum.map_of(true) - frame.T_map_camera[:3, 3]
        assert np.linalg.norm(off) < 0.05
    # True east is turned from the grid's by the convergence of the meridians.
    assert found.datum.yaw_deg == pytest.approx(-ZONE.convergence_deg(51.76, -1.26), abs=0.02)
    assert georeference_of(open_traversal(run, poses="vo")) is None
