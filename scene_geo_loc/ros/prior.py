"""A pose told by a person or another localizer on /initialpose."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.ros.messages import pose_from_message

if TYPE_CHECKING:
    from geometry_msgs.msg import PoseWithCovarianceStamped

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
        spread_m = float(np.sqrt(max(np.linalg.eigvalsh((covariance + covariance.T) / 2)[-1], 0.0)))
        return cls(T_map_base, max(SIGMAS * spread_m, min_radius_m), time.monotonic())
