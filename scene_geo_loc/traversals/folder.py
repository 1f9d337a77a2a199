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

"""Traversals of image files in folders: the common part of the readers of datasets."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import TraversalError, reason_of
from scene_geo_loc.core.regular_file import regular
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.datum import Georeference
from scene_geo_loc.geometry.pose import Pose, transform
from scene_geo_loc.traversals.frame import Frame, PassOver, PassOverScan, Scan, read_all
from scene_geo_loc.traversals.skipped import Skipped, SkipReason
from scene_geo_loc.traversals.subset import WHOLE, Subset
from scene_geo_loc.traversals.vehicle import Recording

FIRST_STAMP_NS = 1_000_000_000
"""First stamp of a dataset whose clock begins at zero: in ROS, zero means that there is no time."""

_FRAME_PERIOD_NS = 100_000_000

_LONGEST_POINTER = 1024
"""Bytes of the largest pointer of Git LFS."""


def stamp_of(number: int) -> int:
    """Returns the stamp in nanoseconds of a frame of a dataset without stamps: 0.1 s apart."""
    return FIRST_STAMP_NS + number * _FRAME_PERIOD_NS


@dataclass(frozen=True)
class FrameFiles:
    """Files of a frame, with its camera and pose."""

    stamp_ns: int
    image: Path
    camera: Camera
    T_map_camera: Pose | None = None
    depth: Path | None = None


@dataclass(frozen=True)
class ScanFile:
    """File of lidar points in the lidar's frame, with the lidar's pose."""

    stamp_ns: int
    path: Path
    T_map_lidar: Pose


Each = Callable[[Callable[[FrameFiles], Frame | None], Iterable[FrameFiles]], Iterable[Frame | None]]
"""Applies a function to items in order, as `map`."""


@dataclass
class FolderTraversal:
    """Frames and scans in files; see `scene_geo_loc.traversals.frame.Traversal`.

    Attributes:
        frame_files, scan_files: files in order of time.
        read_image: reads an image file as RGB (H, W, 3) of its camera's size.
        read_depth, read_scan: read a depth file as metres (H, W), and a scan file as points (N, 3).
        left_out, scans_left_out: items that the reader left out when it opened the source.
        recording: further measurements for a bag; None where the dataset has no vehicle.
        georeference: place of the map on the Earth; None where the dataset does not say it.
    """

    name: str
    frame_files: Sequence[FrameFiles]
    scan_files: Sequence[ScanFile] = ()
    read_image: Callable[[Path], NDArray[np.uint8]] = field(default_factory=lambda: read_image)
    read_depth: Callable[[Path], NDArray[np.float32]] | None = None
    read_scan: Callable[[Path], NDArray[np.float64]] | None = None
    map_frame: str = "map"
    left_out: Skipped = field(default_factory=Skipped)
    scans_left_out: Skipped = field(default_factory=Skipped)
    recording: Recording | None = None
    georeference: Georeference | None = None
    _skipped_frames: Skipped = field(default_factory=Skipped, init=False)
    _skipped_scans: Skipped = field(default_factory=Skipped, init=False)

    @property
    def skipped(self) -> Skipped:
        """Counts of the items that the last iterations over frames and scans left out, by reason."""
        both = Skipped(dict(self._skipped_frames.counts))
        both.add_all(self._skipped_scans)
        return both

    def __len__(self) -> int:
        return len(self.frame_files)

    def subset(self, subset: Subset) -> FolderTraversal:
        """Returns this traversal reduced to some of its frames and the scans around them."""
        if subset == WHOLE:
            return self
        stamps = np.array([files.stamp_ns for files in self.frame_files], np.int64)
        first, last = subset.span(stamps)
        return replace(
            self,
            frame_files=[self.frame_files[i] for i in subset.select(stamps)],
            scan_files=self.scan_files[
                bisect_left(self.scan_files, first, key=_stamp) : bisect_right(
                    self.scan_files, last, key=_stamp
                )
            ],
        )

    def frames(self, pass_over: PassOver = read_all, each: Each = map) -> Iterator[Frame]:
        """Yields the frames in order of time.

        Args:
            pass_over: see `Traversal.frames`.
            each: applies a function to all files in order; `core.parallel.ReadAhead.map` uses threads.

        Raises:
            TraversalError: there are frames, but none is usable.
        """
        self._skipped_frames = skipped = Skipped(dict(self.left_out.counts))
        usable = 0

        def needed() -> Iterator[FrameFiles]:
            nonlocal usable
            for files in self.frame_files:
                if pass_over(files.stamp_ns, files.T_map_camera):
                    usable += 1
                else:
                    yield files

        for frame in each(self.read, needed()):
            if frame is None:
                continue
            if frame.T_map_camera is None:
                skipped.add(SkipReason.IMAGE_WITHOUT_POSE)
            usable += 1
            yield frame
        if self.frame_files and not usable:
            raise TraversalError(
                f"{self.name}: none of the {len(self.frame_files)} images is usable ({skipped})."
            )

    def read(self, files: FrameFiles) -> Frame | None:
        """Reads a frame; returns None, and counts it as skipped, where its image is unusable."""
        try:
            image = self.read_image(files.image)
        except TraversalError:
            self._skipped_frames.add(SkipReason.IMAGE_UNREADABLE)
            return None
        if image.shape[1::-1] != (files.camera.width, files.camera.height):
            self._skipped_frames.add(SkipReason.IMAGE_SIZE)
            return None
        depth = self._depth(files, image.shape[:2])
        return Frame(files.stamp_ns, image, files.camera, files.T_map_camera, depth, files.image.name)

    def scans(self, pass_over: PassOverScan = read_all) -> Iterator[Scan]:
        """Yields the lidar's sweeps in order of time, each transformed to the map by one pose.

        See `Traversal.scans`.
        """
        assert self.read_scan is not None or not self.scan_files
        self._skipped_scans = skipped = Skipped(dict(self.scans_left_out.counts))
        for file in self.scan_files:
            if pass_over(file.stamp_ns):
                continue
            try:
                points = self.read_scan(file.path)  # type: ignore[misc]
            except (OSError, ValueError):
                skipped.add(SkipReason.SCAN_UNREADABLE)
                continue
            points = points[np.isfinite(points).all(axis=1) & (points != 0).any(axis=1)]
            if len(points) == 0:
                skipped.add(SkipReason.SCAN_EMPTY)
                continue
            yield Scan(file.stamp_ns, transform(file.T_map_lidar, points))

    def _depth(self, files: FrameFiles, size: tuple[int, ...]) -> NDArray[np.float32] | None:
        if files.depth is None or self.read_depth is None:
            return None
        try:
            depth = self.read_depth(files.depth)
        except TraversalError:
            self._skipped_frames.add(SkipReason.DEPTH_UNREADABLE)
            return None
        if depth.shape != size:
            self._skipped_frames.add(SkipReason.DEPTH_SIZE)
            return None
        return depth


def _stamp(file: ScanFile) -> int:
    return file.stamp_ns


def read_image(path: Path) -> NDArray[np.uint8]:
    """Reads an (H, W, 3) uint8 RGB image. Raises TraversalError."""
    bgr = decoded(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if bgr is None:
        if lfs_size(path) is not None:
            raise TraversalError(f"{path}: a pointer of Git LFS, not the image; get it by `git lfs pull`.")
        raise TraversalError(f"{path}: the image is missing or damaged.")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def decoded(path: Path, flags: int) -> NDArray[Any] | None:
    """Returns an image file as OpenCV decodes it; None where it cannot."""
    # OpenCV would print a warning for each file that is not there.
    try:
        return cv2.imread(str(path), flags) if path.is_file() else None
    except (cv2.error, OSError, ValueError):  # more pixels than OpenCV allows, or no name of a file
        return None


def lfs_size(path: Path) -> int | None:
    """Returns the size of the file that a pointer of Git LFS stands for; None where this is no pointer."""
    if not path.is_file() or path.stat().st_size > _LONGEST_POINTER:
        return None
    text = path.read_bytes()
    found = re.search(rb"^size (\d+)$", text, re.MULTILINE)
    return int(found[1]) if found and text.startswith(b"version https://git-lfs.github.com/") else None


def read_depth_millimetres(path: Path) -> NDArray[np.float32]:
    """Reads an (H, W) float32 depth map in metres from a 16-bit PNG in millimetres.

    0 and 65535 stand for unknown and become NaN. Raises TraversalError.
    """
    millimetres = decoded(path, cv2.IMREAD_UNCHANGED)
    if millimetres is None or millimetres.dtype != np.uint16 or millimetres.ndim != 2:
        raise TraversalError(f"{path}: a depth image should be a grey PNG of 16 bits.")
    depth = millimetres.astype(np.float32) / 1000.0
    depth[(millimetres == 0) | (millimetres == 65535)] = np.nan
    return depth


def read_numbers(path: Path, columns: int | None = None) -> NDArray[np.float64]:
    """Reads a text file of numbers as (N, columns); `#` begins a comment.

    Raises:
        TraversalError: the file is missing, or not all lines have that many numbers.
    """
    try:
        numbers = np.loadtxt(regular(path), ndmin=2)
    except (OSError, ValueError) as error:
        raise TraversalError(f"{path}: expected lines of numbers ({reason_of(error)}).") from error
    if columns is not None and numbers.shape[1] != columns:
        raise TraversalError(
            f"{path}: expected lines of {columns} numbers, found lines of {numbers.shape[1]} numbers."
        )
    return numbers


def size_of(images: Iterable[Path]) -> tuple[int, int]:
    """Returns width and height of the first readable image.

    Raises:
        TraversalError: no image is readable.
    """
    first = None
    for image in images:
        try:
            height, width = read_image(image).shape[:2]
            return width, height
        except TraversalError as error:
            first = first or str(error).rstrip(".")
    raise TraversalError(f"{first}; neither this image nor any other here is readable.")


def read_pose(path: Path) -> Pose | None:
    """Reads a pose from a text file with a 4x4 matrix; None where it is missing, damaged or not rigid."""
    try:
        numbers = np.array(regular(path).read_text().split(), np.float64)
    except (OSError, ValueError):  # Windows writes infinity as -1.#INF
        return None
    return pose_of(numbers) if numbers.size == 16 else None


def pose_of(numbers: NDArray[np.float64]) -> Pose | None:
    """Makes a pose of the rows of a 3x4 or 4x4 matrix; None where it is no rigid transform.

    Datasets have matrices of NaN or infinity for images that were not registered.
    """
    T = np.eye(4)
    T[:3] = np.asarray(numbers, np.float64).reshape(-1, 4)[:3]
    if not np.isfinite(T).all() or abs(np.linalg.det(T[:3, :3]) - 1.0) > 0.01:
        return None
    # A rotation written with few digits is not quite orthonormal: use the nearest one that is.
    U, _, Vt = np.linalg.svd(T[:3, :3])
    T[:3, :3] = U @ Vt
    return T


def natural_order(name: str) -> list[tuple[int, str]]:
    """Returns a key that sorts seq2 before seq10."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]
