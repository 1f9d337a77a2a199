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

"""Rigid transforms, SE(3), as 4x4 float64 matrices.

`T_a_b` is the pose of frame b in frame a: it transforms points of b to a, and transforms compose as
`T_a_c = T_a_b @ T_b_c`.  Quaternions are (x, y, z, w), as in ROS messages.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scene_geo_loc.geometry.rotation import (
    angle_of_matrix,
    matrix_of_quaternion,
    quaternion_of_matrix,
    slerp,
)

Pose = NDArray[np.float64]
"""A 4x4 rigid transform."""

OPTICAL_FROM_BODY = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
"""Rotates body axes (x forward, y left, z up) to optical axes (x right, y down, z forward), REP-103."""


def make_pose(rotation: ArrayLike, translation: ArrayLike) -> Pose:
    """Makes a pose from a 3x3 rotation matrix and a translation (3,) in metres."""
    T = np.eye(4)
    T[:3, :3] = rotation
    T[:3, 3] = translation
    return T


def from_quaternion(translation: ArrayLike, quaternion_xyzw: ArrayLike) -> Pose:
    """Makes a pose from a translation (3,) in metres and a quaternion (4,) of any positive norm.

    Raises ValueError where the numbers are not finite or the quaternion is zero.
    """
    q = np.asarray(quaternion_xyzw, dtype=np.float64)
    t = np.asarray(translation, dtype=np.float64)
    if not (np.isfinite(q).all() and np.isfinite(t).all()) or np.linalg.norm(q) < 1e-6:
        raise ValueError("a pose must be finite and its quaternion must not be zero")
    return make_pose(matrix_of_quaternion(q), t)


def from_xyzrpy(xyzrpy: NDArray[np.float64]) -> Pose:
    """Makes a pose from x, y, z, roll, pitch and yaw (6,), or poses (N, 4, 4) from rows (N, 6).

    Metres and radians; R = Rz(yaw) Ry(pitch) Rx(roll).
    """
    xyzrpy = np.asarray(xyzrpy, np.float64)
    T = np.zeros((*xyzrpy.shape[:-1], 4, 4))
    (sr, sp, sy), (cr, cp, cy) = (np.moveaxis(f(xyzrpy[..., 3:]), -1, 0) for f in (np.sin, np.cos))
    T[..., 0, :3] = np.stack([cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr], axis=-1)
    T[..., 1, :3] = np.stack([sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr], axis=-1)
    T[..., 2, :3] = np.stack([-sp, cp * sr, cp * cr], axis=-1)
    T[..., :3, 3] = xyzrpy[..., :3]
    T[..., 3, 3] = 1.0
    return T


def to_quaternion(T: Pose) -> NDArray[np.float64]:
    """Returns the rotation of a pose, or of poses (N, 4, 4), as quaternions (x, y, z, w) with w >= 0."""
    return quaternion_of_matrix(T[..., :3, :3])


def inverse(T: Pose) -> Pose:
    """Inverts a rigid transform, or transforms (N, 4, 4)."""
    R_t = np.swapaxes(T[..., :3, :3], -1, -2)
    out = np.zeros_like(T)
    out[..., :3, :3] = R_t
    out[..., :3, 3] = -np.einsum("...ij,...j->...i", R_t, T[..., :3, 3])
    out[..., 3, 3] = 1.0
    return out


def transform(T: Pose, points: NDArray) -> NDArray:
    """Transforms points (..., 3) from frame b to frame a by `T_a_b`; keeps their floating type."""
    return points @ T[:3, :3].T.astype(points.dtype) + T[:3, 3].astype(points.dtype)


def rotation_angle_deg(T: Pose) -> NDArray[np.float64]:
    """Angle of the rotation of a pose, or of poses (N, 4, 4), in degrees within [0, 180]."""
    return np.degrees(angle_of_matrix(T[..., :3, :3]))


def position_error_m(T_true: Pose, T_estimated: Pose) -> NDArray[np.float64]:
    """Distance between the origins of two poses, or of two stacks of poses, in metres."""
    return np.linalg.norm(T_true[..., :3, 3] - T_estimated[..., :3, 3], axis=-1)


def rotation_error_deg(T_true: Pose, T_estimated: Pose) -> NDArray[np.float64]:
    """Angle between the orientations of two poses, or of two stacks of poses, in degrees."""
    return rotation_angle_deg(inverse(T_true) @ T_estimated)


def interpolate(T_0: Pose, T_1: Pose, fraction: float) -> Pose:
    """The pose at `fraction` of the way from `T_0` to `T_1`: linear in position, slerp in rotation."""
    t = (1.0 - fraction) * T_0[:3, 3] + fraction * T_1[:3, 3]
    return make_pose(slerp(T_0[:3, :3], T_1[:3, :3], fraction), t)
