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

"""Bags as traversals: cameras, poses, depth and lidar."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drive import (
    CAMERA,
    T_BASE_CAMERA,
    T_BASE_LIDAR,
    base_at,
    picture,
    stamp,
    write_drive,
)

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.pose import interpolate, inverse, transform
from scene_geo_loc.geometry.trajectory import Trajectory, write_tum
from scene_geo_loc.traversals.messages.images import image_of
from scene_geo_loc.traversals.rosbag.bag import Bag
from scene_geo_loc.traversals.rosbag.index import BagIndex
from scene_geo_loc.traversals.rosbag.traversal import RosbagTraversal
from scene_geo_loc.traversals.rosbag.writer import BagWriter
from scene_geo_loc.traversals.subset import Subset

pytestmark = pytest.mark.slow


def test_frames_have_their_image_camera_pose_and_depth(drive: Any) -> None:
    traversal = RosbagTraversal(drive)
    frames = list(traversal.frames())
    assert len(frames) == len(traversal) == 10
    assert traversal.map_frame == "map"
    assert not traversal.skipped
    for i, frame in enumerate(frames):
        assert frame.stamp_ns == stamp(i)
        assert frame.camera == CAMERA
        np.testing.assert_array_equal(frame.image, picture(i))
        np.testing.assert_allclose(frame.T_map_camera, base_at(i) @ T_BASE_CAMERA, atol=1e-9)
        assert np.isnan(frame.depth[0, 0])
        np.testing.assert_allclose(frame.depth[1:], 1.0 + i)


def test_a_traversal_can_be_read_again(drive: Any) -> None:
    traversal = RosbagTraversal(drive)
    assert [f.stamp_ns for f in traversal.frames()] == [f.stamp_ns for f in traversal.frames()]


def test_compressed_images_are_read_where_there_are_no_raw_ones(tmp_path: Path) -> None:
    frames = list(RosbagTraversal(write_drive(tmp_path / "drive", compressed=True)).frames())
    assert len(frames) == 10
    assert frames[0].image.shape == (48, 64, 3)


def test_poses_are_interpolated_to_the_stamp_of_the_image(tmp_path: Path) -> None:
    bag = write_drive(tmp_path / "drive", image_stamp=lambda i: stamp(i - 0.5))
    frames = list(RosbagTraversal(bag).frames())
    assert frames[0].T_map_camera is None
    middle = base_at(2.5) @ T_BASE_CAMERA
    np.testing.assert_allclose(frames[3].T_map_camera[:3, :3], middle[:3, :3], atol=1e-6)
    np.testing.assert_allclose(frames[3].T_map_camera, middle, atol=0.01)


@pytest.mark.parametrize(
    ("there", "wanted", "offset", "map_frame"),
    [
        ({"truth": True, "tf": True, "odometry": True}, None, (0, 0, 0), "map"),
        ({"truth": False, "tf": True, "odometry": True}, None, (100, 0, 0), "map"),
        ({"truth": False, "odometry": True}, None, (0, 0, 7), "odom"),
        ({"truth": True, "tf": True, "odometry": True}, "/odom", (0, 0, 7), "odom"),
        ({"truth": True, "tf": True, "odometry": True}, "/tf", (100, 0, 0), "map"),
    ],
)
def test_poses_are_of_the_truth_else_of_tf_else_of_odometry_or_as_named(
    tmp_path: Path, there: Any, wanted: str | None, offset: tuple[int, ...], map_frame: str
) -> None:
    traversal = RosbagTraversal(write_drive(tmp_path / "drive", **there), poses=wanted)
    frame = list(traversal.frames())[4]
    assert traversal.map_frame == map_frame
    expected = base_at(4) @ T_BASE_CAMERA
    expected[:3, 3] += offset
    np.testing.assert_allclose(frame.T_map_camera, expected, atol=1e-9)


@pytest.mark.parametrize(
    ("there", "wanted", "height"),
    [
        ({"truth": True, "tf": True, "odometry": True}, None, 7.0),
        ({"truth": True, "tf": True}, None, 0.0),
        ({"truth": True}, None, None),
        ({"truth": False, "odometry": True}, None, None),
        ({"truth": True, "odometry": True}, "/odom", None),
    ],
)
def test_odometry_is_of_its_topic_else_of_tf_and_never_what_the_poses_are_of(
    tmp_path: Path, there: Any, wanted: str | None, height: float | None
) -> None:
    traversal = RosbagTraversal(write_drive(tmp_path / "drive", **there), poses=wanted)
    frame = list(traversal.frames())[4]
    if height is None:
        assert frame.T_odom_camera is None
    else:
        expected = base_at(4) @ T_BASE_CAMERA
        expected[2, 3] += height
        np.testing.assert_allclose(frame.T_odom_camera, expected, atol=1e-9)


@pytest.mark.parametrize(
    ("there", "by_odometry"),
    [
        ({"truth": True, "odometry": True}, True),
        ({"truth": False, "odometry": True}, True),
        ({"truth": True}, False),
    ],
)
def test_the_motion_during_a_rolling_shutter_is_by_odometry_else_by_the_poses(
    tmp_path: Path, there: Any, by_odometry: bool, caplog: pytest.LogCaptureFixture
) -> None:
    bag = write_drive(tmp_path / "drive", **there)
    assert all(frame.readout_motion is None for frame in RosbagTraversal(bag).frames())
    *frames, last = RosbagTraversal(bag, readout_time=0.05).frames()
    for i, frame in enumerate(frames):
        motion = frame.readout_motion
        assert frame.camera.readout_s == 0.05
        assert motion is not None
        assert motion.by_odometry is by_odometry
        # Half of the way to the next pose, which is 0.1 s away.
        whole = inverse(base_at(i) @ T_BASE_CAMERA) @ base_at(i + 1) @ T_BASE_CAMERA
        np.testing.assert_allclose(motion.T_image_last, interpolate(np.eye(4), whole, 0.5), atol=2e-3)
    assert last.readout_motion is None
    lacking = 1 if by_odometry else 10
    assert f"{lacking} of 10 images of a rolling shutter have no odometry" in caplog.text


def test_poses_can_come_from_a_trajectory_of_the_camera(tmp_path: Path, drive: Any) -> None:
    stamps = np.array([stamp(i) for i in range(10)])
    poses = np.stack([base_at(i + 3) @ T_BASE_CAMERA for i in range(10)])
    write_tum(tmp_path / "poses.tum", Trajectory(stamps, poses))
    traversal = RosbagTraversal(drive, poses=str(tmp_path / "poses.tum"))
    for i, frame in enumerate(traversal.frames()):
        np.testing.assert_allclose(frame.T_map_camera, base_at(i + 3) @ T_BASE_CAMERA, atol=1e-6)


def test_poses_that_are_not_there_are_named_with_those_that_are(drive: Any) -> None:
    with pytest.raises(TraversalError, match="/ground_truth/pose"):
        RosbagTraversal(drive, poses="/elsewhere")


def test_without_a_mounting_a_pose_is_that_of_the_camera(tmp_path: Path) -> None:
    bag = write_drive(tmp_path / "drive", static=False)
    frame = next(RosbagTraversal(bag).frames())
    np.testing.assert_allclose(frame.T_map_camera, base_at(0), atol=1e-9)


def test_without_poses_frames_are_given_and_counted(tmp_path: Path) -> None:
    traversal = RosbagTraversal(write_drive(tmp_path / "drive", truth=False))
    assert [frame.T_map_camera for frame in traversal.frames()] == [None] * 10
    assert traversal.skipped.counts == {"images without a pose": 10}


def test_a_camera_whose_mounting_is_unknown_has_no_pose_and_the_log_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    traversal = RosbagTraversal(write_drive(tmp_path / "drive", truth=False, odometry=True, static=False))
    assert next(traversal.frames()).T_map_camera is None
    assert (
        "from base_link, whose poses are on /odom, to the camera's frame camera_optical_frame" in caplog.text
    )


def test_images_need_a_camera_info(tmp_path: Path) -> None:
    with pytest.raises(TraversalError, match="10 images on /camera/image_raw but no camera_info"):
        RosbagTraversal(write_drive(tmp_path / "drive", camera=None))


def test_a_bag_without_images_says_what_it_has(tmp_path: Path) -> None:
    bag = write_drive(tmp_path / "drive", images=())
    with pytest.raises(TraversalError, match=r"no camera images; its topics are: /tf_static\."):
        RosbagTraversal(bag)


def test_a_camera_topic_can_be_named(tmp_path: Path) -> None:
    def other_camera(bag: BagWriter, i: int) -> Any:
        bag.camera_info("/back/camera_info", stamp(i), "camera_optical_frame", CAMERA)
        bag.image("/back/image_raw", stamp(i), "camera_optical_frame", 255 - picture(i))

    bag = write_drive(tmp_path / "drive", extra=other_camera)
    frame = next(RosbagTraversal(bag, camera="/camera/image_raw").frames())
    np.testing.assert_array_equal(frame.image, picture(0))
    with pytest.raises(TraversalError, match="/back/image_raw, /camera/image_raw"):
        RosbagTraversal(bag, camera="/front/image_raw")


def test_duplicate_and_backward_stamps_are_left_out_and_counted(tmp_path: Path) -> None:
    order = [0, 1, 1, 2, 5, 3, 4, 6, 7, 8]
    traversal = RosbagTraversal(write_drive(tmp_path / "drive", image_stamp=lambda i: stamp(order[i])))
    stamps = [frame.stamp_ns for frame in traversal.frames()]
    assert all(a < b for a, b in pairwise(stamps))
    assert traversal.skipped.counts["images with a stamp not after the one before"] == 10 - len(stamps) > 0


def test_images_of_another_size_than_camera_info_says_are_left_out(tmp_path: Path) -> None:
    def small(bag: BagWriter, i: int) -> Any:
        bag.image("/camera/image_raw", stamp(i + 0.5), "camera_optical_frame", picture(i)[:24, :32])

    traversal = RosbagTraversal(write_drive(tmp_path / "some", extra=small))
    assert sum(1 for _ in traversal.frames()) == 10
    assert traversal.skipped.counts["images of another size than camera_info says"] == 10
    traversal = RosbagTraversal(write_drive(tmp_path / "all", camera=CAMERA.resized(32, 24)))
    with pytest.raises(TraversalError, match="64 x 48 pixels, camera_info 32 x 24"):
        list(traversal.frames())


def test_depth_of_another_camera_is_not_taken(tmp_path: Path) -> None:
    def stereo_depth(bag: BagWriter, i: int) -> Any:
        bag.depth_image("/stereo/depth", stamp(i), "stereo_frame", np.ones((48, 64), np.float32))

    assert next(RosbagTraversal(write_drive(tmp_path / "drive", extra=stereo_depth)).frames()).depth is None


def test_a_part_has_only_its_frames_and_their_own_depth(drive: Any) -> None:
    traversal = RosbagTraversal(drive).subset(Subset(every=3, offset=1, start=0.2))
    frames = list(traversal.frames())
    assert len(traversal) == 3
    assert [frame.stamp_ns for frame in frames] == [stamp(3), stamp(6), stamp(9)]
    assert [frame.depth[5, 5] for frame in frames] == [4.0, 7.0, 10.0]


def landmarks() -> np.ndarray:
    return np.random.default_rng(0).uniform(-20, 20, (500, 3))


def sweep(bag: BagWriter, i: int, *, points: np.ndarray | None = None) -> Any:
    """Landmarks as a lidar on the moving vehicle sees them, one after the other."""
    seconds = np.linspace(0.0, 0.09, 500)
    seen = [
        transform(inverse(base_at(i + second * 10) @ T_BASE_LIDAR), point[None])[0]
        for point, second in zip(landmarks(), seconds, strict=True)
    ]
    bag.points(
        "/lidar/points", stamp(i), "lidar_link", seen if points is None else points, time_offset_s=seconds
    )


def test_scans_are_freed_of_the_motion_within_a_sweep(tmp_path: Path) -> None:
    scans = list(RosbagTraversal(write_drive(tmp_path / "drive", extra=sweep)).scans())
    assert [scan.stamp_ns for scan in scans] == [stamp(i) for i in range(10)]
    # The path is curved, and a pose is shared within a millisecond.
    np.testing.assert_allclose(scans[3].points_map, landmarks(), atol=0.03)
    # After the last pose nothing is known.
    assert len(scans[9].points_map) < 500


def test_scans_without_a_valid_point_or_without_a_pose_are_counted(tmp_path: Path) -> None:
    def empty(bag: BagWriter, i: int) -> Any:
        sweep(bag, i, points=np.full((500, 3), np.nan))

    traversal = RosbagTraversal(write_drive(tmp_path / "nan", extra=empty))
    assert list(traversal.scans()) == []
    assert traversal.skipped.counts == {"scans without a valid point": 10}
    traversal = RosbagTraversal(write_drive(tmp_path / "lost", extra=sweep, truth=False))
    assert list(traversal.scans()) == []
    assert traversal.skipped.counts == {"scans without a pose": 10}


def test_a_laser_scan_is_taken_where_there_is_no_cloud(tmp_path: Path) -> None:
    def laser(bag: BagWriter, i: int) -> Any:
        bag.laser_scan(
            "/front/scan", stamp(i), "lidar_link", [2.0, 3.0], [0, 0], 0.0, np.pi / 2, 0.0, 0.1, 50.0
        )

    scan = next(RosbagTraversal(write_drive(tmp_path / "drive", extra=laser)).scans())
    expected = transform(base_at(0) @ T_BASE_LIDAR, np.array([[2.0, 0, 0], [0, 3.0, 0]]))
    np.testing.assert_allclose(scan.points_map, expected, atol=1e-6)


def test_a_bag_without_lidar_has_no_scans(drive: Any) -> None:
    assert list(RosbagTraversal(drive).scans()) == []


def test_the_real_ros_1_bag_is_read_but_for_its_camera_info(data_dir: Path) -> None:
    path = data_dir / "rosbag_t265" / "trimmed_locoffice.bag"
    index = BagIndex(Bag(path))
    odometry = index.poses["/camera/odom/sample"]
    assert (odometry.frame_id, odometry.child_frame_id) == ("camera_odom_frame", "camera_pose_frame")
    trajectory = odometry.series.trajectory()
    assert len(trajectory) == 19
    assert np.linalg.norm(np.ptp(trajectory.poses[:, :3, 3], axis=0)) < 0.2
    images = [image_of(message.decode()) for message in index.bag.messages(["/camera/fisheye1/image_raw"])]
    assert [image.shape for image in images] == [(800, 848, 3)] * 3
    assert images[0].std() > 20
    with pytest.raises(TraversalError, match="3 images on /camera/fisheye1/image_raw but no camera_info"):
        RosbagTraversal(path)
