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

"""Both solvers of robust PnP: choice, short searches, degenerate matches; and the minimal solver of rigs."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from seen import CAMERA, FAR_AWAY, seen_points

from scene_geo_loc.geometry.pose import make_pose, transform
from scene_geo_loc.localization.pnp import CameraMatches
from scene_geo_loc.localization.solvers import robust_pnp
from scene_geo_loc.localization.solvers.base import PnpSolver
from scene_geo_loc.localization.solvers.generalized_p3p import generalized_p3p
from scene_geo_loc.localization.solvers.opencv_solver import OpenCvSolver
from scene_geo_loc.localization.solvers.robust_pnp import pnp_solver, rerank_inliers, solve_pnp

T_MAP_CAMERA = make_pose(Rotation.from_euler("zyx", (80, 5, -3), degrees=True).as_matrix(), FAR_AWAY)
BESIDE = make_pose(np.eye(3), (0.5, 0.0, 0.0))
CHOICE = (
    "from scene_geo_loc.localization.solvers.robust_pnp import pnp_solver; print(type(pnp_solver()).__name__)"
)


def test_poselib_is_chosen_where_it_is_installed() -> None:
    pytest.importorskip("poselib")
    assert "PoseLib" in pnp_solver().name


def test_opencv_is_chosen_without_poselib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "poselib", None)
    monkeypatch.delitem(sys.modules, "scene_geo_loc.localization.solvers.poselib_solver", raising=False)
    choose = robust_pnp.pnp_solver.__wrapped__
    assert isinstance(choose(), OpenCvSolver)
    assert "OpenCV" in choose().name


def test_the_localizer_needs_no_poselib() -> None:
    code = f"import sys; sys.modules['poselib'] = None; import scene_geo_loc.localization.localizer; {CHOICE}"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "OpenCvSolver", result.stderr


def test_a_short_search_counts_the_matches_that_agree(solver: PnpSolver) -> None:
    rng = np.random.default_rng(0)
    pixels, points = seen_points(rng, T_MAP_CAMERA, 100)
    pixels += rng.normal(0, 0.5, pixels.shape)
    assert rerank_inliers(CameraMatches(np.eye(4), CAMERA, pixels, points), 8.0, solver) >= 95
    pixels[:50] = rng.uniform((0, 0), (320, 240), (50, 2))
    assert 45 <= rerank_inliers(CameraMatches(np.eye(4), CAMERA, pixels, points), 8.0, solver) <= 60
    assert rerank_inliers(CameraMatches(np.eye(4), CAMERA, rng.permutation(pixels), points), 8.0, solver) < 30
    assert rerank_inliers(CameraMatches(np.eye(4), CAMERA, pixels[:3], points[:3]), 8.0, solver) == 0


def test_the_same_matches_give_the_same_pose(solver: PnpSolver) -> None:
    rng = np.random.default_rng(1)
    matches = []
    for T_base_camera in (np.eye(4), BESIDE):
        pixels, points = seen_points(rng, T_MAP_CAMERA @ T_base_camera, 60)
        pixels[:30] = rng.uniform((0, 0), (320, 240), (30, 2))
        matches.append(CameraMatches(T_base_camera, CAMERA, pixels, points))
    for query in (matches[:1], matches):
        once, again = (solve_pnp(query, 4.0, solver) for _ in range(2))
        np.testing.assert_allclose(once, again, atol=1e-9)


@pytest.mark.parametrize("cameras", [1, 2])
@pytest.mark.parametrize("case", ["one point", "one line", "one ray", "not finite"])
def test_degenerate_matches_give_no_pose_that_is_not_finite(
    solver: PnpSolver, case: str, cameras: int
) -> None:
    rng = np.random.default_rng(2)
    pixels, points = seen_points(rng, T_MAP_CAMERA, 20)
    if case == "one point":
        points[:] = points[0]
    elif case == "one line":
        points = points[0] + np.linspace(0, 1, 20)[:, None] * (points[1] - points[0])
    elif case == "one ray":
        pixels[:] = pixels[0]
        depth = np.linspace(4, 30, 20)
        points = transform(T_MAP_CAMERA, CAMERA.back_project(pixels, depth))
    else:
        points[3] = np.nan
    mounts = (np.eye(4), BESIDE)[:cameras]
    pose = solve_pnp([CameraMatches(mount, CAMERA, pixels, points) for mount in mounts], 4.0, solver)
    assert pose is None or np.isfinite(pose).all()


@pytest.mark.parametrize("baseline_m", [0.0, 0.01, 0.5, 5.0])
def test_three_rays_give_the_pose_that_they_were_made_at(baseline_m: float) -> None:
    """Rays of one camera (baseline 0) and of a rig of any size, in random poses."""
    rng = np.random.default_rng(3)
    count = 200
    rotations = Rotation.random(count, random_state=3).as_matrix()
    positions = rng.uniform(-20, 20, (count, 3))
    points = rng.uniform(-10, 10, (count, 3, 3))
    in_base = np.einsum("nji,nkj->nki", rotations, points - positions[:, None])
    centres = baseline_m * rng.normal(size=(count, 3, 3))
    rays = in_base - centres
    directions = rays / np.linalg.norm(rays, axis=2, keepdims=True)
    found = 0
    for i in range(count):
        poses = generalized_p3p(centres[i, None], directions[i, None], points[i, None])
        assert len(poses) <= 8
        error = abs(poses - make_pose(rotations[i], positions[i])).max(axis=(1, 2))
        found += error.min(initial=np.inf) < 1e-6
    assert found >= 0.99 * count


def test_three_points_on_a_line_or_in_one_place_give_no_pose() -> None:
    directions = np.array([[[0.0, 0.0, 1.0], [0.0, 0.6, 0.8], [0.6, 0.0, 0.8]]])
    line = np.array([[[0.0, 0.0, 5.0], [0.0, 1.0, 5.0], [0.0, 2.0, 5.0]]])
    for points in (line, np.zeros((1, 3, 3))):
        assert len(generalized_p3p(np.zeros((1, 3, 3)), directions, points)) == 0
