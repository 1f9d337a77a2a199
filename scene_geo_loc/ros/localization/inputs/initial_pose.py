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

"""The pose that a person or another localizer publishes on /initialpose."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scene_geo_loc.geometry.pose import Pose, from_quaternion
from scene_geo_loc.geometry.pose_series import MAX_TRANSLATION_M
from scene_geo_loc.geometry.transform_tree import TransformUnavailable
from scene_geo_loc.localization.estimate import PosePrior
from scene_geo_loc.ros.common.counters import BadReason
from scene_geo_loc.ros.common.messages import pose_from_message

if TYPE_CHECKING:
    from collections.abc import Callable

    from geometry_msgs.msg import PoseWithCovarianceStamped

    from scene_geo_loc.ros.common.managed_node import ManagedNode
    from scene_geo_loc.ros.common.settings import LocalizationNodeSettings

SIGMAS = 3.0
"""Radius of the search, in standard deviations of the position."""
MIN_HEIGHT_STD_M = 1e-3
"""A smaller standard deviation of z, such as 0, means that the sender works in a plane and knows no z."""
MISSES = 3
"""After so many images without a pose every other image is searched for in the whole map."""


@dataclass(frozen=True)
class InitialPose:
    """Approximate pose of the robot.

    Attributes:
        T_map_base: the pose.
        radius_m: largest error of its position.
        is_height_known: whether its z is an estimate; RViz sends z = 0 with variance 0.
        arrived_s: time.monotonic() of its arrival.
    """

    T_map_base: Pose
    radius_m: float
    is_height_known: bool
    arrived_s: float

    @classmethod
    def from_message(
        cls, message: PoseWithCovarianceStamped, map_frame: str, min_radius_m: float
    ) -> InitialPose:
        """Makes one of a message. Raises ValueError, one sentence, for another frame or invalid numbers."""
        frame = message.header.frame_id.lstrip("/")
        if frame != map_frame:
            raise ValueError(f"The initial pose is in the frame {frame!r}; publish it in {map_frame!r}.")
        try:
            T_map_base = pose_from_message(message.pose.pose)
        except ValueError as error:
            raise ValueError(f"The initial pose is invalid: {error}.") from error
        covariance = np.asarray(message.pose.covariance, np.float64).reshape(6, 6)[:3, :3]
        if not np.isfinite(covariance).all() or (np.diag(covariance) < 0).any():
            raise ValueError("The covariance of the initial pose must be finite and not negative.")
        if np.abs(covariance).max() > MAX_TRANSLATION_M**2:
            raise ValueError(f"The covariance of the initial pose is beyond {MAX_TRANSLATION_M**2:g} m².")
        is_height_known = bool(covariance[2, 2] >= MIN_HEIGHT_STD_M**2)
        if not is_height_known:
            covariance = covariance[:2, :2]
        spread_m = float(np.sqrt(max(np.linalg.eigvalsh((covariance + covariance.T) / 2)[-1], 0.0)))
        return cls(T_map_base, max(SIGMAS * spread_m, min_radius_m), is_height_known, time.monotonic())


class InitialPoses:
    """The last initial pose, until an image is localized or it is too old.

    A wrong one does not stop localization: after `MISSES` images without a pose every other image is searched
    for in the whole map.

    Args:
        settings: returns the node's settings, of which some change while it runs.

    Attributes:
        newest: the initial pose, or None.
    """

    def __init__(
        self, node: ManagedNode, settings: Callable[[], LocalizationNodeSettings], map_frame: str
    ) -> None:
        self.newest: InitialPose | None = None
        self._misses = 0
        self._node, self._settings, self._map_frame = node, settings, map_frame

    def set(self, x: float, y: float, yaw: float) -> None:
        """Takes a pose of unknown height, with the least radius."""
        T_map_base = from_quaternion((x, y, 0.0), (0.0, 0.0, np.sin(yaw / 2), np.cos(yaw / 2)))
        self._misses = 0
        self.newest = InitialPose(T_map_base, self._settings().prior_min_radius, False, time.monotonic())

    def take(self, message: PoseWithCovarianceStamped) -> bool:
        """Takes a message of /initialpose; one that cannot be used is counted and logged, and gives False."""
        try:
            self.newest = InitialPose.from_message(
                message, self._map_frame, self._settings().prior_min_radius
            )
        except ValueError as error:
            self._node.counters.add(BadReason.INITIAL_POSE)
            self._node.get_logger().warning(str(error))
            return False
        self._misses = 0
        return True

    def prior(self, base_T_camera: Callable[[], Pose]) -> PosePrior | None:
        """Returns the prior of a camera, or None where the whole map is to be searched.

        Args:
            base_T_camera: returns the camera's mounting; there is no prior where it raises
                TransformUnavailable.
        """
        newest = self.newest
        if newest is None:
            return None
        if time.monotonic() - newest.arrived_s > self._settings().prior_timeout:
            self.newest = None
            return None
        if self._misses >= MISSES and (self._misses - MISSES) % 2 == 0:
            return None
        try:
            return PosePrior(newest.T_map_base @ base_T_camera(), newest.radius_m, newest.is_height_known)
        except TransformUnavailable:
            return None

    def count_miss(self) -> None:
        """Counts an image that geometry did not localize."""
        if self.newest is None:
            return
        self._misses += 1
        if self._misses == MISSES:
            self._node.get_logger().warning(
                f"{MISSES} images were not localized near the initial pose: every other one is now searched "
                "for in the whole map."
            )

    def forget(self) -> None:
        """Drops the initial pose."""
        self.newest, self._misses = None, 0
