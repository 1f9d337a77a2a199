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
"""The vehicle's frame is put at the camera: of a traversal, no more than the camera's pose is known."""

_MARGIN_NS = 1_000_000_000
"""What a vehicle recorded this long before the first frame and after the last one is written too."""


@dataclass
class Converted:
    """What was written.

    Attributes:
        frames: how many.
        others: how many of everything else, by what it is in the plural: "scans", ...
        left_out: what was not, and why.
    """

    frames: int = 0
    others: dict[str, int] = field(default_factory=dict)
    left_out: Skipped = field(default_factory=Skipped)

    def count(self, of: str) -> None:
        """Counts something written."""
        self.others[of] = self.others.get(of, 0) + 1


def convert(
    traversal: Traversal,
    out: Path,
    *,
    compressed: bool = False,
    track: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> Converted:
    """Writes a traversal as a rosbag2 (MCAP) with the topics that the nodes take by default.

    Where the traversal knows its vehicle (`FolderTraversal.recording`), everything that the vehicle
    recorded around the frames is written as it was measured.  Else there are the camera and the
    lidar: poses go to /ground_truth/pose, not to TF, where the localizer's own answer belongs, and
    scans are written in the vehicle's frame at their stamp, without the motion within a sweep, which
    the reader has taken out.

    Args:
        traversal: of one camera, or a rig of a vehicle that is known; then the first camera has the topics
            that the nodes take by default, and the others' have their names in them.
        out: the new bag's folder.
        compressed: whether images are written as JPEG, a tenth of the size but not quite the same.
        track: wraps the images, to show progress.

    Raises:
        TraversalError: the source cannot be read, of a rig it is not known where its cameras are on the
            vehicle, or the bag exists already or cannot be written.
    """
    done = Converted()
    cameras = _cameras(traversal)
    first = cameras[0].traversal
    beside: _Beside = _Scans(first, done)
    mounts: Mapping[str, Pose] = {CAMERA_FRAME: T_BASE_CAMERA}
    if isinstance(first, FolderTraversal) and first.recording is not None:
        beside, mounts = _Records(first.recording, first, done), first.recording.T_base
    with BagWriter(out) as bag, ReadAhead() as ahead:
        images = heapq.merge(
            *(camera.images(ahead) for camera in cameras), key=lambda one: one.frame.stamp_ns
        )
        for (camera, frame), jpeg in ahead.map(partial(_encoded, compressed), track(images)):
            if done.frames == 0:
                fixed = {(BASE_FRAME, sensor): T for sensor, T in mounts.items()}
                bag.static_transforms(beside.start(frame), fixed)
            beside.write(bag, frame)
            camera.write(bag, frame, jpeg)
            done.frames += 1
        beside.finish(bag)
    done.left_out.add_all(traversal.skipped)
    return done


class _Image(NamedTuple):
    camera: _Camera
    frame: Frame


@dataclass(frozen=True)
class _Camera:
    """A camera, and where its images go."""

    traversal: Traversal
    namespace: str
    frame_id: str

    def images(self, ahead: ReadAhead) -> Iterator[_Image]:
        folder = self.traversal if isinstance(self.traversal, FolderTraversal) else None
        frames = self.traversal.frames() if folder is None else folder.frames(ahead.map)
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
    """The cameras of a traversal, of which the first has the topics that the nodes take by default."""
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


class _Beside(Protocol):
    """What is written between the images."""

    def start(self, first: Frame) -> int:
        """The stamp at which the bag begins."""
        ...

    def write(self, bag: BagWriter, frame: Frame) -> None:
        """Writes everything up to a frame, its pose included."""
        ...

    def finish(self, bag: BagWriter) -> None:
        """Writes everything after the last frame."""
        ...


class _Records:
    """Everything that the vehicle recorded."""

    def __init__(self, recording: Recording, traversal: FolderTraversal, done: Converted) -> None:
        stamps = [files.stamp_ns for files in traversal.frame_files] or [0]
        self._first, self._last = stamps[0] - _MARGIN_NS, stamps[-1] + _MARGIN_NS
        self._records = _Waiting(recording.between(self._first, self._last, done.left_out))
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
                self._done.left_out.add(SkipReason.RECORD_UNREADABLE, of=record.of)
                continue
            self._done.count(record.of)


class _Scans:
    """The poses of the frames, and the scans where the pose is known."""

    def __init__(self, traversal: Traversal, done: Converted) -> None:
        self._map_frame = traversal.map_frame
        self._scans = _Waiting(traversal.scans())
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
    """The vehicle's path from one frame to the next, as far as its poses are known."""
    known = [f for f in (before, frame) if f is not None and f.T_map_camera is not None]
    stamps = [f.stamp_ns for f in known]
    poses = [f.T_map_camera @ inverse(T_BASE_CAMERA) for f in known if f.T_map_camera is not None]
    return Trajectory.from_unsorted(stamps, poses)


class _Stamped(Protocol):
    @property
    def stamp_ns(self) -> int: ...


_Item = TypeVar("_Item", bound=_Stamped)


class _Waiting(Generic[_Item]):
    """Things in order of time that wait for the frame after them."""

    def __init__(self, items: Iterator[_Item]) -> None:
        self._items = items
        self._next: _Item | None = next(items, None)

    def until(self, stamp_ns: int) -> Iterator[_Item]:
        """Those up to a stamp, that one included."""
        while self._next is not None and self._next.stamp_ns <= stamp_ns:
            yield self._next
            self._next = next(self._items, None)
