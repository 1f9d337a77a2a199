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

"""Writes any traversal as a rosbag2, so that it can be replayed through the nodes."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.core.parallel import ReadAhead
from scene_geo_loc.geometry.pose import OPTICAL_FROM_BODY, Pose, inverse, make_pose, transform
from scene_geo_loc.geometry.trajectory import Trajectory
from scene_geo_loc.traversals.folder import FolderTraversal
from scene_geo_loc.traversals.frame import Frame, Traversal
from scene_geo_loc.traversals.rig import RigTraversal
from scene_geo_loc.traversals.rosbag.writer import BagWriter, jpeg_of
from scene_geo_loc.traversals.skipped import Skipped, SkipReason
from scene_geo_loc.traversals.vehicle import Recording

BASE_FRAME = "base_link"
CAMERA_FRAME = "camera_optical_frame"
CAMERA_NAMESPACE = "/camera"
POINTS_TOPIC = "/lidar/points"
POSE_TOPIC = "/ground_truth/pose"

T_BASE_CAMERA = make_pose(OPTICAL_FROM_BODY.T, np.zeros(3))
"""base_link is placed at the camera, because only the camera's pose is known."""

_MARGIN_NS = 1_000_000_000
"""Records of a vehicle up to this long before the first and after the last frame are written, too."""


@dataclass
class Converted:
    """Counts of what `convert` wrote.

    Attributes:
        frames: number of frames.
        others: number of other records by their kind in the plural: "scans", ...
        left_out: counts of what was not written, by reason.
    """

    frames: int = 0
    others: dict[str, int] = field(default_factory=dict)
    left_out: Skipped = field(default_factory=Skipped)

    def count(self, kind: str) -> None:
        """Counts a record that was written."""
        self.others[kind] = self.others.get(kind, 0) + 1


def convert(
    traversal: Traversal,
    out: Path,
    *,
    compressed: bool = False,
    track: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> Converted:
    """Writes a traversal as a rosbag2 (MCAP) with the topics that the nodes take by default.

    Where the traversal knows its vehicle (`FolderTraversal.recording`), all records around the frames are
    written as they were measured.  Otherwise camera and lidar are written: poses go to
    /ground_truth/pose, not to TF, where the localizer publishes its own, and scans are written in the
    vehicle's frame at their stamp, already de-skewed by the reader.

    Args:
        traversal: of one camera, or a rig whose vehicle is known; its first camera has the topics that the
            nodes take by default, the topics of the others have the cameras' names in them.
        out: folder of the new bag.
        compressed: whether images are written as JPEG, a tenth of the size but lossy.
        track: wraps the images, to show progress.

    Raises:
        TraversalError: the source cannot be read, the mounting of a rig's cameras is unknown, or the bag
            exists already or cannot be written.
    """
    done = Converted()
    cameras = _cameras(traversal)
    first = cameras[0].traversal
    records: _RecordWriter
    mounts: Mapping[str, Pose]
    if isinstance(first, FolderTraversal) and first.recording is not None:
        records, mounts = _Records(first.recording, first, done), first.recording.T_base
    else:
        records, mounts = _Scans(first, done), {CAMERA_FRAME: T_BASE_CAMERA}
    with BagWriter(out) as bag, ReadAhead() as ahead:
        images = heapq.merge(
            *(camera.images(ahead) for camera in cameras), key=lambda image: image.frame.stamp_ns
        )
        for (camera, frame), jpeg in ahead.map(partial(_encoded, compressed), track(images)):
            if done.frames == 0:
                fixed = {(BASE_FRAME, sensor): T for sensor, T in mounts.items()}
                bag.static_transforms(records.start(frame), fixed)
            records.write(bag, frame)
            camera.write(bag, frame, jpeg)
            done.frames += 1
        records.finish(bag)
    done.left_out.add_all(traversal.skipped)
    return done


class _Image(NamedTuple):
    camera: _Camera
    frame: Frame


@dataclass(frozen=True)
class _Camera:
    """A camera with the namespace of its topics."""

    traversal: Traversal
    namespace: str
    frame_id: str

    def images(self, ahead: ReadAhead) -> Iterator[_Image]:
        folder = self.traversal if isinstance(self.traversal, FolderTraversal) else None
        frames = self.traversal.frames() if folder is None else folder.frames(each=ahead.map)
        return (_Image(self, frame) for frame in frames)

    def write(self, bag: BagWriter, frame: Frame, jpeg: NDArray[np.uint8] | None) -> None:
        stamp_ns, topic = frame.stamp_ns, f"{self.namespace}/image_raw"
        bag.camera_info(f"{self.namespace}/camera_info", stamp_ns, self.frame_id, frame.camera)
        if jpeg is not None:
            bag.jpeg(f"{topic}/compressed", stamp_ns, self.frame_id, jpeg)
        else:
            bag.image(topic, stamp_ns, self.frame_id, frame.image)
        if frame.depth is not None:
            bag.depth_image(f"{self.namespace}/depth/image_raw", stamp_ns, self.frame_id, frame.depth)


def _cameras(traversal: Traversal) -> list[_Camera]:
    """Returns the cameras of a traversal; the first has the topics that the nodes take by default."""
    parts = traversal.cameras if isinstance(traversal, RigTraversal) else [traversal]
    cameras: list[_Camera] = []
    for part in parts:
        recording = part.recording if isinstance(part, FolderTraversal) else None
        if recording is None and len(parts) > 1:
            raise TraversalError(
                f"{traversal.name}: the mounting of its {len(parts)} cameras on the vehicle is unknown "
                "(Oxford RobotCar runs have it); convert one camera."
            )
        frame_id = CAMERA_FRAME if recording is None else recording.camera_frame
        namespace = f"/{frame_id.removesuffix('_optical_frame')}" if cameras else CAMERA_NAMESPACE
        cameras.append(_Camera(part, namespace, frame_id))
    return cameras


def _encoded(compressed: bool, image: _Image) -> tuple[_Image, NDArray[np.uint8] | None]:
    return image, jpeg_of(image.frame.image) if compressed else None


class _RecordWriter(Protocol):
    """Writer of the records between the images."""

    def start(self, first: Frame) -> int:
        """Returns the first stamp of the bag."""
        ...

    def write(self, bag: BagWriter, frame: Frame) -> None:
        """Writes the records up to a frame, its pose included."""
        ...

    def finish(self, bag: BagWriter) -> None:
        """Writes the records after the last frame."""
        ...


class _Records:
    """Writes all records of the vehicle."""

    def __init__(self, recording: Recording, traversal: FolderTraversal, done: Converted) -> None:
        stamps = [files.stamp_ns for files in traversal.frame_files] or [0]
        self._first, self._last = stamps[0] - _MARGIN_NS, stamps[-1] + _MARGIN_NS
        self._records = _StampedStream(recording.between(self._first, self._last, done.left_out))
        self._done = done

    def start(self, first: Frame) -> int:
        return self._first

    def write(self, bag: BagWriter, frame: Frame) -> None:
        self._until(bag, frame.stamp_ns)

    def finish(self, bag: BagWriter) -> None:
        self._until(bag, self._last)

    def _until(self, bag: BagWriter, stamp_ns: int) -> None:
        for record in self._records.until(stamp_ns):
            try:
                record.write(bag)
            except (OSError, ValueError):
                self._done.left_out.add(SkipReason.RECORD_UNREADABLE, subject=record.kind)
                continue
            self._done.count(record.kind)


class _Scans:
    """Writes the poses of the frames, and the scans where the pose is known."""

    def __init__(self, traversal: Traversal, done: Converted) -> None:
        self._map_frame = traversal.map_frame
        self._scans = _StampedStream(traversal.scans())
        self._done = done
        self._before: Frame | None = None

    def start(self, first: Frame) -> int:
        return first.stamp_ns

    def write(self, bag: BagWriter, frame: Frame) -> None:
        path = _path(self._before, frame)
        for scan in self._scans.until(frame.stamp_ns):
            T_map_base = path.at(scan.stamp_ns)
            if T_map_base is None:
                self._leave_out()
                continue
            points = transform(inverse(T_map_base), scan.points_map)
            bag.points(POINTS_TOPIC, scan.stamp_ns, BASE_FRAME, points, time_offset_s=np.zeros(len(points)))
            self._done.count("scans")
        if frame.T_map_camera is not None:
            bag.pose(POSE_TOPIC, frame.stamp_ns, self._map_frame, frame.T_map_camera @ inverse(T_BASE_CAMERA))
        self._before = frame

    def finish(self, bag: BagWriter) -> None:
        for _ in self._scans.until(np.iinfo(np.int64).max):
            self._leave_out()

    def _leave_out(self) -> None:
        self._done.left_out.add(SkipReason.SCAN_AT_TIME_WITHOUT_POSE)


def _path(before: Frame | None, frame: Frame) -> Trajectory:
    """Returns the vehicle's poses at two successive frames, as far as they are known."""
    known = [f for f in (before, frame) if f is not None and f.T_map_camera is not None]
    stamps = [f.stamp_ns for f in known]
    poses = [f.T_map_camera @ inverse(T_BASE_CAMERA) for f in known if f.T_map_camera is not None]
    return Trajectory.from_unsorted(stamps, poses)


class _Stamped(Protocol):
    @property
    def stamp_ns(self) -> int: ...


_Item = TypeVar("_Item", bound=_Stamped)


class _StampedStream(Generic[_Item]):
    """Stream of items in order of time, taken up to a given stamp."""

    def __init__(self, items: Iterator[_Item]) -> None:
        self._items = items
        self._next: _Item | None = next(items, None)

    def until(self, stamp_ns: int) -> Iterator[_Item]:
        """Yields the next items up to a stamp, that stamp included."""
        while self._next is not None and self._next.stamp_ns <= stamp_ns:
            yield self._next
            self._next = next(self._items, None)
