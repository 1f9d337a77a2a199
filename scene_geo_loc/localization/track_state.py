"""A moving camera's pose as far as it is known: a Gaussian on SE(3) that motion widens and fixes narrow.

Errors are those of `geometry.pose.difference`: x, y, z and rotations about x, y, z, metres and radians along
the map's axes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from scene_geo_loc.geometry.lie import difference, displaced, motion_of, skew, twist_of
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.localization.covariance import move_covariance

SHARED = 0.7
"""The part of a fix's variance that the next fix errs by as well.

Consecutive images are matched with the same keyframes: on simulated drives at 10 images a second, the errors
of one fix and the next correlate by a half to four fifths.
"""

UNKNOWN_TWIST = np.repeat([15.0, 1.0], 3)
"""Standard deviations of a velocity (m/s) and a turn rate (rad/s) that nothing is known of."""


@dataclass(frozen=True)
class Belief:
    """What is known of a moving camera.

    The error of the pose and the twist is that of their own, and `shared @ u`, where u, six numbers of unit
    variance, is the same for all fixes.  It can never be averaged away: the consider parameters of
    Schmidt's filter, which keep a hundred fixes from being taken for a hundred witnesses.

    Attributes:
        T_map_camera: the pose.
        twist: (6,) velocity in m/s and turn rate in rad/s, along the camera's axes.
        own: (12, 12) covariance of the errors of pose and twist that are not shared.
        shared: (12, 6).
    """

    T_map_camera: Pose
    twist: NDArray[np.float64]
    own: NDArray[np.float64]
    shared: NDArray[np.float64]

    @classmethod
    def of_fix(cls, T_map_camera: Pose, covariance: NDArray[np.float64]) -> Belief:
        """What one fix, with its covariance (6, 6), tells: a pose, and nothing of how it changes."""
        own = np.diag(np.concatenate([np.zeros(6), UNKNOWN_TWIST**2]))
        own[:6, :6] = (1.0 - SHARED) * covariance
        shared = np.zeros((12, 6))
        shared[:6] = _shared_of(covariance)
        return cls(T_map_camera, np.zeros(6), own, shared)

    @property
    def covariance(self) -> NDArray[np.float64]:
        """(6, 6) of the pose."""
        return self.own[:6, :6] + self.shared[:6] @ self.shared[:6].T

    @property
    def position_std_m(self) -> float:
        """Standard deviation of the position in the direction in which it is known least, metres."""
        return float(np.sqrt(np.linalg.eigvalsh(self.covariance[:3, :3])[-1]))

    def moved(self, motion: Pose, noise: NDArray[np.float64], seconds: float) -> Belief:
        """The belief after a measured motion.

        Args:
            motion: the camera's next pose in its last one.
            noise: (6,) standard deviations of the motion, metres and radians.
            seconds: how long it took.
        """
        T = self.T_map_camera @ motion
        lever = T[:3, 3] - self.T_map_camera[:3, 3]
        own = np.diag(np.concatenate([np.zeros(6), (noise / seconds) ** 2]))
        own[:6, :6] = move_covariance(self.own[:6, :6], lever) + np.diag(noise**2)
        shared = np.zeros((12, 6))
        shared[:3] = self.shared[:3] - skew(lever[None])[0] @ self.shared[3:6]
        shared[3:6] = self.shared[3:6]
        return Belief(T, twist_of(motion, seconds), own, shared)

    def coasted(self, seconds: float, acceleration: float, turn_acceleration: float) -> Belief:
        """The belief after some time in which nothing was measured: the twist stays, but for chance.

        Args:
            acceleration, turn_acceleration: standard deviation of the change of velocity (m/s) and turn
                rate (rad/s) in one second; that of longer times grows with their root.
        """
        motion = motion_of(self.twist, seconds)
        T = self.T_map_camera @ motion
        R = self.T_map_camera[:3, :3]
        half_turned = R @ Rotation.from_rotvec(self.twist[3:] * seconds / 2).as_matrix()
        lever = T[:3, 3] - self.T_map_camera[:3, 3]
        F = np.eye(12)
        F[:3, 3:6] = -skew(lever[None])[0]
        F[:3, 6:9] = half_turned * seconds
        F[:3, 9:] = -skew(lever[None])[0] @ R * seconds / 2
        F[3:6, 9:] = half_turned * seconds
        density = np.repeat([acceleration, turn_acceleration], 3) ** 2
        noise = np.zeros((12, 12))
        noise[:6, :6] = np.diag(density * seconds**3 / 3)
        noise[6:, 6:] = np.diag(density * seconds)
        for of, by in ((slice(0, 3), slice(6, 9)), (slice(3, 6), slice(9, 12))):
            noise[of, by] = R * density[of.start] * seconds**2 / 2
            noise[by, of] = noise[of, by].T
        return Belief(T, self.twist, F @ self.own @ F.T + noise, F @ self.shared)

    def distance(self, T_map_camera: Pose, covariance: NDArray[np.float64]) -> float:
        """Mahalanobis distance of a fix, as if its error had nothing in common with those before."""
        away = difference(self.T_map_camera, T_map_camera)
        return float(np.sqrt(away @ np.linalg.solve(self.covariance + covariance, away)))

    def fused(self, T_map_camera: Pose, covariance: NDArray[np.float64]) -> Belief:
        """The belief with a fix taken in: Schmidt's update, with the gain that leaves the least variance."""
        common = _shared_of(covariance)
        apart = self.shared[:6] - common
        innovation = self.own[:6, :6] + (1.0 - SHARED) * covariance + apart @ apart.T
        cross = self.own[:, :6] + self.shared @ apart.T
        gain = np.linalg.solve(innovation, cross.T).T
        step = gain @ difference(self.T_map_camera, T_map_camera)
        keep = np.eye(12)
        keep[:, :6] -= gain
        own = keep @ self.own @ keep.T + (1.0 - SHARED) * gain @ covariance @ gain.T
        return Belief(
            displaced(self.T_map_camera, step[:6]),
            self.twist + step[6:],
            (own + own.T) / 2,
            self.shared - gain @ apart,
        )


def _shared_of(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The symmetric root (6, 6) of the part of a fix's covariance that fixes share."""
    values, vectors = np.linalg.eigh(SHARED * covariance)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)) @ vectors.T)
