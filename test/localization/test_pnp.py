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

"""Pose from matches: exact for exact matches, robust against wrong ones."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from seen import CAMERA, FAR_AWAY, seen_points

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import (
    Pose,
    make_pose,
    position_error_m,
    rotation_error_deg,
    transform,
)
from scene_geo_loc.localization.pnp import (
    CameraMatches,
    ideal_pixels,
    refine_pnp,
    reprojection_errors,
)
from scene_geo_loc.localization.solvers.base import PnpSolver
from scene_geo_loc.localization.solvers.robust_pnp import solve_pnp


def pose() -> Pose:
    return make_pose(cv2.Rodrigues(np.array([0.2, -0.5, 0.1]))[0], FAR_AWAY)


def solved(pixels: np.ndarray, points: np.ndarray, solver: PnpSolver) -> Pose | None:
    return solve_pnp([CameraMatches(np.eye(4), CAMERA, pixels, points)], 4.0, solver)


def test_exact_matches_give_the_exact_pose_even_far_from_the_origin(solver: PnpSolver) -> None:
    pixels, points = seen_points(np.random.default_rng(0), pose(), 60)
    solution = solved(pixels, points, solver)
    assert solution is not None
    assert position_error_m(pose(), solution) < 1e-5
    assert rotation_error_deg(pose(), solution) < 1e-4
    assert (reprojection_errors(solution, pixels, points, CAMERA) <= 4.0).all()


def test_seven_of_ten_matches_may_be_wrong(solver: PnpSolver) -> None:
    rng = np.random.default_rng(1)
    pixels, points = seen_points(rng, pose(), 300)
    pixels[:210] = rng.uniform((0, 0), (320, 240), (210, 2))
    pixels[210:] += rng.normal(0, 0.5, (90, 2))
    solution = solved(pixels, points, solver)
    assert solution is not None
    assert position_error_m(pose(), solution) < 0.1
    inlier = reprojection_errors(solution, pixels, points, CAMERA) <= 4.0
    assert inlier[210:].all()
    assert inlier[:210].mean() < 0.05


@pytest.mark.parametrize("count", [0, 3])
def test_fewer_than_four_matches_give_nothing(solver: PnpSolver, count: int) -> None:
    pixels, points = seen_points(np.random.default_rng(2), pose(), count)
    assert solved(pixels, points, solver) is None


def test_refining_brings_a_rough_pose_to_the_least_squares_one() -> None:
    rng = np.random.default_rng(3)
    pixels, points = seen_points(rng, pose(), 200)
    rough = pose() @ make_pose(cv2.Rodrigues(np.array([0.01, 0, 0]))[0], (0.1, -0.1, 0.1))
    refined = refine_pnp(rough, [CameraMatches(np.eye(4), CAMERA, pixels, points)], 4.0)
    assert position_error_m(pose(), refined) < 1e-4


def test_points_behind_the_camera_are_never_inliers() -> None:
    behind = transform(pose(), np.array([[0.0, 0, -5]]))
    assert np.isinf(reprojection_errors(pose(), np.array([[158.0, 121.0]]), behind, CAMERA)).all()


def test_ideal_pixels_undo_the_lens() -> None:
    lens = Camera(320, 240, 250.0, 260.0, 158.0, 121.0, "plumb_bob", (-0.3, 0.1, 0.0, 0.0))
    point = np.array([[1.0, -0.7, 3.0]])
    np.testing.assert_allclose(ideal_pixels(lens, lens.project(point)), CAMERA.project(point), atol=1e-4)
