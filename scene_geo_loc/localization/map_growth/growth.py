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

"""Which images of a localized drive become keyframes of the map, and with which poses.

An image that the map does not localize with confidence is a candidate.  It waits on the disk until fixes
after it are verified: localized by geometry, and in agreement with each other by odometry.  Its pose is
odometry between the fixes around it, see `bridging`; it is dropped where these disagree, or where the pose
would be too uncertain.  The last images before a candidate, and the first ones after it, are taken as well:
depth is triangulated from neighbouring keyframes.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path

import numpy as np

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.geometry.pose import Pose, inverse, rotation_angle_deg
from scene_geo_loc.localization.estimate import PoseEstimate, Status
from scene_geo_loc.localization.map_growth.bridging import Fix, Waypoint, bridge
from scene_geo_loc.localization.map_growth.settings import GrowthSettings
from scene_geo_loc.localization.map_growth.waiting import WaitingImage, WaitingImages
from scene_geo_loc.localization.query import Query, camera_images
from scene_geo_loc.localization.tracking.tracker import Tracker, TrackerSettings
from scene_geo_loc.mapping.editing.compatibility import check_extendable
from scene_geo_loc.mapping.keyframes import KeyframeSelector
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.traversals.frame import Frame

CONTEXT = 2
"""Supported images that are taken before and after candidates, for their depth."""
FIXES_AFTER = 2
"""Verified fixes after the last candidate with which the poses are found."""
KEPT_WAY = 20
"""Images of the way that are kept while nothing waits for a pose."""
MOST_UNPLACED = 300
"""Instants with images without a pose beyond which the oldest are dropped."""
MOST_WAY = 2000
"""Images of the way beyond which its first half is forgotten, far from where any pose is certain enough."""
LONGEST_PAUSE_S, FASTEST_M_S = 120.0, 40.0
"""Odometry goes on after a restart where it moved at most so fast in a pause of at most so many seconds."""


class Drop(str, Enum):
    """Reason why an image does not become a keyframe; the value completes "3 images dropped: ..."."""

    DISAGREES = "odometry and the fixes around them disagree"
    UNCERTAIN = "their poses are too uncertain"
    INTERRUPTED = "odometry was interrupted before a verified fix"
    TOO_MANY = "too many wait for a verified fix"
    NOT_WRITTEN = "the disk is full or cannot be written"
    NO_ODOMETRY = "there is no odometry"
    NO_READOUT_MOTION = "the motion during an image of a rolling shutter is not known"


@dataclass(frozen=True)
class GrowthCounts:
    """Counts of images.

    Attributes:
        unplaced: images that wait for verified fixes.
        waiting: images with a pose that wait to be built into the map.
        added: keyframes added since the start.
        dropped: images that were dropped since the start, by reason.
    """

    unplaced: int
    waiting: int
    added: int
    dropped: Counter[Drop]


@dataclass(frozen=True)
class _Taken:
    """An image of an instant, and the pose of its camera in the base."""

    frame: Frame
    T_base_camera: Pose


class MapGrowth:
    """Collects images of places that a map does not localize; thread-safe.

    Args:
        reference_map: the map that is extended.
        settings: settings of the growth.
        tracker: settings of the odometry and of the agreement of fixes.
        source: name of the drive, for the names of its keyframes.
        folder: where images wait; default: `<map>.waiting`, which a node uses.

    Raises MapError where the map cannot be extended, or where images wait for another one.
    """

    def __init__(
        self,
        reference_map: ReferenceMap,
        settings: GrowthSettings | None = None,
        tracker: TrackerSettings | None = None,
        source: str = "",
        folder: Path | None = None,
    ) -> None:
        check_extendable(reference_map)
        self.settings = settings or GrowthSettings()
        self._tracking = tracker or TrackerSettings()
        started = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H-%M-%S.%f")
        self.source = f"{source} {started}".strip()
        self._mutex = threading.RLock()
        self._dropped: Counter[Drop] = Counter()
        self._added = 0
        self._waiting = WaitingImages(reference_map.path, reference_map.info, folder)
        # A process that was killed after it had written the map did not remove them.
        self._waiting.remove(set(self._waiting.images) & set(reference_map.names.to_pylist()))
        self._is_taken_up = bool(self._waiting.unplaced)
        self._start_over()
        self._to_take = CONTEXT if self._is_taken_up else 0

    def _start_over(self) -> None:
        """Begins a new way, as odometry was interrupted."""
        self._tracker = Tracker(self._tracking)
        self._selector = KeyframeSelector(self.settings.keyframe_distance_m, self.settings.keyframe_angle_deg)
        self._before: deque[list[_Taken]] = deque(maxlen=CONTEXT)
        self._to_take = 0
        self._fixes = 0

    @property
    def folder(self) -> Path:
        """Folder of the images that wait."""
        return self._waiting.folder

    @property
    def counts(self) -> GrowthCounts:
        """Counts of images."""
        with self._mutex:
            unplaced = len(self._waiting.unplaced)
            waiting = len(self._waiting.images) - unplaced
            return GrowthCounts(unplaced, waiting, self._added, Counter(self._dropped))

    @property
    def is_due(self) -> bool:
        """True if enough images wait to be built."""
        counts = self.counts
        waiting = counts.waiting + (counts.unplaced if self.settings.explore else 0)
        return 0 < self.settings.images <= waiting

    def add(self, stamp_ns: int, query: Query, estimate: PoseEstimate, T_odom_base: Pose | None) -> None:
        """Takes the next image that was localized, or not, or the images of a rig.

        All cameras of a rig get keyframes, with poses that follow from the rig's.

        Args:
            stamp_ns: time of the image.
            query: what was localized.
            estimate: its pose on its own, as of `Localizer.localize`.
            T_odom_base: pose of its base by odometry, in a frame that may drift but not jump, or None.
        """
        is_supported = estimate.status is Status.LOCALIZED and (
            estimate.confidence is None or estimate.confidence >= self.settings.min_confidence
        )
        with self._mutex:
            if T_odom_base is None:
                self._dropped[Drop.NO_ODOMETRY] += not is_supported
                return
            if not self._is_next(stamp_ns, T_odom_base):
                return
            fix = self._verified(stamp_ns, estimate, T_odom_base, is_supported=is_supported)
            try:
                self._waiting.add_waypoint(Waypoint(stamp_ns, T_odom_base, fix))
                if self._selector.accept(T_odom_base):
                    self._take(self._instant(stamp_ns, query), is_supported=is_supported)
                if len(self._waiting.way) > MOST_WAY:
                    self._waiting.forget_way(MOST_WAY // 2)
                self._fixes = self._fixes + 1 if fix is not None else 0
                self._place()
            except OSError:
                self._dropped[Drop.NOT_WRITTEN] += 1

    def _instant(self, stamp_ns: int, query: Query) -> list[_Taken]:
        """Returns the images of an instant with what is known of their motion."""
        taken = []
        for i, image in enumerate(camera_images(query)):
            motion = image.readout_motion() if image.camera.readout_s else None
            if image.camera.readout_s and motion is None:
                self._dropped[Drop.NO_READOUT_MOTION] += 1
                continue
            name = f"{self.source}/{stamp_ns}" + (f"_{i}" if i else "")
            frame = Frame(
                stamp_ns, image.image, image.camera, depth=image.depth, name=name, readout_motion=motion
            )
            taken.append(_Taken(frame, image.T_base_camera))
        return taken

    def _is_next(self, stamp_ns: int, T_odom_base: Pose) -> bool:
        """Returns whether an image is far enough from the last one; begins a new way where odometry jumps."""
        if not self._waiting.way:
            if self._waiting.unplaced:  # of a journal that was damaged
                self.interrupt()
            self._is_taken_up = False
            return True
        last = self._waiting.way[-1]
        pause_s = (stamp_ns - last.stamp_ns) / 1e9
        motion = inverse(last.T_odom_camera) @ T_odom_base
        moved_m = float(np.linalg.norm(motion[:3, 3]))
        if pause_s <= 0:
            self.interrupt()
            return True
        if self._is_taken_up and (pause_s > LONGEST_PAUSE_S or moved_m > FASTEST_M_S * pause_s):
            self.interrupt()
            return True
        self._is_taken_up = False
        settings = self.settings
        return bool(
            moved_m >= settings.keyframe_distance_m / 2
            or rotation_angle_deg(motion) >= settings.keyframe_angle_deg / 2
        )

    def _verified(
        self, stamp_ns: int, estimate: PoseEstimate, T_odom_base: Pose, *, is_supported: bool
    ) -> Fix | None:
        """Returns the pose of an image where geometry, confidence and the images before agree on it."""
        usable = estimate if is_supported else PoseEstimate(Status.LOST)
        tracked = self._tracker.update(stamp_ns, usable, T_odom_base)
        if not is_supported or tracked.status is not Status.LOCALIZED:
            return None
        assert estimate.T_map_base is not None
        assert estimate.covariance is not None
        return Fix(estimate.T_map_base, estimate.covariance)

    def _take(self, instant: list[_Taken], *, is_supported: bool) -> None:
        """Lets spaced images wait, or keeps them in memory in case that the next ones have to."""
        if is_supported and self._to_take == 0:
            self._before.append(instant)
            return
        self._to_take = self._to_take - 1 if is_supported else CONTEXT
        for taken in (*self._before, instant):
            for image in taken:
                self._waiting.add_image(image.frame, image.T_base_camera)
        self._before.clear()
        unplaced = self._waiting.unplaced
        stamps = sorted({image.stamp_ns for image in unplaced})
        if len(stamps) > MOST_UNPLACED:
            oldest = stamps[-MOST_UNPLACED]
            self._drop([image for image in unplaced if image.stamp_ns < oldest], Drop.TOO_MANY)

    def _place(self) -> None:
        """Finds the poses of images with verified fixes after them."""
        if not self._waiting.unplaced:
            # Odometry goes on from the last fix, however long ago it was.
            since = next((i for i, w in enumerate(reversed(self._waiting.way)) if w.fix is not None), 0)
            self._waiting.forget_way(max(KEPT_WAY, since + 1))
        elif self._fixes >= FIXES_AFTER:
            self._place_by(explores=False)

    def settle(self) -> None:
        """Gives poses to the images after the last fix, where the settings let the map grow there."""
        with self._mutex:
            if self.settings.explore:
                try:
                    self._place_by(explores=True)
                except OSError as error:
                    raise MapError(f"{self.folder} cannot be written: {error.strerror}.") from error

    def _place_by(self, *, explores: bool) -> None:
        way = self._waiting.way
        bridged = bridge(way, self._tracking, explores=explores)
        poses = {w.stamp_ns: pose for w, pose in zip(way, bridged, strict=True)}
        for image in self._waiting.unplaced:
            pose = poses.get(image.stamp_ns)
            if pose is None:
                continue
            if pose.T_map_camera is None:
                self._drop([image], Drop.DISAGREES)
            elif pose.position_std_m > self.settings.max_std_m:
                self._drop([image], Drop.UNCERTAIN)
            else:
                self._waiting.place(image, pose.T_map_camera)

    def _drop(self, images: list[WaitingImage], reason: Drop) -> None:
        self._dropped[reason] += len(images)
        self._waiting.remove([image.name for image in images])

    def interrupt(self) -> None:
        """Drops the images without a pose, as odometry does not go on from here."""
        with self._mutex:
            try:
                self._drop(self._waiting.unplaced, Drop.INTERRUPTED)
                self._waiting.forget_way(0)
            except OSError:
                self._dropped[Drop.NOT_WRITTEN] += 1
            self._is_taken_up = False
            self._start_over()

    def built(self, images: list[WaitingImage]) -> None:
        """Removes images that are in the map now."""
        with self._mutex:
            self._added += len(images)
            try:
                self._waiting.remove([image.name for image in images])
            except OSError as error:
                raise MapError(f"{self._waiting.folder} cannot be written: {error.strerror}.") from error

    @property
    def placed(self) -> list[WaitingImage]:
        """Images with a pose."""
        with self._mutex:
            return self._waiting.placed

    def close(self) -> None:
        """Leaves what waits on the disk, for the next process."""
        with self._mutex:
            self._waiting.close()
