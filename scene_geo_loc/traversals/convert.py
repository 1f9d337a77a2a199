"""Writes any traversal as a rosbag2, so that it can be replayed through the nodes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scene_geo_loc.geometry.pose import OPTICAL_FROM_BODY, inverse, make_pose, transform
from scene_geo_loc.geometry.trajectory import Trajectory
from scene_geo_loc.traversals.bag_writer import BagWriter
from scene_geo_loc.traversals.frame import Frame, Scan, Traversal

BASE_FRAME = "base_link"
CAMERA_FRAME = "camera_optical_frame"
IMAGE_TOPIC = "/camera/image_raw"
CAMERA_INFO_TOPIC = "/camera/camera_info"
DEPTH_TOPIC = "/camera/depth/image_raw"
POINTS_TOPIC = "/lidar/points"
POSE_TOPIC = "/ground_truth/pose"

T_BASE_CAMERA = make_pose(OPTICAL_FROM_BODY.T, np.zeros(3))
"""The vehicle's frame is put at the camera: of a traversal, no more than the camera's pose is known."""


@dataclass
class Converted:
    """What was written.

    Attributes:
        frames, scans: how many.
        scans_left_out: scans at times at which no pose is known.
    """

    frames: int = 0
    scans: int = 0
    scans_left_out: int = 0


def convert(
    traversal: Traversal,
    out: Path,
    *,
    compressed: bool = False,
    track: Callable[[Iterable[Frame]], Iterable[Frame]] = iter,
) -> Converted:
    """Writes a traversal as a rosbag2 (MCAP) with the topics that the nodes take by default.

    Poses go to /ground_truth/pose, not to TF, where the localizer's own answer belongs.  Scans are
    written in the vehicle's frame at their stamp, without the motion within a sweep, which the
    reader has taken out.

    Args:
        out: the new bag's folder.
        compressed: whether images are written as JPEG, a tenth of the size but not quite the same.
        track: wraps the frames, to show progress.

    Raises:
        TraversalError: the source cannot be read, or the bag exists already or cannot be written.
    """
    done = Converted()
    scans = _Waiting(traversal.scans())
    before: Frame | None = None
    with BagWriter(out) as bag:
        for frame in track(traversal.frames()):
            if before is None:
                bag.static_transforms(frame.stamp_ns, {(BASE_FRAME, CAMERA_FRAME): T_BASE_CAMERA})
            path = _path(before, frame)
            for scan in scans.until(frame.stamp_ns):
                T_map_base = path.at(scan.stamp_ns)
                if T_map_base is None:
                    done.scans_left_out += 1
                    continue
                points = transform(inverse(T_map_base), scan.points_map)
                bag.points(
                    POINTS_TOPIC, scan.stamp_ns, BASE_FRAME, points, time_offset_s=np.zeros(len(points))
                )
                done.scans += 1
            _write(bag, frame, traversal.map_frame, compressed)
            done.frames += 1
            before = frame
        done.scans_left_out += scans.count_rest()
    return done


def _write(bag: BagWriter, frame: Frame, map_frame: str, compressed: bool) -> None:
    stamp = frame.stamp_ns
    if frame.T_map_camera is not None:
        bag.pose(POSE_TOPIC, stamp, map_frame, frame.T_map_camera @ inverse(T_BASE_CAMERA))
    bag.camera_info(CAMERA_INFO_TOPIC, stamp, CAMERA_FRAME, frame.camera)
    if compressed:
        bag.compressed_image(f"{IMAGE_TOPIC}/compressed", stamp, CAMERA_FRAME, frame.image)
    else:
        bag.image(IMAGE_TOPIC, stamp, CAMERA_FRAME, frame.image)
    if frame.depth is not None:
        bag.depth_image(DEPTH_TOPIC, stamp, CAMERA_FRAME, frame.depth)


def _path(before: Frame | None, frame: Frame) -> Trajectory:
    """The vehicle's path from one frame to the next, as far as its poses are known."""
    known = [f for f in (before, frame) if f is not None and f.T_map_camera is not None]
    stamps = [f.stamp_ns for f in known]
    poses = [f.T_map_camera @ inverse(T_BASE_CAMERA) for f in known if f.T_map_camera is not None]
    return Trajectory.from_unsorted(stamps, poses)


class _Waiting:
    """Scans that wait for the frame after them."""

    def __init__(self, scans: Iterator[Scan]) -> None:
        self._scans = scans
        self._next: deque[Scan] = deque()

    def until(self, stamp_ns: int) -> Iterator[Scan]:
        """The scans up to a stamp, that one included."""
        while True:
            if not self._next:
                scan = next(self._scans, None)
                if scan is None:
                    return
                self._next.append(scan)
            if self._next[0].stamp_ns > stamp_ns:
                return
            yield self._next.popleft()

    def count_rest(self) -> int:
        """How many scans are left."""
        return len(self._next) + sum(1 for _ in self._scans)
