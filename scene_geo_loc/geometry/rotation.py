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

"""Conversions of rotations: matrices (..., 3, 3), quaternions (..., 4) and rotation vectors (..., 3).

Quaternions are (x, y, z, w).  A rotation vector is the axis times the angle in radians.  SciPy offers the
same, but its import takes longer than that of all else that a node needs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

F64 = NDArray[np.float64]

_SMALL = 1e-4
"""Angle in radians below which the first two terms of a series are exact to double precision."""


def matrix_of_quaternion(quaternion: ArrayLike) -> F64:
    """Returns the matrices of quaternions of any norm but 0."""
    q = np.asarray(quaternion, np.float64)
    x, y, z, w = np.moveaxis(q / np.linalg.norm(q, axis=-1, keepdims=True), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def quaternion_of_matrix(matrix: ArrayLike) -> F64:
    """Returns the quaternions, with w >= 0, of rotation matrices.

    Of the four formulas the one is used that divides by the largest component (Shepperd, 1978).
    """
    R = np.asarray(matrix, np.float64)
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = (np.moveaxis(R[..., i, :], -1, 0) for i in range(3))
    # 4 q q^T: each row is the quaternion times four times one of its components.
    rows = [
        [1 + xx - yy - zz, xy + yx, xz + zx, zy - yz],
        [xy + yx, 1 - xx + yy - zz, yz + zy, xz - zx],
        [xz + zx, yz + zy, 1 - xx - yy + zz, yx - xy],
        [zy - yz, xz - zx, yx - xy, 1 + xx + yy + zz],
    ]
    products = np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
    largest = np.diagonal(products, axis1=-2, axis2=-1).argmax(axis=-1)
    q = np.take_along_axis(products, largest[..., None, None], axis=-2)[..., 0, :]
    return q * (np.where(q[..., 3:] < 0, -1, 1) / np.linalg.norm(q, axis=-1, keepdims=True))


def matrix_of_vector(vector: ArrayLike) -> F64:
    """Returns the matrices of rotation vectors: the exponential map."""
    r = np.asarray(vector, np.float64)
    angle = np.linalg.norm(r, axis=-1, keepdims=True)
    safe = np.where(angle < _SMALL, 1, angle)
    per_angle = np.where(angle < _SMALL, 0.5 - angle**2 / 48, np.sin(safe / 2) / safe)
    return matrix_of_quaternion(np.concatenate([r * per_angle, np.cos(angle / 2)], axis=-1))


def vector_of_matrix(matrix: ArrayLike) -> F64:
    """Returns the rotation vectors, of an angle up to pi, of rotation matrices: the logarithm."""
    q = quaternion_of_matrix(matrix)
    half_sine = np.linalg.norm(q[..., :3], axis=-1, keepdims=True)
    safe = np.where(half_sine < _SMALL, 1, half_sine)
    angle = 2 * np.arctan2(half_sine, q[..., 3:])
    return q[..., :3] * np.where(half_sine < _SMALL, 2 + half_sine**2 / 3, angle / safe)


def angle_of_matrix(matrix: ArrayLike) -> F64:
    """Returns the angles (...,) in radians within [0, pi] of rotation matrices."""
    q = quaternion_of_matrix(matrix)
    return np.asarray(2 * np.arctan2(np.linalg.norm(q[..., :3], axis=-1), q[..., 3]))


def slerp(first: F64, last: F64, fraction: ArrayLike) -> F64:
    """Returns matrices (..., 3, 3) at a fraction (...,) of the way between matrices, at constant speed."""
    turn = vector_of_matrix(np.swapaxes(first, -1, -2) @ last)
    return first @ matrix_of_vector(np.asarray(fraction)[..., None] * turn)
