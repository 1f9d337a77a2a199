"""Datasets as traversals: tiny trees in their official layouts, and the real samples."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from scene_geo_loc.depth.lidar import project_depth
from scene_geo_loc.errors import TraversalError
from scene_geo_loc.geometry.pose import Pose, inverse, make_pose
from scene_geo_loc.traversals.opening import FORMATS, open_traversal

K = np.array([[50.0, 0, 15.5], [0, 51.0, 11.5], [0, 0, 1]])
POINTS = np.array([[5.0, 1.0, 0.5], [8.0, -2.0, 0.0], [np.nan, 0, 0], [0, 0, 0]])


def pose(i: float) -> Pose:
    return make_pose(Rotation.from_euler("y", 3 * i, degrees=True).as_matrix(), [0.1 * i, 0.0, 0.5 * i])


def write_image(path: Path, value: int, grey: bool = False, size: tuple[int, int] = (24, 32)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full(size if grey else (*size, 3), value, np.uint8))


def write_depth(path: Path, size: tuple[int, int] = (24, 32)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    millimetres = np.full(size, 1500, np.uint16)
    millimetres[0, 0], millimetres[0, 1] = 0, 65535
    cv2.imwrite(str(path), millimetres)


def write_rows(path: Path, rows: list[np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, np.array([row.reshape(-1) for row in rows]))


def write_velodyne(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.concatenate([POINTS, np.ones((4, 1))], axis=1).astype("<f4").tofile(path)


def entry(key: str, values: np.ndarray) -> str:
    return f"{key}: {' '.join(str(float(v)) for v in np.asarray(values).reshape(-1))}\n"


def rgbd(folder: Path) -> Path:
    for i in range(4):
        write_image(folder / "images" / f"{i:05d}.png", 10 * i)
        write_depth(folder / "depth" / f"{i:05d}.png")
    np.savetxt(folder / "K.txt", K)
    write_rows(folder / "poses.txt", [pose(i) for i in range(4)])
    return folder


def seven_scenes(folder: Path) -> Path:
    for sequence in (1, 2):
        for i in range(3):
            stem = folder / f"seq-{sequence:02d}" / f"frame-{i:06d}"
            write_image(stem.with_suffix(".color.png"), 10 * i, size=(480, 640))
            write_depth(stem.with_suffix(".depth.png"), size=(480, 640))
            np.savetxt(stem.with_suffix(".pose.txt"), pose(10 * sequence + i))
    (folder / "TrainSplit.txt").write_text("sequence2\n")
    (folder / "TestSplit.txt").write_text("sequence1\n")
    return folder


TR = make_pose(np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]]), [0.0, -0.08, -0.27])
"""The pose of the lidar in camera 0, about that of KITTI's car."""


def kitti_odometry(root: Path) -> Path:
    folder = root / "sequences" / "04"
    for i in range(3):
        write_image(folder / "image_2" / f"{i:06d}.png", 10 * i)
        write_image(folder / "image_0" / f"{i:06d}.png", 10 * i, grey=True)
        write_velodyne(folder / "velodyne" / f"{i:06d}.bin")
    P2 = np.concatenate([K, K @ [[0.06], [0.0], [0.003]]], axis=1)
    P0 = np.concatenate([K, np.zeros((3, 1))], axis=1)
    (folder / "calib.txt").write_text(entry("P0", P0) + entry("P2", P2) + entry("Tr", TR[:3]))
    write_rows(folder / "times.txt", [np.array([0.0]), np.array([0.1036]), np.array([0.2073])])
    write_rows(root / "poses" / "04.txt", [pose(i)[:3] for i in range(3)])
    return folder


def kitti_raw(root: Path) -> Path:
    date = root / "2011_09_26"
    folder = date / "2011_09_26_drive_0001_sync"
    for i in range(3):
        write_image(folder / "image_02" / "data" / f"{i:010d}.png", 10 * i)
        write_velodyne(folder / "velodyne_points" / "data" / f"{i:010d}.bin")
        # North by 2 m a frame, heading north: yaw is counted from east.
        latitude = 49.0 + i * 2.0 / 6378137.0 * 180 / np.pi
        write_rows(
            folder / "oxts" / "data" / f"{i:010d}.txt",
            [np.array([latitude, 8.4, 110.0, 0.0, 0.0, np.pi / 2, *([0.0] * 24)])],
        )
    times = [f"2011-09-26 13:02:25.{i}00000001" for i in range(3)]
    (folder / "image_02" / "timestamps.txt").write_text("\n".join(times) + "\n")
    P = np.concatenate([K, K @ [[0.06], [0.0], [0.003]]], axis=1)
    (date / "calib_cam_to_cam.txt").write_text(
        "calib_time: 09-Jan-2012 13:57:47\n" + entry("R_rect_00", np.eye(3)) + entry("P_rect_02", P)
    )
    (date / "calib_velo_to_cam.txt").write_text(entry("R", TR[:3, :3]) + entry("T", TR[:3, 3]))
    (date / "calib_imu_to_velo.txt").write_text(
        entry("R", np.eye(3)) + entry("T", np.array([-0.8, 0.3, -0.8]))
    )
    return folder


def test_an_rgbd_folder_has_poses_and_depth_with_unknown_pixels(tmp_path):
    traversal = open_traversal(rgbd(tmp_path))
    frames = list(traversal.frames())
    assert len(frames) == len(traversal) == 4
    assert (frames[0].camera.fx, frames[0].camera.cy, frames[0].camera.width) == (50.0, 11.5, 32)
    assert frames[3].stamp_ns - frames[0].stamp_ns == 300_000_000
    np.testing.assert_allclose(frames[3].T_map_camera, pose(3), atol=1e-9)
    assert np.isnan(frames[0].depth[0, :2]).all()
    assert frames[0].depth[5, 5] == np.float32(1.5)


def test_frames_txt_names_the_frames_of_an_rgbd_folder(tmp_path):
    rgbd(tmp_path)
    (tmp_path / "frames.txt").write_text("00003.png\n00001.png\n00000.png\n00002.png\n")
    assert [frame.name for frame in open_traversal(tmp_path).frames()][:2] == ["00003.png", "00001.png"]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "poses.txt").write_text("1 2 3\n"), "lines of 16 numbers"),
        (lambda folder: (folder / "poses.txt").write_text("one two\n"), "lines of numbers"),
        (lambda folder: write_rows(folder / "poses.txt", [pose(0)]), "4 frames and 1 poses"),
        (lambda folder: (folder / "K.txt").write_text("0 0 0\n0 0 0\n0 0 1\n"), "not the intrinsics"),
        (lambda folder: (folder / "images" / "00000.png").write_bytes(b""), "missing or damaged"),
    ],
)
def test_a_damaged_rgbd_folder_is_refused_in_one_sentence(tmp_path, damage, words):
    damage(rgbd(tmp_path))
    with pytest.raises(TraversalError, match=words):
        list(open_traversal(tmp_path).frames())


def test_images_that_are_damaged_or_of_another_size_are_left_out_and_counted(tmp_path):
    rgbd(tmp_path)
    (tmp_path / "images" / "00001.png").write_bytes(b"not a picture")
    write_image(tmp_path / "images" / "00002.png", 0, size=(12, 16))
    write_rows(tmp_path / "poses.txt", [pose(0), pose(1), pose(2), np.full((4, 4), np.nan)])
    (tmp_path / "depth" / "00003.png").write_bytes(b"")
    traversal = open_traversal(tmp_path)
    frames = list(traversal.frames())
    assert [frame.name for frame in frames] == ["00000.png", "00003.png"]
    assert frames[1].T_map_camera is None
    assert frames[1].depth is None
    assert traversal.skipped.counts == {
        "images that cannot be read": 1,
        "images of another size than the camera's": 1,
        "images without a pose": 1,
        "depth images that cannot be read": 1,
    }


@pytest.mark.parametrize(("split", "first"), [(None, 10), ("train", 20), ("test", 10)])
def test_seven_scenes_has_its_splits(tmp_path, split, first):
    frames = list(open_traversal(seven_scenes(tmp_path), split=split).frames())
    assert len(frames) == (6 if split is None else 3)
    assert frames[0].camera.fx == 585.0
    np.testing.assert_allclose(frames[0].T_map_camera, pose(first), atol=1e-6)
    assert np.isnan(frames[0].depth[0, :2]).all()


def test_a_sequence_of_seven_scenes_is_a_source_too_and_sequences_lie_apart_in_time(tmp_path):
    seven_scenes(tmp_path)
    assert len(open_traversal(tmp_path / "seq-02")) == 3
    stamps = [frame.stamp_ns for frame in open_traversal(tmp_path).frames()]
    assert stamps[3] - stamps[2] > 10**9


def test_a_sequence_that_a_split_names_must_be_there(tmp_path):
    seven_scenes(tmp_path)
    (tmp_path / "TestSplit.txt").write_text("sequence9\n")
    with pytest.raises(TraversalError, match="seq-09"):
        open_traversal(tmp_path, split="test")
    with pytest.raises(TraversalError, match="no split 'validation'"):
        open_traversal(tmp_path, split="validation")


def test_kitti_odometry_takes_the_colour_camera_its_times_and_the_lidar(tmp_path):
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


def test_kitti_raw_takes_poses_from_gps_and_inertial_packets(tmp_path):
    traversal = open_traversal(kitti_raw(tmp_path))
    frames = list(traversal.frames())
    assert frames[2].stamp_ns - frames[0].stamp_ns == 200_000_000
    assert frames[0].stamp_ns == 1317042145_000000001
    moved = inverse(frames[0].T_map_camera) @ frames[2].T_map_camera
    np.testing.assert_allclose(moved[:3, 3], [0, 0, 4.0], atol=1e-3)
    np.testing.assert_allclose(moved[:3, :3], np.eye(3), atol=1e-9)
    (before, _, after) = traversal.scans()
    np.testing.assert_allclose(after.points_map - before.points_map, [[4.0, 0, 0]] * 2, atol=1e-3)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "calib.txt").write_text("P0: 1 2 3\n"), "no P2 of 12 numbers"),
        (lambda folder: write_rows(folder / "times.txt", [np.array([0.0])]), "1 lines for 3 images"),
        (lambda folder: write_rows(folder / "poses.txt", [pose(0)[:3]]), "1 lines for 3 images"),
    ],
)
def test_a_kitti_sequence_that_does_not_fit_together_is_refused(tmp_path, damage, words):
    folder = kitti_odometry(tmp_path)
    damage(folder)
    with pytest.raises(TraversalError, match=words):
        open_traversal(folder)


def test_a_cut_off_velodyne_file_is_left_out_and_counted(tmp_path):
    folder = kitti_odometry(tmp_path)
    (folder / "velodyne" / "000001.bin").write_bytes(b"12345")
    traversal = open_traversal(folder)
    assert len(list(traversal.scans())) == 2
    assert traversal.skipped.counts == {"scans that cannot be read": 1}


@pytest.mark.parametrize(
    ("make", "name"),
    [(rgbd, "rgbd"), (seven_scenes, "7scenes"), (kitti_odometry, "kitti-odometry"), (kitti_raw, "kitti-raw")],
)
def test_a_format_can_be_named_and_a_wrong_name_says_what_was_expected(tmp_path, make, name):
    folder = make(tmp_path)
    assert len(open_traversal(folder, name)) == len(open_traversal(folder))
    for other in set(FORMATS) - {name}:
        with pytest.raises(TraversalError):
            open_traversal(folder, other)


def test_what_is_no_source_is_told_with_what_was_looked_for_and_found(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(TraversalError, match=r"(?s)holiday\.jpg.*rgbd: .*7scenes: .*kitti-raw: "):
        open_traversal(tmp_path)
    with pytest.raises(TraversalError, match="does not exist"):
        open_traversal(tmp_path / "elsewhere")
    with pytest.raises(TraversalError, match="no format 'tartan'"):
        open_traversal(tmp_path, "tartan")
    with pytest.raises(TraversalError, match="takes no --split"):
        open_traversal(rgbd(tmp_path / "rgbd"), split="train")
    with pytest.raises(TraversalError, match="takes no --poses"):
        open_traversal(tmp_path / "rgbd", poses="/odom")


def test_a_part_of_a_dataset_has_only_its_frames(tmp_path):
    frames = list(open_traversal(rgbd(tmp_path), every=2, offset=1).frames())
    assert [frame.name for frame in frames] == ["00001.png", "00003.png"]
    frames = list(open_traversal(tmp_path, start=0.1, end=0.2).frames())
    assert [frame.name for frame in frames] == ["00001.png", "00002.png"]


@pytest.mark.parametrize(
    ("sample", "count", "with_depth"),
    [
        ("rgbd_hololens", 94, True),
        ("7scenes_stairs_sample/stairs", 12, True),
        ("kitti_odometry_seq1", 51, False),
        ("kitti_lidar_camera", 12, False),
    ],
)
def test_the_real_samples_are_recognised_and_read(data_dir: Path, sample, count, with_depth):
    traversal = open_traversal(data_dir / sample, every=3)
    frames = list(traversal.frames())
    assert len(frames) == len(traversal) == -(-count // 3)
    assert not traversal.skipped
    for frame in frames:
        assert frame.T_map_camera is not None
        assert (frame.depth is not None) == with_depth


def test_lidar_and_camera_of_the_real_drive_agree(data_dir: Path):
    """The edges of near things in the projected lidar lie on edges of the image, and not if it is turned."""
    traversal = open_traversal(data_dir / "kitti_lidar_camera")
    pairs = list(zip(traversal.frames(), traversal.scans(), strict=True))[::4]

    def contrast_at_edges(turn_deg: float) -> float:
        turn = make_pose(Rotation.from_euler("y", turn_deg, degrees=True).as_matrix(), np.zeros(3))
        found = []
        for frame, scan in pairs:
            grey = cv2.GaussianBlur(cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY), (0, 0), 2.0)
            contrast = np.abs(cv2.Sobel(grey.astype(np.float32), cv2.CV_32F, 1, 0))
            sparse = project_depth(scan.points_map, frame.T_map_camera @ turn, frame.camera)
            v, u = np.nonzero(np.isfinite(sparse))
            z = sparse[v, u]
            nearer = np.minimum(z[1:], z[:-1])
            beside = (np.diff(v) == 0) & (np.diff(u) < 10)
            edge = np.flatnonzero(beside & (np.abs(np.diff(z)) > 0.3 * nearer) & (nearer < 25))
            found.append(contrast[v[edge], (u[edge] + u[edge + 1]) // 2].mean())
        return float(np.mean(found))

    assert contrast_at_edges(0.0) > 2 * max(contrast_at_edges(-1.0), contrast_at_edges(1.0))
