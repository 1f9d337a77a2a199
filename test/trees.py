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

"""Tiny datasets in their official layouts, of grey images and known poses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from scene_geo_loc.geometry.datum import Datum
from scene_geo_loc.geometry.pose import OPTICAL_FROM_BODY, Pose, inverse, make_pose, to_quaternion
from scene_geo_loc.traversals.folder import FolderTraversal
from scene_geo_loc.traversals.opening import open_traversal

K = np.array([[50.0, 0, 15.5], [0, 51.0, 11.5], [0, 0, 1]])
POINTS = np.array([[5.0, 1.0, 0.5], [8.0, -2.0, 0.0], [np.nan, 0, 0], [0, 0, 0]])
"""A lidar's points, of which two are valid."""

TR = make_pose(np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]]), [0.0, -0.08, -0.27])
"""The pose of the lidar in camera 0, about that of KITTI's car."""


def open_folder(path: Path, **options: Any) -> FolderTraversal:
    """Opens a traversal that consists of image files, as `open_traversal` does."""
    traversal = open_traversal(path, **options)
    assert isinstance(traversal, FolderTraversal)
    return traversal


def pose(i: float) -> Pose:
    return make_pose(Rotation.from_euler("y", 3 * i, degrees=True).as_matrix(), [0.1 * i, 0.0, 0.5 * i])


def write_image(path: Path, value: int, grey: bool = False, size: tuple[int, int] = (24, 32)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full(size if grey else (*size, 3), value, np.uint8))


def write_depth(path: Path, size: tuple[int, int] = (24, 32)) -> None:
    """1.5 m everywhere, but for the first two pixels, which are unknown in the two usual ways."""
    path.parent.mkdir(parents=True, exist_ok=True)
    millimetres = np.full(size, 1500, np.uint16)
    millimetres[0, 0], millimetres[0, 1] = 0, 65535
    cv2.imwrite(str(path), millimetres)


def write_rows(path: Path, rows: Sequence[np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, np.array([row.reshape(-1) for row in rows]))


def write_velodyne(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.concatenate([POINTS, np.ones((4, 1))], axis=1).astype("<f4").tofile(path)


def rgbd(folder: Path) -> Path:
    for i in range(4):
        write_image(folder / "images" / f"{i:05d}.png", 10 * i)
        write_depth(folder / "depth" / f"{i:05d}.png")
    np.savetxt(folder / "K.txt", K)
    write_rows(folder / "poses.txt", [pose(i) for i in range(4)])
    return folder


def seven_scenes(folder: Path) -> Path:
    """Two sequences of three frames; the poses of sequence n begin with `pose(10 * n)`."""
    for sequence in (1, 2):
        for i in range(3):
            stem = folder / f"seq-{sequence:02d}" / f"frame-{i:06d}"
            write_image(stem.with_suffix(".color.png"), 10 * i, size=(480, 640))
            write_depth(stem.with_suffix(".depth.png"), size=(480, 640))
            np.savetxt(stem.with_suffix(".pose.txt"), pose(10 * sequence + i))
    (folder / "TrainSplit.txt").write_text("sequence2\r\n")
    (folder / "TestSplit.txt").write_text("sequence1\r\n")
    return folder


def twelve_scenes(folder: Path) -> Path:
    """Three sequences of two frames each; frame i has `pose(i)`, and frame 3 was lost."""
    for i in range(6):
        stem = folder / "data" / f"frame-{i:06d}"
        write_image(stem.with_suffix(".color.jpg"), 10 * i, size=(968, 1296))
        write_depth(stem.with_suffix(".depth.png"), size=(480, 640))
        np.savetxt(stem.with_suffix(".pose.txt"), pose(i))
    (folder / "data" / "frame-000003.pose.txt").write_text("-1.#INF -1.#INF -1.#INF -1.#INF\n" * 4)
    (folder / "info.txt").write_text(
        "m_versionNumber = 4\nm_sensorName = StructureSensor\nm_colorWidth = 1296\nm_colorHeight = 968\n"
        "m_depthWidth = 640\nm_depthHeight = 480\nm_depthShift = 1000\n"
        "m_calibrationColorIntrinsic = 1158.3 0 649 0 0 1153.53 483.5 0 0 0 1 0 0 0 0 1 \n"
        "m_calibrationDepthIntrinsic = 572 0 320 0 0 572 240 0 0 0 1 0 0 0 0 1 \n"
    )
    (folder / "split.txt").write_text(
        "".join(f"sequence{n} [frames=2]  [start={2 * n} ; end={2 * n + 1}]\n" for n in range(3))
    )
    return folder


def tum_rgbd(folder: Path, count: int = 4) -> Path:
    """Frames 0.1 s apart from 1305031102.175304 s on, frame i with `pose(i)`; depth comes 10 ms later.

    The last frame's depth comes 30 ms later.
    """
    colour, depth, truth = ["# color images"], ["# depth maps"], ["# ground truth"]
    for i in range(count):
        second = f"1305031102.{175304 + 100000 * i:06d}"
        later = f"1305031102.{175304 + 100000 * i + (30000 if i == count - 1 else 10000):06d}"
        write_image(folder / "rgb" / f"{second}.png", 10 * i)
        raw = np.full((24, 32), 7500, np.uint16)
        raw[0, 0] = 0
        (folder / "depth").mkdir(exist_ok=True)
        cv2.imwrite(str(folder / "depth" / f"{later}.png"), raw)
        colour.append(f"{second} rgb/{second}.png")
        depth.append(f"{later} depth/{later}.png")
        numbers = (*pose(i)[:3, 3], *to_quaternion(pose(i)))
        truth.append(f"{second} " + " ".join(f"{number:.9f}" for number in numbers))
    for name, lines in (("rgb", colour), ("depth", depth), ("groundtruth", truth)):
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder


def cambridge(folder: Path) -> Path:
    """Sequences 1, 2 and 10; those of the test split are 2. The reconstruction lacks the last image."""
    lists = {"train": ["seq10/frame00001.png", "seq1/frame00003.png", "seq1/frame00001.png"]}
    lists["test"] = ["seq2/frame00002.png", "seq2/frame00012.png"]
    for split, names in lists.items():
        lines = ["Visual Landmark Dataset V1", "ImageFile, Camera Position [X Y Z W P Q R]", ""]
        for name in names:
            write_image(folder / name, 100, size=(108, 192))
            lines.append(f"{name} {_cambridge_pose(pose(len(lines)))}")
        (folder / f"dataset_{split}.txt").write_text("\n".join(lines) + "\n")
    cameras = [
        f"{name.removesuffix('.png')}.jpg\t{1600 + 10 * i} 1 0 0 0 0 0 0 {0.01 * i} 0"
        for i, name in enumerate([*lists["train"], *lists["test"]][:-1])
    ]
    points = "1.5 2.5 3.5 10 20 30 2 0 11 1.5 2.5 1 12 3.5 4.5"
    (folder / "reconstruction.nvm").write_text(
        "NVM_V3 \n\n" + f"{len(cameras)}\n" + "\n".join(cameras) + f"\n\n1\n{points}\n\n0\n"
    )
    return folder


def _cambridge_pose(T_map_camera: Pose) -> str:
    x, y, z, w = to_quaternion(inverse(T_map_camera))
    return " ".join(f"{value:.9f}" for value in (*T_map_camera[:3, 3], w, x, y, z))


def colmap(folder: Path) -> Path:
    """Two photos in one folder, listed against the order of their names; the second has no features."""
    lines = ["# Image list with two lines of data per image:"]
    for i, name in enumerate(["b/2.jpg", "a 1.jpg"], 1):
        write_image(folder / "images" / name, 10 * i)
        T_camera_map = inverse(pose(i))
        x, y, z, w = to_quaternion(T_camera_map)
        numbers = " ".join(f"{value:.9f}" for value in (w, x, y, z, *T_camera_map[:3, 3]))
        lines += [f"{i} {numbers} 7 {name}", "10.5 11.5 -1 12.5 13.5 42" if i == 1 else ""]
    (folder / "sparse" / "0").mkdir(parents=True)
    (folder / "sparse" / "0" / "images.txt").write_text("\n".join(lines) + "\n")
    (folder / "sparse" / "0" / "cameras.txt").write_text("# Cameras\n7 SIMPLE_RADIAL 32 24 50 16 12 -0.03\n")
    return folder


def entry(key: str, values: np.ndarray) -> str:
    """A line of a calibration of KITTI."""
    return f"{key}: {' '.join(str(float(v)) for v in np.asarray(values).reshape(-1))}\n"


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
        latitude, _, altitude = Datum(49.0, 8.4, 110.0).geodetic_of([0.0, 2.0 * i, 0.0])
        write_rows(
            folder / "oxts" / "data" / f"{i:010d}.txt",
            [np.array([latitude, 8.4, altitude, 0.0, 0.0, np.pi / 2, *([0.0] * 24)])],
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


EUROC_START = 1_403_636_579_763_555_584
EUROC_PERIOD = 50_000_000
T_BODY_CAMERA = make_pose(OPTICAL_FROM_BODY.T, [0.06, -0.02, 0.01])
T_BODY_MARKER = make_pose(np.eye(3), [0.0, 0.0, 0.1])


def euroc_sensor(T: Pose, lens: str = "") -> str:
    numbers = ", ".join(repr(float(value)) for value in T.reshape(-1))
    return f"sensor_type: x\nT_BS:\n  cols: 4\n  rows: 4\n  data: [{numbers}]\n{lens}"


EUROC_LENS = """resolution: [32, 24]
camera_model: pinhole
intrinsics: [30.0, 31.0, 16.5, 11.5]
distortion_model: radial-tangential
distortion_coefficients: [-0.28, 0.07, 0.0002, 0.00002]
"""


def euroc(folder: Path) -> Path:
    """Four images, of which the first is without a pose; the body has `pose(i)` at image i."""
    root = folder / "mav0"
    rows = ["#timestamp [ns],filename"]
    for i in range(4):
        name = f"{EUROC_START + i * EUROC_PERIOD}.png"
        write_image(root / "cam0" / "data" / name, 10 * i, grey=True)
        rows.append(f"{EUROC_START + i * EUROC_PERIOD},{name}")
    (root / "cam0" / "data.csv").write_text("\r\n".join(rows))
    (root / "cam0" / "sensor.yaml").write_text(euroc_sensor(T_BODY_CAMERA, EUROC_LENS))
    header = (
        "#timestamp, p_RS_R_x [m], p_RS_R_y [m], p_RS_R_z [m], q_RS_w [], q_RS_x [], q_RS_y [], q_RS_z [], v"
    )
    rows = [header]
    for i in range(1, 4):
        T = pose(i) @ T_BODY_MARKER
        x, y, z, w = to_quaternion(T)
        rows.append(",".join(repr(float(v)) for v in (*T[:3, 3], w, x, y, z, 0.5)))
        rows[-1] = f"{EUROC_START + i * EUROC_PERIOD},{rows[-1]}"
    truth = root / "state_groundtruth_estimate0"
    truth.mkdir()
    (truth / "data.csv").write_text("\n".join(rows))
    (truth / "sensor.yaml").write_text(euroc_sensor(T_BODY_MARKER))
    return folder


def ace(root: Path) -> Path:
    """Three frames with `pose(i)` to train, and two with `pose(10 + i)` to test."""
    calibrations = {"train": (3, "30.5"), "test": (2, "30 0 15\n0 31 11\n0 0 1\n")}
    for split, (count, calibration) in calibrations.items():
        folder = root / split
        for name in ("poses", "calibration", "depth"):
            (folder / name).mkdir(parents=True)
        for i in range(count):
            stem = f"seq-01-frame-{i:06d}"
            write_image(folder / "rgb" / f"{stem}.color.png", 10 * i)
            (folder / "poses" / f"{stem}.pose.txt").write_text(
                "\n".join(" ".join(map(repr, row)) for row in pose(i + 10 * (split == "test")).tolist())
            )
            (folder / "calibration" / f"{stem}.calibration.txt").write_text(calibration)
            depth = np.full((24, 32), 1000 * (i + 1), np.uint16)
            cv2.imwrite(str(folder / "depth" / f"{stem}.depth.png"), depth)
    return root
