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

"""KITTI (Geiger et al., CVPR 2012): odometry sequences, raw drives, and excerpts of them.

Odometry: `image_0` or `image_2` (also `image_l`), `calib.txt` (`P0:` ... `Tr:`), `times.txt`, `velodyne/`,
and the poses of camera 0 in `poses.txt` or `../../poses/NN.txt`.
Raw: a drive with `image_02/data`, `velodyne_points/data` and `oxts/data`, with the calibration in the
folder of the date.
Excerpt: `image_02/`, `velodyne/`, `calib.txt` (`K:`, `t2:`, `R_rect_00:`, `Tr_velo_to_cam:`) and
`poses_velo*.txt` with the poses of the lidar.

`camera` is the folder of a camera; by default colour is preferred to grey, and left to right.  The
lidar's clouds are not de-skewed, because their points have no times.
"""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.core.regular_file import regular
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.datum import Datum, Georeference
from scene_geo_loc.geometry.pose import Pose, inverse, make_pose
from scene_geo_loc.traversals.folder import (
    FIRST_STAMP_NS,
    FolderTraversal,
    FrameFiles,
    ScanFile,
    pose_of,
    read_numbers,
    size_of,
    stamp_of,
)
from scene_geo_loc.traversals.formats import Content, Format
from scene_geo_loc.traversals.text import read_text

_ODOMETRY_CAMERAS = {"image_2": 2, "image_3": 3, "image_0": 0, "image_1": 1, "image_l": 0, "image_r": 1}
_RAW_CAMERAS = ("image_02", "image_03", "image_00", "image_01")

_LATEST_S = 1e9
"""Times since the start of a drive are shorter."""


def is_kitti_odometry(folder: Path) -> bool:
    """Returns whether a folder is a sequence of the odometry benchmark."""
    return any((folder / name).is_dir() for name in _ODOMETRY_CAMERAS) and (folder / "calib.txt").is_file()


def is_kitti_raw(folder: Path) -> bool:
    """Returns whether a folder is a raw drive."""
    return (folder / "oxts" / "data").is_dir() and bool(_raw_cameras(folder))


def is_kitti_lidar(folder: Path) -> bool:
    """Returns whether a folder is an excerpt with the poses of its lidar."""
    return (folder / "image_02").is_dir() and any(folder.glob("poses_velo*.txt"))


def open_kitti_odometry(folder: Path, camera: str | None = None) -> FolderTraversal:
    """Opens a sequence of the odometry benchmark. Raises TraversalError."""
    name = _choose(folder, camera, [name for name in _ODOMETRY_CAMERAS if (folder / name).is_dir()])
    images = _images(folder / name)
    calibration = _read_calibration(folder / "calib.txt")
    number = _ODOMETRY_CAMERAS[name]
    P = _entry(calibration, str(number) if str(number) in calibration else f"P{number}", folder, (3, 4))
    K, T_camera_first = _split_projection(P)
    poses: list[Pose | None] = [None] * len(images)
    poses_file = next(
        (file for file in (folder / "poses.txt", _beside(folder)) if file is not None and file.is_file()),
        None,
    )
    if poses_file is not None:
        rows = read_numbers(poses_file, 12)
        _check_count(poses_file, len(rows), len(images))
        poses = [pose_of(row) for row in rows]
    times = folder / "times.txt"
    stamps = [stamp_of(i) for i in range(len(images))]
    if times.is_file():
        seconds = read_numbers(times, 1)[:, 0]
        _check_count(times, len(seconds), len(images))
        if not (np.abs(seconds) < _LATEST_S).all():
            raise TraversalError(f"{times}: a time is not a number of seconds since the start of the drive.")
        stamps = [FIRST_STAMP_NS + round(second * 1e9) for second in seconds]
    T_first_lidar = None
    if "Tr" in calibration:
        T_first_lidar = make_pose(*_rt(_entry(calibration, "Tr", folder, (3, 4))))
    return _traversal(folder, images, stamps, K, poses, T_camera_first, folder / "velodyne", T_first_lidar)


ODOMETRY = Format(
    layout="image_0 (or image_2, image_l) and calib.txt with P0",
    recognise=is_kitti_odometry,
    open=open_kitti_odometry,
    content=(Content.POSES, Content.LIDAR),
    options=("camera",),
)


def open_kitti_lidar(folder: Path) -> FolderTraversal:
    """Opens an excerpt with the poses of its lidar. Raises TraversalError."""
    images = _images(folder / "image_02")
    calibration = _read_calibration(folder / "calib.txt")
    K = _entry(calibration, "K", folder, (3, 3))
    t2 = make_pose(np.eye(3), _entry(calibration, "t2", folder, (3,)))
    rectify = make_pose(_entry(calibration, "R_rect_00", folder, (3, 3)), np.zeros(3))
    T_first_lidar = rectify @ make_pose(*_rt(_entry(calibration, "Tr_velo_to_cam", folder, (3, 4))))
    poses_file = min(folder.glob("poses_velo*.txt"))
    lidar_poses = {int(row[0]): pose_of(row[1:]) for row in read_numbers(poses_file, 13)}
    poses = []
    for image in images:
        T_map_lidar = lidar_poses.get(int(image.stem))
        poses.append(None if T_map_lidar is None else T_map_lidar @ inverse(T_first_lidar))
    stamps = [stamp_of(int(image.stem)) for image in images]
    return _traversal(folder, images, stamps, K, poses, t2, folder / "velodyne", T_first_lidar)


LIDAR = Format(
    layout="image_02, velodyne, calib.txt with Tr_velo_to_cam and poses_velo*.txt",
    recognise=is_kitti_lidar,
    open=open_kitti_lidar,
    content=(Content.POSES, Content.LIDAR),
)


def open_kitti_raw(folder: Path, camera: str | None = None) -> FolderTraversal:
    """Opens a raw drive with the poses of its GPS and inertial unit. Raises TraversalError."""
    name = _choose(folder, camera, _raw_cameras(folder))
    number = name.removeprefix("image_")
    images = _images(folder / name / "data")
    date = folder if (folder / "calib_cam_to_cam.txt").is_file() else folder.parent
    cameras = _read_calibration(date / "calib_cam_to_cam.txt")
    K, T_camera_first = _split_projection(_entry(cameras, f"P_rect_{number}", date, (3, 4)))
    rectify = make_pose(_entry(cameras, "R_rect_00", date, (3, 3)), np.zeros(3))
    T_first_lidar = rectify @ _raw_transform(date / "calib_velo_to_cam.txt")
    T_first_imu = T_first_lidar @ _raw_transform(date / "calib_imu_to_velo.txt")
    T_map_imu, datum = _oxts_poses(folder / "oxts" / "data")
    T_imu_first = inverse(T_first_imu)
    poses: list[Pose | None] = []
    for image in images:
        T = T_map_imu.get(int(image.stem))
        poses.append(None if T is None else T @ T_imu_first)
    stamps = _raw_stamps(folder / name / "timestamps.txt", images)
    scans = folder / "velodyne_points" / "data"
    traversal = _traversal(folder, images, stamps, K, poses, T_camera_first, scans, T_first_lidar)
    traversal.georeference = None if datum is None else Georeference(datum, "oxts")
    return traversal


RAW = Format(
    layout="image_00/data (or image_02/data) and oxts/data",
    recognise=is_kitti_raw,
    open=open_kitti_raw,
    content=(Content.POSES, Content.LIDAR),
    options=("camera",),
)


def _traversal(
    folder: Path,
    images: list[Path],
    stamps: list[int],
    K: NDArray[np.float64],
    poses: list[Pose | None],
    T_camera_first: Pose,
    velodyne: Path,
    T_first_lidar: Pose | None,
) -> FolderTraversal:
    """Makes a traversal of the poses of the rectified camera 0, "first", in the map."""
    width, height = size_of(images)
    (fx, _, cx), (_, fy, cy), _ = K.tolist()
    try:
        camera = Camera(width, height, fx, fy, cx, cy)
    except ValueError as error:
        raise TraversalError(f"{folder}: the calibration has invalid intrinsics ({error}).") from error
    T_first_camera = inverse(T_camera_first)
    frames, scans = [], []
    for image, stamp, T_map_first in zip(images, stamps, poses, strict=True):
        T_map_camera = None if T_map_first is None else T_map_first @ T_first_camera
        frames.append(FrameFiles(stamp, image, camera, T_map_camera))
        cloud = velodyne / f"{image.stem}.bin"
        if T_map_first is not None and T_first_lidar is not None and cloud.is_file():
            scans.append(ScanFile(stamp, cloud, T_map_first @ T_first_lidar))
    return FolderTraversal(str(folder), frames, scans, read_scan=_read_velodyne)


def _read_velodyne(path: Path) -> NDArray[np.float64]:
    """Reads points (N, 3) of float32 x, y, z, reflectance. Raises ValueError where the file is truncated."""
    return np.fromfile(path, "<f4").reshape(-1, 4)[:, :3].astype(np.float64)


def _images(folder: Path) -> list[Path]:
    images = sorted(
        (file for file in folder.iterdir() if file.stem.isdigit() and file.suffix in (".png", ".jpg")),
        key=lambda file: int(file.stem),
    )
    if not images:
        raise TraversalError(f"{folder}: no images NNNNNN.png here.")
    return images


def _beside(folder: Path) -> Path | None:
    """Returns the poses of `sequences/NN` in the official tree: `poses/NN.txt`."""
    return (
        folder.parent.parent / "poses" / f"{folder.name}.txt" if folder.parent.name == "sequences" else None
    )


def _raw_cameras(folder: Path) -> list[str]:
    return [name for name in _RAW_CAMERAS if (folder / name / "data").is_dir()]


def _choose(folder: Path, camera: str | None, names: list[str]) -> str:
    if camera is not None and camera not in names:
        raise TraversalError(f"{folder}: no camera {camera!r}; available: {', '.join(names)}.")
    return camera or names[0]


def _check_count(file: Path, lines: int, images: int) -> None:
    if lines != images:
        raise TraversalError(f"{file}: {lines} lines for {images} images; one line for each image is needed.")


def _read_calibration(path: Path) -> dict[str, NDArray[np.float64]]:
    """Reads lines `key: numbers`; lines without a key are numbered from 0."""
    entries: dict[str, NDArray[np.float64]] = {}
    text = read_text(path, "calibration")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    for line in lines:
        key, colon, numbers = line.rpartition(":")
        try:
            values = np.array([float(number) for number in numbers.split()])
        except ValueError:
            continue  # dates, and names of days
        entries[key.strip() if colon else str(len(entries))] = values
    return entries


def _entry(
    calibration: dict[str, NDArray[np.float64]], key: str, folder: Path, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    values = calibration.get(key)
    if values is None or values.size != np.prod(shape) or not np.isfinite(values).all():
        raise TraversalError(f"{folder}: the calibration has no {key} of {np.prod(shape)} numbers.")
    return values.reshape(shape)


def _split_projection(P: NDArray[np.float64]) -> tuple[NDArray[np.float64], Pose]:
    """Returns intrinsics and `T_camera_first` of a projection matrix P = K [I | t] of a rectified camera."""
    return P[:, :3], make_pose(np.eye(3), np.linalg.solve(P[:, :3], P[:, 3]))


def _rt(matrix: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return matrix[:, :3], matrix[:, 3]


def _raw_transform(path: Path) -> Pose:
    entries = _read_calibration(path)
    return make_pose(_entry(entries, "R", path, (3, 3)), _entry(entries, "T", path, (3,)))


def _oxts_poses(folder: Path) -> tuple[dict[int, Pose], Datum | None]:
    """Reads `T_map_imu` by frame of GPS and inertial packets, and the datum of the map.

    The map is the unit's frame at the first packet.  Positions are in metres on the ellipsoid; the Mercator
    projection of the dataset's devkit gives distances that are 0.1 to 0.2 % shorter.
    """
    poses: dict[int, Pose] = {}
    first: Datum | None = None
    for file in sorted(folder.glob("*.txt")):
        try:
            words = regular(file).read_text().split()
            latitude, longitude, altitude, *angles = (float(word) for word in words[:6])
            roll, pitch, yaw = np.degrees(angles)
            unit = Datum(latitude, longitude, altitude, yaw, pitch, roll)
        except (OSError, ValueError):
            continue  # its image is without a pose
        first = first or unit
        poses[int(file.stem)] = inverse(first.T_ecef_map) @ unit.T_ecef_map
    return poses, first


def _raw_stamps(path: Path, images: list[Path]) -> list[int]:
    """Reads stamps like `2011-09-26 13:02:25.594360375` as nanoseconds since 1970."""
    if not path.is_file():
        return [stamp_of(int(image.stem)) for image in images]
    lines = read_text(path, "list of times").split("\n")
    # Line i belongs to frame i; in an unsynced drive frames, and their lines, may be missing.
    by_frame = dict(enumerate(line for line in lines if line.strip()))
    stamps = []
    for image in images:
        line = by_frame.get(int(image.stem), "")
        try:
            seconds, _, fraction = line.partition(".")
            moment = datetime.strptime(seconds.strip(), "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc)
            stamps.append(int(moment.timestamp()) * 10**9 + int(fraction[:9].ljust(9, "0")))
        except ValueError as error:
            raise TraversalError(f"{path}: no time for {image.name} ({error}).") from error
    return stamps
