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

"""Chooses keyframes among the frames of a build, and lets them wait for the lidar scans around them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import Enum
from itertools import takewhile
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.depth.lidar import MAX_DEPTH_M, LidarAccumulator, MapPoints
from scene_geo_loc.depth.point_cloud import OCCLUDER_M, PointCloud
from scene_geo_loc.depth.thinning import ScanThinning
from scene_geo_loc.depth.window import WINDOWS
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.mapping.keyframes import RECENT, KeyframeSelector
from scene_geo_loc.mapping.partial_map import KeyframeRecord
from scene_geo_loc.mapping.settings import BuilderSettings
from scene_geo_loc.networks.runtime.extractor import has_contrast
from scene_geo_loc.traversals.frame import Frame, Scan

FRAME_CHECKED = 10
"""Number of keyframes by which it is noticed that a cloud of points is in another frame."""


class FrameRejection(str, Enum):
    """Reason why a frame cannot become a keyframe; the value completes "3 frames ..."."""

    NO_POSE = "without a pose"
    WRONG_SIZE = "of another size than their camera says"
    NO_CONTRAST = "black or saturated"
    OUT_OF_ORDER = "out of order"
    DUPLICATE = "given twice"


class CompleteKeyframe(NamedTuple):
    """A keyframe whose scans are complete.

    Attributes:
        frame: the frame.
        points: points of the lidar, or of a cloud, around it.
        occluder_m: reach of the search for occluders among them, see `ScanWindow`.
    """

    frame: Frame
    points: list[MapPoints]
    occluder_m: float


class WaitingKeyframes:
    """Frames that became keyframes and wait for the scans after them.

    Attributes:
        thinning: tells which scans of a dense lidar are not needed.

    Args:
        settings: of the build.
        cloud: points that take the place of the lidar's, or None.
        resumed: keyframes that an earlier, unfinished build of the same frames has left.
    """

    def __init__(
        self, settings: BuilderSettings, cloud: PointCloud | None, resumed: Sequence[KeyframeRecord]
    ) -> None:
        self._settings, self._cloud = settings, cloud
        self._cloud_positions: list[NDArray[np.float64]] = []
        self._frames: deque[Frame] = deque()
        self.thinning = self.new_thinning()
        self._lidar = LidarAccumulator(WINDOWS.get(settings.lidar))
        self._latest_ns = -(2**63)
        self._resume_ns = resumed[-1].stamp_ns if resumed else -(2**63)
        self._resumed_last = resumed[-RECENT:]
        self._selector = KeyframeSelector(
            settings.keyframe_distance_m,
            settings.keyframe_angle_deg,
            (record.T_map_camera for record in self._resumed_last),
        )

    def __len__(self) -> int:
        """Number of keyframes that wait."""
        return len(self._frames)

    def new_thinning(self) -> ScanThinning:
        """Returns what tells which scans of a source are not needed."""
        return ScanThinning(None if self._settings.lidar == "auto" else self._settings.lidar == "spinning")

    def add_scan(self, scan: Scan) -> None:
        """Adds a lidar scan."""
        self._lidar.add(scan)

    def is_near(self, T_map_camera: Pose) -> bool:
        """Returns whether a frame of this pose is too near to the last keyframes to become one."""
        return self._selector.is_near(T_map_camera)

    def stays_near(self, T_map_camera: Pose) -> bool:
        """Returns whether a frame of this pose is too near, and stays so; see `KeyframeSelector`."""
        return self._selector.stays_near(T_map_camera)

    def is_resumed(self, stamp_ns: int) -> bool:
        """Returns whether the earlier build had got beyond a frame of this stamp."""
        return stamp_ns < self._resume_ns

    def consider(self, frame: Frame) -> FrameRejection | None:
        """Lets a frame wait for its scans if it is a keyframe; returns why it can be none, if so."""
        frame = _of_middle_row(frame)
        if self.is_resumed(frame.stamp_ns) or _is_among(frame, self._resumed_last):
            return None
        rejection = self._rejection(frame)
        if rejection is None and frame.T_map_camera is not None and self._selector.accept(frame.T_map_camera):
            self._frames.append(frame)
        return rejection

    def complete(self, stamp_ns: int) -> Iterator[CompleteKeyframe]:
        """Yields the keyframes whose scans are complete when a frame or scan of this stamp was added.

        Raises MapError where a cloud is in another frame than the poses.
        """
        self._latest_ns = max(self._latest_ns, stamp_ns)
        after_ns = round(self._lidar.window.after_s * 1e9)
        while self._frames:
            first, last = self._frames[0], self._frames[-1]
            assert first.T_map_camera is not None
            assert last.T_map_camera is not None
            distance = np.linalg.norm(last.T_map_camera[:3, 3] - first.T_map_camera[:3, 3])
            # Beyond the farthest depth there is nothing to wait for: the next scans are of other places.
            if (
                first.depth is None
                and self._cloud is None
                and self._latest_ns <= first.stamp_ns + after_ns
                and distance <= MAX_DEPTH_M
            ):
                break
            yield self._next()

    def all(self) -> Iterator[CompleteKeyframe]:
        """Yields all keyframes that wait, as no more scans come; raises as `complete`."""
        while self._frames:
            yield self._next()

    def start_over(self) -> None:
        """Lets the next frames and scans be of an earlier time."""
        self._latest_ns = self._resume_ns = -(2**63)

    def _next(self) -> CompleteKeyframe:
        frame = self._frames.popleft()
        if self._cloud is None or frame.T_map_camera is None:
            points = self._lidar.points_around(frame.stamp_ns)
            return CompleteKeyframe(frame, points, self._lidar.window.occluder_m)
        position = frame.T_map_camera[:3, 3]
        self._cloud_positions.append(position)
        if len(self._cloud_positions) == FRAME_CHECKED:
            self._cloud.check_frame(np.stack(self._cloud_positions))
        return CompleteKeyframe(frame, self._cloud.near(position), OCCLUDER_M)

    def _rejection(self, frame: Frame) -> FrameRejection | None:
        if frame.T_map_camera is None:
            return FrameRejection.NO_POSE
        size = (frame.camera.height, frame.camera.width)
        if frame.image.shape[:2] != size or (frame.visible is not None and frame.visible.shape != size):
            return FrameRejection.WRONG_SIZE
        if not has_contrast(frame.image, frame.visible):
            return FrameRejection.NO_CONTRAST
        if self._frames and frame.stamp_ns < self._frames[-1].stamp_ns:
            return FrameRejection.OUT_OF_ORDER
        if _is_among(frame, self._frames):
            return FrameRejection.DUPLICATE
        return None


def _of_middle_row(frame: Frame) -> Frame:
    """Returns the frame of a rolling shutter with the pose of its middle row, which a keyframe has."""
    motion, T_map_camera = frame.readout_motion, frame.T_map_camera
    if frame.camera.readout_s:
        frame = replace(frame, camera=replace(frame.camera, readout_s=0.0))
    if motion is None or T_map_camera is None:
        return frame
    T_image_middle, motion = motion.at_middle_row()
    return replace(frame, T_map_camera=T_map_camera @ T_image_middle, readout_motion=motion)


def _is_among(frame: Frame, earlier: Sequence[Frame | KeyframeRecord]) -> bool:
    """Returns whether a frame repeats one of the last ones; cameras of a rig may share a stamp."""
    same_stamp = takewhile(lambda item: item.stamp_ns == frame.stamp_ns, reversed(earlier))
    poses = [item.T_map_camera for item in same_stamp if item.T_map_camera is not None]
    return frame.T_map_camera is not None and any(np.array_equal(T, frame.T_map_camera) for T in poses)
