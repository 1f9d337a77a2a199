"""The pose that a person or another localizer publishes on /initialpose."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scene_geo_loc.geometry.pose import Pose
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


@dataclass(frozen=True)
class InitialPose:
    """Approximate pose of the robot.

    Attributes:
        T_map_base: the pose.
        radius_m: largest error of its position.
        arrived_s: time.monotonic() of its arrival.
    """

    T_map_base: Pose
    radius_m: float
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
        covariance = np.asarray(message.pose.covariance, np.float64).reshape(6, 6)[:2, :2]
        if not np.isfinite(covariance).all() or (np.diag(covariance) < 0).any():
            raise ValueError("The covariance of the initial pose must be finite and not negative.")
        if np.abs(covariance).max() > MAX_TRANSLATION_M**2:
            raise ValueError(f"The covariance of the initial pose is beyond {MAX_TRANSLATION_M**2:g} m².")
        spread_m = float(np.sqrt(max(np.linalg.eigvalsh((covariance + covariance.T) / 2)[-1], 0.0)))
        return cls(T_map_base, max(SIGMAS * spread_m, min_radius_m), time.monotonic())


class InitialPoses:
    """The last initial pose, until an image is localized or it is too old.

    Args:
        settings: returns the node's settings, of which some change while it runs.

    Attributes:
        newest: the initial pose, or None.
    """

    def __init__(
        self, node: ManagedNode, settings: Callable[[], LocalizationNodeSettings], map_frame: str
    ) -> None:
        self.newest: InitialPose | None = None
        self._node, self._settings, self._map_frame = node, settings, map_frame

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
        return True

    def prior(self, base_T_camera: Callable[[], Pose]) -> PosePrior | None:
        """Returns the prior of a camera, or None where there is no initial pose.

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
        try:
            return PosePrior(newest.T_map_base @ base_T_camera(), newest.radius_m)
        except TransformUnavailable:
            return None

    def forget(self) -> None:
        """Drops the initial pose."""
        self.newest = None
