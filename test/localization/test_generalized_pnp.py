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

"""A rig's pose from the matches of all its cameras: known geometry, and cases beyond a single camera."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from seen import CAMERA, FAR_AWAY, seen_points

from scene_geo_loc.geometry.pose import (
    Pose,
    inverse,
    make_pose,
    position_error_m,
    rotation_error_deg,
    transform,
)
from scene_geo_loc.localization.pnp import CameraMatches, refine_pnp
from scene_geo_loc.localization.solvers.base import PnpSolver
from scene_geo_loc.localization.solvers.robust_pnp import solve_pnp
from scene_geo_loc.localization.uncertainty.covariance import (
    BEST_MAP_STD,
    EXCESS,
    covariance_of,
    move_covariance,
    normal_equations,
    pose_covariance,
)

T_MAP_BASE = make_pose(Rotation.from_euler("zyx", (80, 5, -3), degrees=True).as_matrix(), FAR_AWAY)
AHEAD = make_pose(np.eye(3), (0.0, -0.2, 1.5))
LEFT = make_pose(Rotation.from_euler("y", -90, degrees=True).as_matrix(), (-0.6, 0.0, -0.4))
REAR = make_pose(Rotation.from_euler("y", 180, degrees=True).as_matrix(), (0.0, 0.0, -1.0))


def seen(rng: np.random.Generator, T_base_camera: Pose, count: int, noise_px: float = 0.0) -> CameraMatches:
    """Returns matches of a camera of the rig with points in front of it."""
    pixels, points = seen_points(rng, T_MAP_BASE @ T_base_camera, count)
    return CameraMatches(T_base_camera, CAMERA, pixels + rng.normal(0, noise_px, (count, 2)), points)


def test_two_cameras_with_two_points_each_fix_the_pose_that_neither_fixes_alone(solver: PnpSolver) -> None:
    rng = np.random.default_rng(3)
    both = [seen(rng, AHEAD, 2), seen(rng, LEFT, 2)]
    assert all(solve_pnp([one], 4.0, solver) is None for one in both)
    found = solve_pnp(both, 4.0, solver)
    assert found is not None
    assert position_error_m(T_MAP_BASE, found) < 1e-3
    assert rotation_error_deg(T_MAP_BASE, found) < 1e-2


@settings(deadline=None, max_examples=15)
@given(
    seed=st.integers(0, 10_000), ahead=st.integers(4, 40), left=st.integers(0, 40), rear=st.integers(0, 40)
)
def test_exact_matches_give_the_exact_pose_however_they_are_shared_out(
    solver: PnpSolver, seed: int, ahead: int, left: int, rear: int
) -> None:
    rng = np.random.default_rng(seed)
    matches = [seen(rng, AHEAD, ahead), seen(rng, LEFT, left), seen(rng, REAR, rear)]
    found = solve_pnp(matches, 4.0, solver)
    assert found is not None
    refined = refine_pnp(found, matches, 4.0)
    assert position_error_m(T_MAP_BASE, refined) < 1e-3
    assert rotation_error_deg(T_MAP_BASE, refined) < 1e-2


def test_six_of_ten_matches_may_be_wrong_and_one_camera_may_be_wrong_altogether(solver: PnpSolver) -> None:
    rng = np.random.default_rng(1)
    matches = [seen(rng, mount, 100, 0.5) for mount in (AHEAD, LEFT, REAR)]
    for one, wrong in zip(matches, (40, 40, 100), strict=True):
        one.pixels[:wrong] = rng.uniform((0, 0), (320, 240), (wrong, 2))
    found = solve_pnp(matches, 4.0, solver)
    assert found is not None
    refined = refine_pnp(found, matches, 4.0)
    assert position_error_m(T_MAP_BASE, refined) < 0.05
    assert (matches[0].errors(refined)[40:] <= 4.0).all()


def test_a_rig_of_one_camera_has_that_camera_s_pose_and_covariance(solver: PnpSolver) -> None:
    one = seen(np.random.default_rng(2), AHEAD, 80, 0.7)
    alone, rig = (
        solve_pnp([replace(one, T_base_camera=np.eye(4))], 4.0, solver),
        solve_pnp([one], 4.0, solver),
    )
    assert alone is not None
    assert rig is not None
    np.testing.assert_allclose(rig @ AHEAD, alone, atol=1e-6)
    covariance = covariance_of(normal_equations(rig @ AHEAD, one.pixels, one.points_map, CAMERA))
    assert covariance is not None
    lever = rig[:3, 3] - (rig @ AHEAD)[:3, 3]
    of_base, floor, excess = pose_covariance(rig, [one]), np.diag(BEST_MAP_STD**2), np.outer(EXCESS, EXCESS)
    assert of_base is not None
    expected = move_covariance((covariance - floor) / excess, lever)
    np.testing.assert_allclose((of_base - floor) / excess, expected, rtol=1e-6, atol=1e-12)


def test_a_second_camera_makes_the_pose_surer() -> None:
    rng = np.random.default_rng(4)
    ahead, left = seen(rng, AHEAD, 60, 0.7), seen(rng, LEFT, 60, 0.7)
    one, both = pose_covariance(T_MAP_BASE, [ahead]), pose_covariance(T_MAP_BASE, [ahead, left])
    assert one is not None
    assert both is not None
    assert np.trace(both[:3, :3]) < 0.6 * np.trace(one[:3, :3])
    assert np.linalg.eigvalsh(both).min() > 0


def test_but_for_the_excess_the_covariance_tells_how_far_poses_scatter() -> None:
    """Scatter over many draws of independent noise, with one match in each block, so that each counts."""
    rng = np.random.default_rng(5)
    grid = np.stack(np.meshgrid(np.arange(20, 320, 40), np.arange(20, 240, 40)), -1).reshape(-1, 2)
    exact = [(mount, *seen_points(rng, T_MAP_BASE @ mount, grid)) for mount in (AHEAD, LEFT)]
    found, stated = [], []
    for _ in range(60):
        matches = [
            CameraMatches(mount, CAMERA, pixels + rng.normal(0, 0.8, pixels.shape), points)
            for mount, pixels, points in exact
        ]
        pose = refine_pnp(T_MAP_BASE, matches, 4.0)
        found.append(pose[:3, 3] - FAR_AWAY)
        covariance = pose_covariance(pose, matches)
        assert covariance is not None
        stated.append(np.diag(covariance)[:3] - BEST_MAP_STD[:3] ** 2)
    scatter, expected = np.std(found, axis=0), np.sqrt(np.mean(stated, axis=0)) / EXCESS[:3]
    np.testing.assert_allclose(scatter, expected, rtol=0.4)


def test_points_on_one_line_through_all_cameras_fix_no_pose() -> None:
    """All points on the axis that both cameras share: turning about it changes nothing."""
    depth = np.linspace(4, 30, 8)
    pixels = np.tile((CAMERA.cx, CAMERA.cy), (8, 1))
    mount, opposite = make_pose(np.eye(3), (0, 0, 0.5)), REAR
    matches = [
        CameraMatches(one, CAMERA, pixels, transform(T_MAP_BASE @ one, CAMERA.back_project(pixels, depth)))
        for one in (mount, opposite)
    ]
    assert pose_covariance(T_MAP_BASE, matches) is None


def test_too_few_matches_and_none_at_all_give_no_pose(solver: PnpSolver) -> None:
    rng = np.random.default_rng(6)
    assert solve_pnp([], 4.0, solver) is None
    assert solve_pnp([seen(rng, AHEAD, 0), seen(rng, LEFT, 0)], 4.0, solver) is None
    assert solve_pnp([seen(rng, AHEAD, 2), seen(rng, LEFT, 1)], 4.0, solver) is None


def test_errors_are_those_of_each_camera_s_own_image() -> None:
    one = seen(np.random.default_rng(7), LEFT, 20)
    np.testing.assert_allclose(one.errors(T_MAP_BASE), 0.0, atol=1e-6)
    behind = T_MAP_BASE @ LEFT @ make_pose(np.diag([1.0, -1.0, -1.0]), (0, 0, 0)) @ inverse(LEFT)
    assert np.isinf(one.errors(behind)).all()
