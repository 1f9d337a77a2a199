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

"""State of a track: Gaussian estimate of pose and twist on SE(3), predicted by motion, updated by estimates.

Errors are those of `geometry.pose.difference`: x, y, z and rotations about x, y, z, metres and radians along
the map's axes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.lie import difference, displaced, motion_of, skew, twist_of
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.geometry.rotation import matrix_of_vector
from scene_geo_loc.localization.uncertainty.covariance import move_covariance

SHARED = 0.7
"""Share of the variance of a pose estimate that is common to consecutive estimates.

Consecutive images are matched with the same keyframes: on simulated drives at 10 images a second, the errors
of consecutive estimates correlate by 0.5 to 0.8.
"""

UNKNOWN_TWIST = np.repeat([15.0, 1.0], 3)
"""Standard deviations of an unknown velocity (m/s) and angular velocity (rad/s)."""


@dataclass(frozen=True)
class TrackState:
    """Pose and twist of a moving camera with their covariance.

    The error has two parts: one of covariance `own`, and `shared @ u`, where u (6,) of unit variance is
    common to all estimates.  The common part is never averaged away: u are the consider parameters of a
    Schmidt-Kalman filter, which keeps correlated estimates from counting as independent ones.

    Attributes:
        T_map_base: the pose.
        twist: (6,) velocity in m/s and turn rate in rad/s, along the camera's axes.
        own: (12, 12) covariance of the errors of pose and twist that are not shared.
        shared: (12, 6).
    """

    T_map_base: Pose
    twist: NDArray[np.float64]
    own: NDArray[np.float64]
    shared: NDArray[np.float64]

    @classmethod
    def from_estimate(cls, T_map_base: Pose, covariance: NDArray[np.float64]) -> TrackState:
        """Returns the state from one pose estimate with its covariance (6, 6); the twist is unknown."""
        own = np.diag(np.concatenate([np.zeros(6), UNKNOWN_TWIST**2]))
        own[:6, :6] = (1.0 - SHARED) * covariance
        shared = np.zeros((12, 6))
        shared[:6] = _shared_of(covariance)
        return cls(T_map_base, np.zeros(6), own, shared)

    @property
    def covariance(self) -> NDArray[np.float64]:
        """(6, 6) of the pose."""
        return self.own[:6, :6] + self.shared[:6] @ self.shared[:6].T

    @property
    def position_std_m(self) -> float:
        """Largest standard deviation of the position over all directions, metres."""
        return float(np.sqrt(np.linalg.eigvalsh(self.covariance[:3, :3])[-1]))

    def predict_odometry(self, motion: Pose, noise: NDArray[np.float64], seconds: float) -> TrackState:
        """Returns the state after a motion that odometry measured.

        Args:
            motion: the next pose in the last one.
            noise: (6,) standard deviations of the motion, metres and radians.
            seconds: its duration.
        """
        T = self.T_map_base @ motion
        lever = T[:3, 3] - self.T_map_base[:3, 3]
        own = np.diag(np.concatenate([np.zeros(6), (noise / seconds) ** 2]))
        own[:6, :6] = move_covariance(self.own[:6, :6], lever) + np.diag(noise**2)
        shared = np.zeros((12, 6))
        shared[:3] = self.shared[:3] - skew(lever[None])[0] @ self.shared[3:6]
        shared[3:6] = self.shared[3:6]
        return TrackState(T, twist_of(motion, seconds), own, shared)

    def predict(self, seconds: float, acceleration: float, turn_acceleration: float) -> TrackState:
        """Returns the state after some time without measurement: constant velocity with white noise.

        Args:
            seconds: the time.
            acceleration, turn_acceleration: standard deviation of the change of velocity (m/s) and angular
                velocity (rad/s) in one second; it grows with the root of time.
        """
        motion = motion_of(self.twist, seconds)
        T = self.T_map_base @ motion
        R = self.T_map_base[:3, :3]
        half_rotated = R @ matrix_of_vector(self.twist[3:] * seconds / 2)
        lever = T[:3, 3] - self.T_map_base[:3, 3]
        F = np.eye(12)
        F[:3, 3:6] = -skew(lever[None])[0]
        F[:3, 6:9] = half_rotated * seconds
        F[:3, 9:] = -skew(lever[None])[0] @ R * seconds / 2
        F[3:6, 9:] = half_rotated * seconds
        density = np.repeat([acceleration, turn_acceleration], 3) ** 2
        noise = np.zeros((12, 12))
        noise[:6, :6] = np.diag(density * seconds**3 / 3)
        noise[6:, 6:] = np.diag(density * seconds)
        for of, by in ((slice(0, 3), slice(6, 9)), (slice(3, 6), slice(9, 12))):
            noise[of, by] = R * density[of.start] * seconds**2 / 2
            noise[by, of] = noise[of, by].T
        return TrackState(T, self.twist, F @ self.own @ F.T + noise, F @ self.shared)

    def distance(self, T_map_base: Pose, covariance: NDArray[np.float64]) -> float:
        """Returns the Mahalanobis distance of a pose estimate, as if its error were independent."""
        away = difference(self.T_map_base, T_map_base)
        return float(np.sqrt(away @ np.linalg.solve(self.covariance + covariance, away)))

    def update(self, T_map_base: Pose, covariance: NDArray[np.float64]) -> TrackState:
        """Returns the state updated by a pose estimate: Schmidt's update with the gain of least variance."""
        common = _shared_of(covariance)
        apart = self.shared[:6] - common
        innovation = self.own[:6, :6] + (1.0 - SHARED) * covariance + apart @ apart.T
        cross = self.own[:, :6] + self.shared @ apart.T
        gain = np.linalg.solve(innovation, cross.T).T
        step = gain @ difference(self.T_map_base, T_map_base)
        keep = np.eye(12)
        keep[:, :6] -= gain
        own = keep @ self.own @ keep.T + (1.0 - SHARED) * gain @ covariance @ gain.T
        return TrackState(
            displaced(self.T_map_base, step[:6]),
            self.twist + step[6:],
            (own + own.T) / 2,
            self.shared - gain @ apart,
        )


def _shared_of(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the square root (6, 6) of the common part of the covariance of a pose estimate."""
    values, vectors = np.linalg.eigh(SHARED * covariance)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)) @ vectors.T)
