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

"""Satellite positions of a recording: NavSatFix, and the geographic poses of geographic_msgs."""

from __future__ import annotations

import logging
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import GeodesyError
from scene_geo_loc.geometry.datum import Georeference
from scene_geo_loc.geometry.geodesy import check_geodetic
from scene_geo_loc.geometry.pose import Pose, inverse
from scene_geo_loc.geometry.transform_tree import TransformTree, TransformUnavailable
from scene_geo_loc.traversals.messages.clouds import PosesAt
from scene_geo_loc.traversals.messages.satellite import NAV_SAT_FIX, fix_of
from scene_geo_loc.traversals.messages.transforms import frame_name
from scene_geo_loc.traversals.rosbag.bag import BagMessage
from scene_geo_loc.traversals.satellite import SatelliteFixes
from scene_geo_loc.traversals.sources import PassedOver, Reason, Role, SensorSource

logger = logging.getLogger(__name__)

_ROW = 9

_NO_ORIENTATION = (np.nan, np.nan, np.nan, np.nan)


@dataclass
class SatelliteTopic:
    """Positions of a NavSatFix topic, or poses of a geographic_msgs one.

    Attributes:
        frame_id: frame of the antenna; empty where the messages do not say it.
        unusable: number of messages without a usable position, by reason.
    """

    topic: str
    kind: str
    frame_id: str = ""
    unusable: Counter[str] = field(default_factory=Counter)
    _stamps_ns: array[int] = field(default_factory=lambda: array("q"))
    _numbers: array[float] = field(default_factory=lambda: array("d"))

    def add(self, message: BagMessage) -> None:
        """Adds a message; one without a usable position is counted."""
        try:
            row = self._row(message.decode())
        except ValueError as error:
            self.unusable[str(error)] += 1
            return
        self._stamps_ns.append(message.stamp_ns)
        self._numbers.extend(row)

    def _row(self, message: Any) -> tuple[float, ...]:
        """Returns the numbers of a message. Raises ValueError where it has no usable position."""
        if self.kind == NAV_SAT_FIX:
            self.frame_id = self.frame_id or frame_name(message.header.frame_id)
            fix = fix_of(message)
            return (*fix.geodetic, *fix.sigmas_m, *_NO_ORIENTATION)
        pose = message.pose if hasattr(message.pose, "position") else message.pose.pose
        at, turn = pose.position, pose.orientation
        check_geodetic(at.latitude, at.longitude, at.altitude)
        return (at.latitude, at.longitude, at.altitude, np.nan, np.nan, turn.x, turn.y, turn.z, turn.w)

    def __len__(self) -> int:
        return len(self._stamps_ns)

    def in_order(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Returns stamps (N,), increasing, and rows (N, 9).

        Latitude, longitude, height; horizontal and vertical standard deviation; x, y, z, w of the orientation
        in east, north, up.  What is unknown is NaN.
        """
        rows = np.array(self._numbers, np.float64).reshape(-1, _ROW)
        stamps, first = np.unique(np.array(self._stamps_ns, np.int64), return_index=True)
        return stamps, rows[first]

    def fixes(self, tree: TransformTree, camera_frame: str, T_frame_camera: Pose) -> SatelliteFixes:
        """Returns the positions with the place of the antenna; the camera's where TF does not have it.

        Args:
            camera_frame: frame of the images.
            T_frame_camera: pose of the optical frame in it.
        """
        stamps, rows = self.in_order()
        T_camera_antenna = np.eye(4)
        if len(stamps) and self.frame_id:
            try:
                middle = int(stamps[len(stamps) // 2])
                T_frame_antenna = tree.lookup(camera_frame, self.frame_id, middle)
                T_camera_antenna = inverse(T_frame_camera) @ T_frame_antenna
            except TransformUnavailable as unavailable:
                logger.warning("%s: %s The antenna is taken to be at the camera.", self.topic, unavailable)
        return SatelliteFixes(self.topic, stamps, rows[:, :3], rows[:, 3:5], T_camera_antenna)


def best_satellite(topics: Iterable[SatelliteTopic]) -> SatelliteTopic | None:
    """Returns the topic with the smallest stated errors, else the most positions; None without any."""

    def order(topic: SatelliteTopic) -> tuple[float, int, str]:
        sigmas = topic.in_order()[1][:, 3]
        known = sigmas[np.isfinite(sigmas)]
        return float(np.median(known)) if len(known) else np.inf, -len(topic), topic.topic

    return min((topic for topic in topics if len(topic)), key=order, default=None)


def satellite_source(topics: Sequence[SatelliteTopic], taken: SatelliteTopic | None) -> SensorSource:
    """Returns the record of the satellite positions."""

    def unusable(topic: SatelliteTopic) -> str:
        return ", ".join(f"{count} x {reason}" for reason, count in topic.unusable.most_common(3))

    others = tuple(
        PassedOver(topic.topic, len(topic), unusable(topic) or Reason.LESS_PRECISE.of())
        for topic in topics
        if topic is not taken
    )
    if taken is None:
        return SensorSource(Role.SATELLITE, passed_over=others)
    reasons = [(Reason.PRECISE if others else Reason.ONLY).of(), unusable(taken)]
    return SensorSource(
        Role.SATELLITE,
        taken.topic,
        taken.kind,
        len(taken),
        taken.frame_id,
        reason="; ".join(filter(None, reasons)),
        passed_over=others,
    )


def georeference_by(fixes: SatelliteFixes, camera_poses: PosesAt, path: str) -> Georeference | None:
    """Returns the datum of the poses' map; None, with a warning, where the positions give none."""
    T_map_camera, known = camera_poses(fixes.stamps_ns)
    try:
        return fixes.georeference(T_map_camera @ fixes.T_camera_antenna, known)
    except GeodesyError as error:
        logger.warning("%s, %s: the map gets no datum. %s", path, fixes.source, error)
        return None
