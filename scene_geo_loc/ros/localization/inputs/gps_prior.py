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

"""The position of a satellite receiver (GPS), around which keyframes are searched."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import NavSatFix

from scene_geo_loc.geometry.pose import Pose, make_pose
from scene_geo_loc.localization.estimate import PoseEstimate, PosePrior, Status
from scene_geo_loc.ros.common.counters import BadMessage, BadReason
from scene_geo_loc.ros.common.messages import stamp_to_ns
from scene_geo_loc.traversals.messages.satellite import fix_of

if TYPE_CHECKING:
    from scene_geo_loc.mapping.reference_map import AnyMap
    from scene_geo_loc.ros.common.managed_node import ManagedNode
    from scene_geo_loc.ros.common.settings import LocalizationNodeSettings

SIGMAS = 3.0
"""Radius of the search, in standard deviations of the position."""
SPEED_M_S = 20.0
"""Speed by which the radius grows with the age of a position."""
UNKNOWN_SIGMA_M = 10.0
"""Standard deviation of positions whose covariance is not known: 3 of them hold nearly all of a car's."""
MISSES = 3
"""After so many images without a pose every other image is searched for in the whole map."""
CONTRADICTIONS = 2
"""After so many poses in a row that are elsewhere, all images are, until a pose agrees again."""


class GpsUse(str, Enum):
    """Use of the receiver's positions; the value is the one in diagnostics."""

    NONE = "off"
    WAITING = "waiting"
    STALE = "stale"
    USED = "used"
    MISSED = "missed"
    CONTRADICTED = "contradicted"


@dataclass(frozen=True)
class _Position:
    """A position in the map.

    Attributes:
        sigma_m: standard deviation along a horizontal axis.
        arrived_s: time.monotonic() of its arrival.
    """

    stamp_ns: int
    T_map_antenna: Pose
    sigma_m: float
    arrived_s: float


class GpsPrior:
    """Restricts the search for images to the surroundings of a receiver's positions.

    Wrong positions do not stop localization: see `MISSES` and `CONTRADICTIONS`.

    Args:
        settings: returns the node's settings, of which some change while it runs.
        reference_map: a map with a datum, where there is a topic.
    """

    def __init__(
        self,
        node: ManagedNode,
        settings: Callable[[], LocalizationNodeSettings],
        reference_map: AnyMap,
    ) -> None:
        self._node, self._settings, self._topic = node, settings, settings().gps_topic
        self._georeference = reference_map.georeference
        self._lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        """Drops the position, and what is known about the receiver."""
        with self._lock:
            self._at: _Position | None = None
            self._misses = self._against = 0
            self._off_m = 0.0

    def subscribe(self) -> Callable[[], object]:
        """Subscribes to the receiver's topic, if there is one; returns what unsubscribes."""
        if not self._topic:
            return lambda: None
        # Receivers publish either way, and best effort receives from both.
        qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
        subscription = self._node.create_subscription(NavSatFix, self._topic, self._take, qos)
        return lambda: self._node.destroy_subscription(subscription)

    def _take(self, message: NavSatFix) -> None:
        """Takes a message; one without a usable position is counted."""
        assert self._georeference is not None
        try:
            fix = fix_of(message)
        except ValueError as error:
            self._node.counters.add_bad(BadMessage(BadReason.SATELLITE, f"{self._topic}: {error}"))
            return
        sigma_m = UNKNOWN_SIGMA_M
        if fix.covariance_enu is not None:
            sigma_m = float(np.sqrt(np.linalg.eigvalsh(fix.covariance_enu[:2, :2])[-1]))
        datum, latitude, longitude, height = self._georeference.datum, *fix.geodetic
        xyz = datum.map_of([latitude, longitude, datum.altitude_m if np.isnan(height) else height])
        if self._georeference.fit is not None:
            of_datum = self._georeference.fit.covariance_enu(xyz)
            sigma_m = float(np.hypot(sigma_m, np.sqrt(of_datum[0, 0])))
        stamp_ns = stamp_to_ns(message.header.stamp) or self._node.get_clock().now().nanoseconds
        with self._lock:
            self._at = _Position(stamp_ns, make_pose(np.eye(3), xyz), sigma_m, time.monotonic())

    def region(self, stamp_ns: int) -> PosePrior | None:
        """Returns where to search for the image of a stamp; None for the whole map."""
        with self._lock:
            if self._against >= CONTRADICTIONS:
                return None
            if self._misses >= MISSES and (self._misses - MISSES) % 2 == 0:
                return None
            return self._around(stamp_ns)

    def _around(self, stamp_ns: int) -> PosePrior | None:
        """Returns the surroundings of the last position; None where there is none, or it is too old."""
        if self._at is None:
            return None
        age_s = abs(stamp_ns - self._at.stamp_ns) / 1e9
        settings = self._settings()
        if age_s > settings.gps_timeout:
            return None
        radius_m = max(SIGMAS * self._at.sigma_m, settings.prior_min_radius) + SPEED_M_S * age_s
        return PosePrior(self._at.T_map_antenna, radius_m, is_height_known=False)

    def judge(self, stamp_ns: int, estimate: PoseEstimate, region: PosePrior | None) -> None:
        """Compares an estimate of the camera's pose with the position.

        Args:
            region: what the search was restricted to, None where it was not by this receiver.
        """
        with self._lock:
            around = self._around(stamp_ns)
            if around is None:
                return
            was_against = self._against >= CONTRADICTIONS
            if estimate.status is not Status.LOCALIZED or estimate.T_map_base is None:
                self._misses += region is not None or self._misses >= MISSES
                return
            off_m = float(around.distances(estimate.T_map_base[None])[0])
            if off_m <= around.radius_m:
                self._misses = self._against = 0
            else:
                self._against, self._off_m = self._against + 1, off_m
        if self._against >= CONTRADICTIONS and not was_against:
            self._node.get_logger().warning(self.problem)

    @property
    def use(self) -> GpsUse:
        """Present use of the positions."""
        with self._lock:
            if not self._topic:
                return GpsUse.NONE
            if self._at is None:
                return GpsUse.WAITING
            if time.monotonic() - self._at.arrived_s > self._settings().gps_timeout:
                return GpsUse.STALE
            if self._against >= CONTRADICTIONS:
                return GpsUse.CONTRADICTED
            return GpsUse.MISSED if self._misses >= MISSES else GpsUse.USED

    @property
    def problem(self) -> str:
        """Sentence on why images are searched for in the whole map, or ""."""
        use = self.use
        if use is GpsUse.CONTRADICTED:
            return (
                f"The positions on {self._topic} are {self._off_m:.0f} m from the poses: images are searched "
                "for in the whole map until both agree."
            )
        if use is GpsUse.MISSED:
            return (
                f"{self._misses} images were not localized near the positions on {self._topic}: every other "
                "one is searched for in the whole map."
            )
        if use in (GpsUse.WAITING, GpsUse.STALE):
            return f"No usable position on {self._topic}: images are searched for in the whole map."
        return ""
