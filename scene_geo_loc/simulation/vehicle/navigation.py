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

"""Measurements of the navigation units of a simulated RobotCar: INS, GPS, RTK and visual odometry."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation

from scene_geo_loc.geometry.pose import inverse
from scene_geo_loc.simulation.vehicle.motion import Motion
from scene_geo_loc.traversals.robotcar.poses import T_MAP_NED

_NED_FROM_MAP = T_MAP_NED[:3, :3].T

INS_ERROR = ((0.9, 0.9, 1.6), (0.0012, 0.0012, 0.004), 20.0)
RTK_ERROR = ((0.008, 0.008, 0.012), (0.0003, 0.0003, 0.0005), 2.0)
"""Standard deviations in metres, of roll, pitch, yaw in radians; time constant of the errors in s."""

GPS_SIGMAS_M = (1.4, 1.4, 2.6)

_VO_SCALE_SIGMA, _VO_YAW_SIGMA = 0.005, 6e-5
_VO_STEP_SIGMA_M, _VO_STEP_SIGMA_RAD = 0.002, 1.5e-4


def wandering(
    seconds: NDArray, sigmas: tuple[float, ...], pace_s: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Returns smooth errors (N, len(sigmas)) at ascending times (N,), with time constant `pace_s`."""
    knots = np.arange(seconds[0] - pace_s, seconds[-1] + 2 * pace_s, pace_s)
    return np.asarray(CubicSpline(knots, rng.normal(0, sigmas, (len(knots), len(sigmas))))(seconds))


def inertial(
    motion: Motion,
    seconds: NDArray,
    T_base_ins: NDArray,
    error: tuple[tuple[float, ...], tuple[float, ...], float],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Returns rows (N, 9) of an inertial unit at times (N,).

    A row has north, east, down in metres, their velocities in m/s, and roll, pitch, yaw in radians.

    Args:
        T_base_ins: pose of the unit, whose axes are x forward, y right, z down.
        error: INS_ERROR or RTK_ERROR.
    """
    position_sigmas, angle_sigmas, pace_s = error
    T = motion.poses(seconds) @ T_base_ins
    position = T[:, :3, 3] @ _NED_FROM_MAP.T + wandering(seconds, position_sigmas, pace_s, rng)
    angles = Rotation.from_matrix(_NED_FROM_MAP @ T[:, :3, :3]).as_euler("ZYX")[:, ::-1]
    angles = angles + wandering(seconds, angle_sigmas, pace_s, rng)
    velocity = np.gradient(position, seconds, axis=0)
    return np.concatenate([position, velocity, angles], 1)


def fixes(
    motion: Motion, seconds: NDArray, T_base_ins: NDArray, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Returns GPS positions at times (N,): north, east, down (N, 3) in metres."""
    true = (motion.poses(seconds) @ T_base_ins)[:, :3, 3] @ _NED_FROM_MAP.T
    return np.asarray(true + wandering(seconds, GPS_SIGMAS_M, 30.0, rng) + rng.normal(0, 0.3, true.shape))


def visual_odometry(
    motion: Motion, seconds: NDArray, T_base_vehicle: NDArray, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Returns the vehicle's pose at each time but the first, relative to its pose at the time before.

    Rows (N - 1, 6) are x, y, z in metres and roll, pitch, yaw in radians.  The error accumulates to about
    1 % and one or two degrees in 200 m; a stopped vehicle has none.
    """
    T = motion.poses(seconds) @ T_base_vehicle
    steps = inverse(T[:-1]) @ T[1:]
    way = np.linalg.norm(steps[:, :3, 3], axis=1)
    scale, bend = 1 + rng.normal(0, _VO_SCALE_SIGMA), rng.normal(0, _VO_YAW_SIGMA)
    moving = np.minimum(way / 0.3, 1.0)[:, None]
    shift = steps[:, :3, 3] * scale + moving * rng.normal(0, _VO_STEP_SIGMA_M, (len(way), 3))
    turn = moving * rng.normal(0, _VO_STEP_SIGMA_RAD, (len(way), 3))
    turn[:, 2] += bend * way
    angles = (Rotation.from_matrix(steps[:, :3, :3]) * Rotation.from_rotvec(turn)).as_euler("ZYX")[:, ::-1]
    return np.concatenate([shift, angles], 1)
