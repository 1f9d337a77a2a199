"""A pose told by a person or another localizer on /initialpose."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.geometry.pose_series import MAX_TRANSLATION_M
from scene_geo_loc.geometry.transform_tree import TransformUnavailable
from scene_geo_loc.localization.estimate import PosePrior
from scene_geo_loc.ros.common.counters import BadReason, Counters
from scene_geo_loc.ros.common.messages import pose_from_message

if TYPE_CHECKING:
    from collections.abc import Callable

    from geometry_msgs.msg import PoseWithCovarianceStamped
    from rclpy.node import Node

    from scene_geo_loc.ros.common.settings import LocalizationNodeSettings

SIGMAS = 3.0
"""The radius of the search in standard deviations of the position told."""


@dataclass(frozen=True)
class InitialPose:
    """Roughly where the robot is.

    Attributes:
        T_map_base: the pose told.
        radius_m: how far off it may be.
        told_at: time.monotonic() when it came.
    """

    T_map_base: Pose
    radius_m: float
    told_at: float

    @classmethod
    def from_message(
        cls, message: PoseWithCovarianceStamped, map_frame: str, min_radius_m: float
    ) -> InitialPose:
        """Raises ValueError, with a sentence, where the message is in another frame or malformed."""
        frame = message.header.frame_id.lstrip("/")
        if frame != map_frame:
            raise ValueError(f"The initial pose is in the frame {frame!r}; give it in {map_frame!r}.")
        try:
            T_map_base = pose_from_message(message.pose.pose)
        except ValueError as error:
            raise ValueError(f"The initial pose is no pose: {error}.") from error
        covariance = np.asarray(message.pose.covariance, np.float64).reshape(6, 6)[:2, :2]
        if not np.isfinite(covariance).all() or (np.diag(covariance) < 0).any():
            raise ValueError("The covariance of the initial pose must be finite and not negative.")
        if np.abs(covariance).max() > MAX_TRANSLATION_M**2:
            raise ValueError(f"The covariance of the initial pose is beyond {MAX_TRANSLATION_M**2:g} m².")
        spread_m = float(np.sqrt(max(np.linalg.eigvalsh((covariance + covariance.T) / 2)[-1], 0.0)))
        return cls(T_map_base, max(SIGMAS * spread_m, min_radius_m), time.monotonic())


class InitialPoses:
    """The last pose told, until it is used up or too old.

    Attributes:
        newest: it, or None.
        settings: of the node; may be replaced while it runs.
    """

    def __init__(
        self, node: Node, settings: LocalizationNodeSettings, map_frame: str, counters: Counters
    ) -> None:
        self.newest: InitialPose | None = None
        self.settings = settings
        self._node, self._map_frame, self._counters = node, map_frame, counters

    def take(self, message: PoseWithCovarianceStamped) -> bool:
        """Takes what was published on /initialpose; what cannot be used is counted and logged, and False."""
        try:
            self.newest = InitialPose.from_message(message, self._map_frame, self.settings.prior_min_radius)
        except ValueError as error:
            self._counters.add(BadReason.INITIAL_POSE)
            self._node.get_logger().warning(str(error))
            return False
        return True

    def prior(self, base_T_camera: Callable[[], Pose]) -> PosePrior | None:
        """The localizer's prior, where a pose was told that is not too old.

        Args:
            base_T_camera: gives the camera's mounting; without it (TransformUnavailable) there is no prior.
        """
        newest = self.newest
        if newest is None:
            return None
        if time.monotonic() - newest.told_at > self.settings.prior_timeout:
            self.newest = None
            return None
        try:
            return PosePrior(newest.T_map_base @ base_T_camera(), newest.radius_m)
        except TransformUnavailable:
            return None

    def forget(self) -> None:
        """Drops the pose told."""
        self.newest = None
