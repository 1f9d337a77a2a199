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

"""KITTI's odometry sequences and raw drives in their official layouts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from trees import POINTS, TR, kitti_odometry, kitti_raw, pose, write_rows

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.depth.lidar import MapPoints, project_depth
from scene_geo_loc.geometry.pose import inverse, make_pose
from scene_geo_loc.traversals.opening import open_traversal
from scene_geo_loc.traversals.satellite import georeference_of


def test_kitti_odometry_takes_the_colour_camera_its_times_and_the_lidar(tmp_path: Path) -> None:
    traversal = open_traversal(kitti_odometry(tmp_path))
    frames = list(traversal.frames())
    assert frames[1].stamp_ns - frames[0].stamp_ns == 103_600_000
    # P2 = K [I | t]: camera 2 is at -t in camera 0.
    offset = make_pose(np.eye(3), [-0.06, 0.0, -0.003])
    np.testing.assert_allclose(frames[2].T_map_camera, pose(2) @ offset, atol=1e-9)
    scans = list(traversal.scans())
    assert [scan.stamp_ns for scan in scans] == [frame.stamp_ns for frame in frames]
    expected = (pose(2) @ TR @ np.append(POINTS[0], 1))[:3]
    np.testing.assert_allclose(scans[2].points_map[0], expected, atol=1e-6)
    assert scans[2].points_map.shape == (2, 3)


def test_kitti_raw_takes_poses_from_gps_and_inertial_packets(tmp_path: Path) -> None:
    traversal = open_traversal(kitti_raw(tmp_path))
    frames = list(traversal.frames())
    assert frames[2].stamp_ns - frames[0].stamp_ns == 200_000_000
    assert frames[0].stamp_ns == 1317042145_000000001
    moved = inverse(frames[0].T_map_camera) @ frames[2].T_map_camera
    np.testing.assert_allclose(moved[:3, 3], [0, 0, 4.0], atol=1e-3)
    # The unit stays level, and the ground is curved.
    np.testing.assert_allclose(moved[:3, :3], np.eye(3), atol=1e-6)
    (before, _, after) = traversal.scans()
    np.testing.assert_allclose(after.points_map - before.points_map, [[4.0, 0, 0]] * 2, atol=1e-3)
    datum = georeference_of(traversal).datum
    assert (datum.latitude_deg, datum.longitude_deg, datum.altitude_m) == pytest.approx((49.0, 8.4, 110.0))
    assert datum.yaw_deg == pytest.approx(90.0)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "calib.txt").write_text("P0: 1 2 3\n"), "no P2 of 12 numbers"),
        (lambda folder: write_rows(folder / "times.txt", [np.array([0.0])]), "1 lines for 3 images"),
        (lambda folder: write_rows(folder / "poses.txt", [pose(0)[:3]]), "1 lines for 3 images"),
    ],
)
def test_a_kitti_sequence_that_does_not_fit_together_is_refused(
    tmp_path: Path, damage: Any, words: str
) -> None:
    folder = kitti_odometry(tmp_path)
    damage(folder)
    with pytest.raises(TraversalError, match=words):
        open_traversal(folder)


def test_a_cut_off_velodyne_file_is_left_out_and_counted(tmp_path: Path) -> None:
    folder = kitti_odometry(tmp_path)
    (folder / "velodyne" / "000001.bin").write_bytes(b"12345")
    traversal = open_traversal(folder)
    assert len(list(traversal.scans())) == 2
    assert traversal.skipped.counts == {"scans that cannot be read": 1}


def test_another_camera_can_be_named_by_its_folder(tmp_path: Path) -> None:
    (frame, *_) = open_traversal(kitti_odometry(tmp_path), camera="image_0").frames()
    np.testing.assert_allclose(frame.T_map_camera, pose(0), atol=1e-9)
    with pytest.raises(TraversalError, match=r"no camera 'image_1'.*image_2, image_0"):
        open_traversal(tmp_path / "sequences" / "04", camera="image_1")
    assert len(open_traversal(kitti_raw(tmp_path), camera="image_02")) == 3


def test_images_that_cannot_be_read_are_counted_even_the_first(tmp_path: Path) -> None:
    folder = kitti_odometry(tmp_path)
    (folder / "image_2" / "000000.png").write_bytes(b"")
    traversal = open_traversal(folder)
    assert len(list(traversal.frames())) == 2
    assert traversal.skipped.counts == {"images that cannot be read": 1}


@pytest.mark.parametrize("packet", ["", "49.0 8.4 110.0", "nan " * 30, "forty-nine " * 30])
def test_images_whose_packet_is_damaged_are_without_a_pose_and_counted(tmp_path: Path, packet: Any) -> None:
    folder = kitti_raw(tmp_path)
    (folder / "oxts" / "data" / "0000000001.txt").write_text(packet)
    traversal = open_traversal(folder)
    assert [frame.T_map_camera is None for frame in traversal.frames()] == [False, True, False]
    assert traversal.skipped.counts == {"images without a pose": 1}


def test_lidar_and_camera_of_the_real_drive_agree(data_dir: Path) -> None:
    """The edges of near things in the projected lidar lie on edges of the image, and not if it is turned."""
    traversal = open_traversal(data_dir / "kitti_lidar_camera")
    pairs = list(zip(traversal.frames(), traversal.scans(), strict=True))[::4]

    def contrast_at_edges(turn_deg: float) -> float:
        turn = make_pose(Rotation.from_euler("y", turn_deg, degrees=True).as_matrix(), np.zeros(3))
        found = []
        for frame, scan in pairs:
            grey = cv2.GaussianBlur(cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY), (0, 0), 2.0)
            contrast = np.abs(cv2.Sobel(grey.astype(np.float32), cv2.CV_32F, 1, 0))
            sparse = project_depth([MapPoints.of(scan.points_map)], frame.T_map_camera @ turn, frame.camera)
            v, u = np.nonzero(np.isfinite(sparse))
            z = sparse[v, u]
            nearer = np.minimum(z[1:], z[:-1])
            beside = (np.diff(v) == 0) & (np.diff(u) < 10)
            edge = np.flatnonzero(beside & (np.abs(np.diff(z)) > 0.3 * nearer) & (nearer < 25))
            found.append(contrast[v[edge], (u[edge] + u[edge + 1]) // 2].mean())
        return float(np.mean(found))

    assert contrast_at_edges(0.0) > 2 * max(contrast_at_edges(-1.0), contrast_at_edges(1.0))
