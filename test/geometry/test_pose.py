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

"""Rigid transforms: known results and round trips."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from scene_geo_loc.geometry.pose import (
    OPTICAL_FROM_BODY,
    from_quaternion,
    interpolate,
    inverse,
    make_pose,
    position_error_m,
    rotation_angle_deg,
    rotation_error_deg,
    to_quaternion,
    transform,
)

coordinates = st.floats(-1e6, 1e6)
translations = st.tuples(coordinates, coordinates, coordinates)
quaternions = arrays(float, 4, elements=st.floats(-1, 1)).filter(lambda q: np.linalg.norm(q) > 1e-2)


def quarter_turn_about_z() -> np.ndarray:
    return np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


def test_a_point_ahead_of_the_vehicle_lies_along_the_optical_axis() -> None:
    np.testing.assert_array_equal(OPTICAL_FROM_BODY @ (1, 0, 0), (0, 0, 1))
    np.testing.assert_array_equal(OPTICAL_FROM_BODY @ (0, 1, 0), (-1, 0, 0))
    np.testing.assert_array_equal(OPTICAL_FROM_BODY @ (0, 0, 1), (0, -1, 0))


def test_transform_takes_points_of_b_to_a() -> None:
    T_a_b = make_pose(quarter_turn_about_z(), (10, 0, 0))
    np.testing.assert_allclose(transform(T_a_b, np.array([[1.0, 0, 0]])), [[10, 1, 0]])


def test_a_quaternion_of_half_a_turn_about_x() -> None:
    T = from_quaternion((0, 0, 0), (2, 0, 0, 0))
    np.testing.assert_allclose(T[:3, :3], np.diag([1, -1, -1]), atol=1e-12)


@given(translations, quaternions)
def test_a_pose_times_its_inverse_is_the_identity(t: tuple, q: np.ndarray) -> None:
    T = from_quaternion(t, q)
    np.testing.assert_allclose(T @ inverse(T), np.eye(4), atol=1e-6)


@given(translations, quaternions)
def test_quaternions_round_trip(t: tuple, q: np.ndarray) -> None:
    T = from_quaternion(t, q)
    np.testing.assert_allclose(from_quaternion(t, to_quaternion(T)), T, atol=1e-12)
    assert to_quaternion(T)[3] >= 0


@pytest.mark.parametrize("q", [(0, 0, 0, 0), (np.nan, 0, 0, 1), (np.inf, 0, 0, 1)])
def test_numbers_that_are_no_rotation_are_refused(q: tuple) -> None:
    with pytest.raises(ValueError, match="finite"):
        from_quaternion((0, 0, 0), q)


def test_interpolation_is_halfway_in_position_and_in_angle() -> None:
    T = interpolate(np.eye(4), make_pose(quarter_turn_about_z(), (2, 4, 6)), 0.5)
    np.testing.assert_allclose(T[:3, 3], (1, 2, 3))
    assert rotation_angle_deg(T) == pytest.approx(45)


def test_errors_between_stacks_of_poses() -> None:
    true = np.stack([np.eye(4), np.eye(4)])
    estimated = np.stack([np.eye(4), make_pose(quarter_turn_about_z(), (3, 4, 0))])
    np.testing.assert_allclose(position_error_m(true, estimated), (0, 5))
    np.testing.assert_allclose(rotation_error_deg(true, estimated), (0, 90))
