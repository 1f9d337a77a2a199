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

"""Small motions of a pose: differences and twists in coordinates of the Lie group of rigid transforms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.pose import Pose, make_pose
from scene_geo_loc.geometry.rotation import matrix_of_vector, vector_of_matrix


def skew(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Matrices (N, 3, 3) whose product with a vector is the cross product of `vectors` (N, 3) with it."""
    out = np.zeros((len(vectors), 3, 3))
    out[:, 0, 1], out[:, 0, 2] = -vectors[:, 2], vectors[:, 1]
    out[:, 1, 0], out[:, 1, 2] = vectors[:, 2], -vectors[:, 0]
    out[:, 2, 0], out[:, 2, 1] = -vectors[:, 1], vectors[:, 0]
    return out


def difference(T_0: Pose, T_1: Pose) -> NDArray[np.float64]:
    """Difference between two poses, or two stacks of poses (N, 4, 4): (..., 6) metres and radians.

    A translation and a rotation vector, both along the axes that the poses are given in: the order and
    axes of the covariance in geometry_msgs/PoseWithCovariance.
    """
    rotation = T_1[..., :3, :3] @ np.swapaxes(T_0[..., :3, :3], -1, -2)
    return np.concatenate([T_1[..., :3, 3] - T_0[..., :3, 3], vector_of_matrix(rotation)], axis=-1)


def displaced(T: Pose, step: NDArray[np.float64]) -> Pose:
    """The pose that differs by `step` (6,) from another; the inverse of `difference`."""
    return make_pose(matrix_of_vector(step[3:]) @ T[:3, :3], T[:3, 3] + step[:3])


def motion_of(twist: NDArray[np.float64], seconds: float) -> Pose:
    """Motion of a constant twist (6,), m/s and rad/s, over some time.

    The translation points along the chord of the arc, halfway between the directions at its ends.  Its length
    is that of the arc, which for an angle a is longer than the exponential map's by a fraction of a^2 / 24.
    """
    turn = twist[3:] * seconds
    half = matrix_of_vector(turn / 2)
    return make_pose(half @ half, half @ twist[:3] * seconds)


def twist_of(motion: Pose, seconds: float) -> NDArray[np.float64]:
    """Constant twist (6,), m/s and rad/s, of a motion over some time; the inverse of `motion_of`."""
    turn = vector_of_matrix(motion[:3, :3])
    back = matrix_of_vector(-turn / 2)
    return np.concatenate([back @ motion[:3, 3], turn]) / seconds
