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

"""Adds a recorded drive to a map by localizing it there, image after image, as a node does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.core.progress import ProgressCallback, ignore_progress
from scene_geo_loc.geometry.pose import Pose, inverse, position_error_m
from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.localization.keyframe_queries.map_extension import MIN_COMPARED, SAME_FRAME_M
from scene_geo_loc.localization.keyframe_queries.other_map import LEAST_CONFIDENCE
from scene_geo_loc.localization.map_growth.growth import MapGrowth
from scene_geo_loc.localization.pose_localizer import PoseLocalizer
from scene_geo_loc.localization.query import CameraImage, image_of
from scene_geo_loc.localization.session import Session
from scene_geo_loc.traversals.frame import Frame, Traversal
from scene_geo_loc.traversals.rig import RigTraversal
from scene_geo_loc.traversals.subset import Subset

ASKED = 30
"""Images of a drive by which its frame is compared with the map's."""


@dataclass(frozen=True)
class DriveFrame:
    """Frame of the poses of a drive, beside that of a map.

    Attributes:
        asked: number of images that were localized in the map.
        found: number of those that the map localizes with confidence.
        with_poses: number of the images with poses of the drive.
        offset_m: median distance between these poses and those of the map; None where too few have both.
    """

    asked: int
    found: int
    with_poses: int
    offset_m: float | None

    @property
    def is_maps(self) -> bool:
        """True if the poses of the drive are in the frame of the map."""
        return self.offset_m is not None and self.offset_m <= SAME_FRAME_M

    def __str__(self) -> str:
        text = f"{self.found} of {self.asked} images are localized in the map"
        if not self.with_poses:
            return f"{text}; the drive has no poses of its own"
        if self.offset_m is None:
            return f"{text}, too few to tell the frame of the drive's poses"
        return f"{text}, {self.offset_m:.3f} m off the drive's own poses (median)"


def frame_of_drive(
    localizer: PoseLocalizer, traversal: Traversal, on_progress: ProgressCallback = ignore_progress
) -> DriveFrame:
    """Compares the poses of a drive with those that a map gives its images, of `ASKED` images at most.

    Raises MapError where the map localizes fewer than `MIN_COMPARED` of them and the drive has no poses.
    """
    if isinstance(traversal, RigTraversal):
        traversal = traversal.cameras[0]
    every = max(len(traversal) // ASKED, 1)
    subset = getattr(traversal, "subset", None)
    images = traversal if subset is None else subset(Subset(every))
    asked = found = with_poses = 0
    off_m = []
    for frame in images.frames():
        asked += 1
        on_progress(asked, len(images))
        estimate = localizer.localize(frame)
        with_poses += frame.T_map_camera is not None
        is_sure = estimate.confidence is None or estimate.confidence >= LEAST_CONFIDENCE
        if estimate.status is Status.LOCALIZED and estimate.T_map_camera is not None and is_sure:
            found += 1
            if frame.T_map_camera is not None:
                off_m.append(float(position_error_m(frame.T_map_camera, estimate.T_map_camera)))
    compared = DriveFrame(
        asked, found, with_poses, float(np.median(off_m)) if len(off_m) >= MIN_COMPARED else None
    )
    if found < MIN_COMPARED and not with_poses:
        raise MapError(
            f"{traversal.name}: {found} < {MIN_COMPARED} of {asked} images are localized in "
            f"{localizer.map.path}: the drive shows another place, or too little of this one."
        )
    return compared


def localize_drive(
    session: Session,
    growth: MapGrowth,
    traversal: Traversal,
    on_progress: ProgressCallback = ignore_progress,
) -> int:
    """Localizes a drive in a map, collects the images that the map lacks, and returns how many it localizes.

    The motion between images is the drive's odometry, or else its poses, which may be in any frame.  The
    cameras of a rig are localized together.

    Args:
        session: localizes in the map.
        growth: collects the images.
        traversal: the drive.
        on_progress: receives the images localized and their number.
    """
    localized = 0
    total = instants_of(traversal)
    for done, frames in enumerate(_instants(traversal), start=1):
        first, T_odom_first = frames[0], _odometry(frames[0])
        query = _query_of(frames)
        answer = session.localize(first.stamp_ns, query, T_odom_first)
        localized += answer.pose.status is Status.LOCALIZED
        growth.add(first.stamp_ns, query, answer.estimate, T_odom_first)
        on_progress(done, total)
    return localized


def instants_of(traversal: Traversal) -> int:
    """Returns the number of images of a drive, of a rig those of its first camera."""
    return len(traversal.cameras[0] if isinstance(traversal, RigTraversal) else traversal)


def _instants(traversal: Traversal) -> Iterator[list[Frame]]:
    """Yields the frames of the cameras of a drive that belong together."""
    if isinstance(traversal, RigTraversal):
        return traversal.instants()
    return ([frame] for frame in traversal.frames())


def _odometry(frame: Frame) -> Pose | None:
    return frame.T_map_camera if frame.T_odom_camera is None else frame.T_odom_camera


def _query_of(frames: Sequence[Frame]) -> list[CameraImage]:
    """Returns the images of an instant whose mounting is known; the base is the first camera at its time."""
    T_odom_first = _odometry(frames[0])
    query = [image_of(_with_odometry(frames[0]))]
    for frame in frames[1:]:
        T_odom_camera = _odometry(frame)
        if T_odom_first is not None and T_odom_camera is not None:
            query.append(image_of(_with_odometry(frame), inverse(T_odom_first) @ T_odom_camera))
    return query


def _with_odometry(frame: Frame) -> Frame:
    """Returns a frame whose poses, in any frame, serve as odometry where it has no other."""
    motion = frame.readout_motion
    if motion is None or frame.T_odom_camera is not None:
        return frame
    return replace(frame, readout_motion=replace(motion, by_odometry=True))
