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

"""Conversions of rotations, compared with SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from scene_geo_loc.geometry.rotation import (
    angle_of_matrix,
    matrix_of_quaternion,
    matrix_of_vector,
    quaternion_of_matrix,
    slerp,
    vector_of_matrix,
)

ANGLES = [0.0, 1e-12, 1e-7, 0.9e-4, 1.1e-4, 0.01, 1.0, 2.0, 3.0, np.pi - 1e-6, np.pi - 1e-12]


def vectors() -> np.ndarray:
    """Rotation vectors (N, 3) of all those angles around many axes, also those of the coordinates."""
    axes = np.concatenate([np.eye(3), -np.eye(3), np.random.default_rng(0).normal(size=(50, 3))])
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    return (np.array(ANGLES)[:, None, None] * axes).reshape(-1, 3)


def test_matrices_of_vectors_and_back() -> None:
    expected = Rotation.from_rotvec(vectors())
    matrices = matrix_of_vector(vectors())
    np.testing.assert_allclose(matrices, expected.as_matrix(), atol=1e-14)
    np.testing.assert_allclose(angle_of_matrix(matrices), expected.magnitude(), atol=1e-13)
    back = vector_of_matrix(matrices)
    np.testing.assert_allclose(matrix_of_vector(back), matrices, atol=1e-14)
    below = expected.magnitude() < np.pi - 1e-9  # at a half turn both directions are right
    np.testing.assert_allclose(back[below], vectors()[below], atol=1e-9)


def test_small_angles_keep_their_digits() -> None:
    tiny = np.array([1e-9, -2e-9, 3e-9])
    np.testing.assert_allclose(vector_of_matrix(matrix_of_vector(tiny)), tiny, rtol=1e-6)


def test_quaternions_of_matrices_and_back() -> None:
    expected = Rotation.from_rotvec(vectors())
    quaternions = quaternion_of_matrix(expected.as_matrix())
    assert (quaternions[:, 3] >= 0).all()
    aligned = np.abs((quaternions * expected.as_quat()).sum(axis=1))
    np.testing.assert_allclose(aligned, 1, atol=1e-14)
    np.testing.assert_allclose(matrix_of_quaternion(3 * quaternions), expected.as_matrix(), atol=1e-14)


def test_one_rotation_has_no_further_axis() -> None:
    assert matrix_of_vector([0.1, 0.2, 0.3]).shape == (3, 3)
    assert vector_of_matrix(np.eye(3)).tolist() == [0, 0, 0]
    assert quaternion_of_matrix(np.eye(3)).tolist() == [0, 0, 0, 1]
    assert angle_of_matrix(np.diag([1.0, -1.0, -1.0])) == pytest.approx(np.pi)


@pytest.mark.parametrize("fraction", [0.0, 0.3, 1.0])
def test_interpolation_is_that_of_scipy(fraction: float) -> None:
    ends = Rotation.random(2, random_state=1)
    expected = Slerp([0.0, 1.0], ends)(fraction).as_matrix()
    first, last = ends.as_matrix()
    np.testing.assert_allclose(slerp(first, last, fraction), expected, atol=1e-14)
