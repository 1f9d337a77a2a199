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

"""TUM RGB-D sequences (Sturm et al., IROS 2012): `rgb.txt`, `depth.txt`, `groundtruth.txt`, `rgb/`, `depth/`.

The lists have a line `stamp file` for each image, seconds; the ground truth has poses of the colour camera,
`stamp tx ty tz qx qy qz qw`.  Depth is 16-bit PNG, 5000 a metre, 0 unknown, registered to the colour image.
A depth image belongs to the colour image nearest in time, within 20 ms.  The calibration is that published
for the Kinect of each group of sequences, by the name of the folder: freiburg1, freiburg2, freiburg3 (already
undistorted); for others the driver's default, f = 525.
"""

from __future__ import annotations

from bisect import bisect_left
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.trajectory import read_tum, stamp_ns_of
from scene_geo_loc.traversals.folder import FolderTraversal, FrameFiles, size_of
from scene_geo_loc.traversals.formats import Content, Format
from scene_geo_loc.traversals.text import read_text

CAMERAS = {
    "freiburg1": Camera(
        640, 480, 517.3, 516.5, 318.6, 255.3, "plumb_bob", (0.2624, -0.9531, -0.0054, 0.0026, 1.1633)
    ),
    "freiburg2": Camera(
        640, 480, 520.9, 521.0, 325.1, 249.7, "plumb_bob", (0.2312, -0.7849, -0.0033, -0.0001, 0.9172)
    ),
    "freiburg3": Camera(640, 480, 535.4, 539.2, 320.1, 247.6),
}
DEFAULT_CAMERA = Camera(640, 480, 525.0, 525.0, 319.5, 239.5)

DEPTH_PER_M = 5000.0
MAX_APART_NS = 20_000_000
"""Largest time between a colour and a depth image that belong together."""

_MAX_POSE_GAP_NS = 100_000_000
_LISTS = ("rgb.txt", "depth.txt", "groundtruth.txt")


def is_tum_rgbd(folder: Path) -> bool:
    """Returns whether a folder is a sequence."""
    return all((folder / name).is_file() for name in _LISTS[:2])


def open_tum_rgbd(folder: Path) -> FolderTraversal:
    """Opens a sequence; the sequences whose poses are kept back for the benchmark have none.

    Raises:
        TraversalError: a list cannot be read.
    """
    colour, depth = (_read_list(folder / name) for name in _LISTS[:2])
    if not colour:
        raise TraversalError(f"{folder / 'rgb.txt'}: the list of images is empty.")
    truth = read_tum(folder / _LISTS[2]) if (folder / _LISTS[2]).is_file() else None
    name = folder.resolve().name.lower()
    camera = next((found for key, found in CAMERAS.items() if key in name), DEFAULT_CAMERA)
    camera = camera.resized(*size_of(folder / image for _, image in colour))
    files = []
    depth_stamps = [stamp for stamp, _ in depth]
    for stamp, image in colour:
        nearest = _nearest(depth_stamps, stamp)
        files.append(
            FrameFiles(
                stamp,
                folder / image,
                camera,
                truth.at(stamp, _MAX_POSE_GAP_NS) if truth is not None else None,
                folder / depth[nearest][1] if nearest is not None else None,
            )
        )
    return FolderTraversal(str(folder), files, read_depth=read_depth)


FORMAT = Format(
    layout="rgb.txt, depth.txt, groundtruth.txt, rgb/ and depth/",
    recognise=is_tum_rgbd,
    open=open_tum_rgbd,
    content=(Content.POSES, Content.DEPTH),
)


def read_depth(path: Path) -> NDArray[np.float32]:
    """Reads an (H, W) float32 depth map in metres; NaN where it is unknown. Raises TraversalError."""
    raw = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.is_file() else None
    if raw is None or raw.dtype != np.uint16 or raw.ndim != 2:
        raise TraversalError(f"{path}: a depth image should be a grey PNG of 16 bits.")
    depth = raw.astype(np.float32) / np.float32(DEPTH_PER_M)
    depth[raw == 0] = np.nan
    return depth


def _read_list(path: Path) -> list[tuple[int, str]]:
    """Returns stamps in nanoseconds and names of files, in order of time."""
    lines = read_text(path, "list of images").splitlines()
    found = []
    for number, line in enumerate(lines, start=1):
        words = line.split("#")[0].split()
        if not words:
            continue
        try:
            stamp, image = words
            found.append((stamp_ns_of(stamp), image))
        except ValueError as error:
            raise TraversalError(
                f"{path}, line {number}: expected `stamp file`, found {line.strip()[:80]!r}."
            ) from error
    return sorted(found)


def _nearest(stamps: list[int], wanted: int) -> int | None:
    """Returns the index of the nearest stamp, or None if none is within `MAX_APART_NS`."""
    after = bisect_left(stamps, wanted)
    around = [i for i in (after - 1, after) if 0 <= i < len(stamps)]
    best = min(around, key=lambda i: abs(stamps[i] - wanted), default=None)
    return best if best is not None and abs(stamps[best] - wanted) <= MAX_APART_NS else None
