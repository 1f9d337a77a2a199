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

"""EuRoC MAV sequences and others in the ASL layout (Burri et al., IJRR 2016): `mav0/cam0`, ground truth.

A camera's folder has `data.csv` with lines `stamp_ns,file`, `data/` and `sensor.yaml` with the calibration
and the pose of the camera in the body, T_BS.  The ground truth has poses of a sensor whose T_BS is in its own
`sensor.yaml`: that of the estimated state, else of the motion capture.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import yaml

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.pose import Pose, inverse
from scene_geo_loc.geometry.trajectory import Trajectory, read_tum
from scene_geo_loc.traversals.camera_files import read_camera_file
from scene_geo_loc.traversals.folder import FolderTraversal, FrameFiles, pose_of, size_of
from scene_geo_loc.traversals.formats import Content, Format

GROUND_TRUTH = ("state_groundtruth_estimate0", "gt0", "mocap0", "vicon0")
"""Folders of poses, the best first."""

_MAX_POSE_GAP_NS = 100_000_000


def is_euroc(folder: Path) -> bool:
    """Returns whether a folder is a sequence, or its folder `mav0`."""
    return _root(folder) is not None


def open_euroc(folder: Path, camera: str = "cam0") -> FolderTraversal:
    """Opens one camera of a sequence; without ground truth its frames have no poses.

    Args:
        folder: folder of the sequence, or its folder `mav0`.
        camera: name of a camera's folder.

    Raises:
        TraversalError: the camera is missing, or a file cannot be read.
    """
    root = _root(folder)
    assert root is not None
    if not (root / camera / "data").is_dir():
        there = ", ".join(sorted(path.parent.name for path in root.glob("cam*/data")))
        raise TraversalError(f"{folder}: no camera {camera!r} here; there are {there}.")
    images = _images(root / camera)
    if not images:
        raise TraversalError(f"{root / camera}: no images in data/ that are named by stamps.")
    sensor = root / camera / "sensor.yaml"
    intrinsics = read_camera_file(sensor)
    try:
        lens = intrinsics.camera(size=size_of(path for _, path in images))
    except ValueError as error:
        raise TraversalError(f"{sensor}: {error}.") from error
    truth, T_truth_camera = _truth(root), np.eye(4)
    if truth is not None:
        T_truth_camera = inverse(_T_body_sensor(truth.parent / "sensor.yaml")) @ _T_body_sensor(sensor)
    poses = Trajectory.from_unsorted([], []) if truth is None else read_tum(truth)
    files = []
    for stamp_ns, path in images:
        T_map_truth = poses.at(stamp_ns, _MAX_POSE_GAP_NS)
        T_map_camera = None if T_map_truth is None else T_map_truth @ T_truth_camera
        files.append(FrameFiles(stamp_ns, path, lens, T_map_camera))
    return FolderTraversal(str(folder), files)


FORMAT = Format(
    layout="mav0/cam0/data.csv, sensor.yaml and data/",
    recognise=is_euroc,
    open=open_euroc,
    content=(Content.POSES,),
    options=("camera",),
)


def _root(folder: Path) -> Path | None:
    candidates = (folder / "mav0", folder)
    return next((root for root in candidates if (root / "cam0" / "data").is_dir()), None)


def _images(camera: Path) -> list[tuple[int, Path]]:
    """Returns stamps in nanoseconds and images, by `data.csv` or by the names of the files."""
    table = camera / "data.csv"
    if not table.is_file():
        found = [path for path in (camera / "data").iterdir() if re.fullmatch(r"\d{1,18}|1\d{18}", path.stem)]
        return sorted((int(path.stem), path) for path in found)
    try:
        lines = table.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TraversalError(f"{table}: the list of images cannot be read ({error}).") from error
    images = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            stamp, name = (field.strip() for field in line.split(",")[:2])
            if not 0 <= int(stamp) <= np.iinfo(np.int64).max:
                raise ValueError(f"{stamp} is no stamp in nanoseconds")
            images.append((int(stamp), camera / "data" / Path(name).name))
        except ValueError as error:
            raise TraversalError(
                f"{table}, line {number}: expected `stamp_ns,file`, found {line.strip()[:80]!r}."
            ) from error
    return sorted(images)


def _truth(root: Path) -> Path | None:
    tables = (root / name / "data.csv" for name in GROUND_TRUTH)
    return next((table for table in tables if table.is_file()), None)


def _T_body_sensor(path: Path) -> Pose:
    """Returns the pose of a sensor in the body: T_BS of its file, identity without the file."""
    if not path.is_file():
        return np.eye(4)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8-sig")) or {}
        T_BS = values.get("T_BS", {"data": np.eye(4).reshape(-1)})
        T = pose_of(np.array(T_BS["data"], np.float64))
    except (OSError, yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TraversalError(f"{path}: expected T_BS with 16 numbers ({error}).") from error
    if T is None:
        raise TraversalError(f"{path}: T_BS is no rigid transform.")
    return T
