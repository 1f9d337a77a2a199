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

"""Poses from matches without depth: keyframes give rays, and two places the scale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from room import Room
from scipy.spatial.transform import Rotation
from seen import CAMERA, FAR_AWAY

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.geometry.lie import difference
from scene_geo_loc.geometry.pose import (
    Pose,
    inverse,
    make_pose,
    position_error_m,
    rotation_error_deg,
    transform,
)
from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.pnp import UNKNOWN_DEPTH_M, CameraMatches, refine_pnp
from scene_geo_loc.localization.solvers.base import PnpSolver
from scene_geo_loc.localization.solvers.robust_pnp import rerank_inliers, solve_pnp
from scene_geo_loc.localization.uncertainty.covariance import RESIDUALS_ONLY, pose_covariance
from scene_geo_loc.localization.verification.rejection import RejectionKind
from scene_geo_loc.mapping.builder import MapBuilder
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.mapping.settings import BuilderSettings
from scene_geo_loc.networks.architecture.checkpoint import save_checkpoint, untrained_network

LIMIT_PX = 4.0
FORWARD = make_pose(Rotation.from_euler("xyz", (-90, 3, 70), degrees=True).as_matrix(), FAR_AWAY)
"""A camera of a panorama that looks along the street; the next panorama is 18 m ahead."""
PANORAMAS = (FORWARD, FORWARD @ make_pose(np.eye(3), (0.0, 0.0, 18.0)))


def turned_by(angle_deg: float) -> Pose:
    return make_pose(Rotation.from_euler("y", angle_deg, degrees=True).as_matrix(), np.zeros(3))


def query_pose(across_m: float, along_m: float = 8.0) -> Pose:
    turn = Rotation.from_euler("xyz", (1, 12, -2), degrees=True).as_matrix()
    return FORWARD @ make_pose(turn, (across_m, 0.2, along_m))


def rays_seen(
    rng: np.random.Generator,
    T_map_camera: Pose,
    panoramas: tuple[Pose, ...] = PANORAMAS,
    count: int = 150,
    noise_px: float = 0.0,
    wrong: float = 0.0,
) -> CameraMatches:
    """Matches of a query with the rays of a view of each panorama, which looks along the street."""
    pixels, points, sigmas, keyframes = [], [], [], []
    for keyframe, T in enumerate(panoramas):
        seen = rng.uniform((10, 10), (310, 230), (count, 2))
        depth = rng.uniform(12, 50, count)
        X = transform(T_map_camera, CAMERA.back_project(seen, depth))
        directions = X - T[:3, 3]
        directions /= np.abs(transform(inverse(T), X)[:, 2:])
        seen = seen + rng.normal(0, 1, seen.shape) * noise_px
        bad = rng.random(count) < wrong
        seen[bad] = rng.uniform((0, 0), (320, 240), (int(bad.sum()), 2))
        pixels.append(seen)
        points.append(T[:3, 3] + directions)
        sigmas.append(UNKNOWN_DEPTH_M * directions)
        keyframes.append(np.full(count, keyframe))
    return CameraMatches(
        np.eye(4),
        CAMERA,
        np.concatenate(pixels),
        np.concatenate(points),
        np.concatenate(sigmas),
        np.concatenate(keyframes),
    )


def test_two_panoramas_give_the_exact_pose(solver: PnpSolver) -> None:
    T = query_pose(across_m=2.5)
    matches = rays_seen(np.random.default_rng(0), T)
    assert not matches.has_depth.any()
    found = solve_pnp([matches], LIMIT_PX, solver)
    assert found is not None
    found = refine_pnp(found, [matches], LIMIT_PX)
    np.testing.assert_allclose(found[:3, 3], T[:3, 3], atol=2e-4)
    assert rotation_error_deg(T, found) < 1e-3
    assert matches.errors(found).max() < 1e-2


def test_half_of_the_matches_may_be_wrong(solver: PnpSolver) -> None:
    for seed in range(3):
        T = query_pose(across_m=2.5)
        matches = rays_seen(np.random.default_rng(seed), T, noise_px=0.5, wrong=0.5)
        found = solve_pnp([matches], LIMIT_PX, solver)
        assert found is not None
        found = refine_pnp(found, [matches], LIMIT_PX)
        assert np.linalg.norm(found[:3, 3] - T[:3, 3]) < 0.3
        assert rotation_error_deg(T, found) < 0.3


def test_one_panorama_gives_no_pose(solver: PnpSolver) -> None:
    views = (FORWARD, FORWARD @ turned_by(20))
    matches = rays_seen(np.random.default_rng(1), query_pose(2.5), views)
    assert solve_pnp([matches], LIMIT_PX, solver) is None


def test_a_query_on_the_line_between_panoramas_is_uncertain_along_it() -> None:
    along = FORWARD[:3, 2]

    def stds(across_m: float) -> tuple[float, float]:
        T = query_pose(across_m)
        matches = rays_seen(np.random.default_rng(2), T, noise_px=0.5)
        covariance = pose_covariance(refine_pnp(T, [matches], LIMIT_PX), [matches], 40.0, RESIDUALS_ONLY)
        assert covariance is not None
        lateral = FORWARD[:3, 0]
        return tuple(float(axis @ covariance[:3, :3] @ axis) ** 0.5 for axis in (along, lateral))  # type: ignore[return-value]

    on_line, beside = stds(0.0), stds(2.5)
    assert on_line[0] > 5 * beside[0]
    assert beside[0] < 0.1
    assert max(on_line[1], beside[1]) < 0.1


def test_the_covariance_holds_the_errors() -> None:
    T, held = query_pose(2.5), 0
    for seed in range(40):
        matches = rays_seen(np.random.default_rng(seed), T, noise_px=0.7, wrong=0.1)
        found = refine_pnp(T, [matches], LIMIT_PX)
        near = matches.where(matches.errors(found) <= 2 * LIMIT_PX)
        covariance = pose_covariance(found, [near], 40.0, RESIDUALS_ONLY)
        assert covariance is not None
        error = difference(T, found)[:3]
        held += int(error @ np.linalg.solve(covariance[:3, :3], error) <= 7.81)
    assert held >= 34


def test_points_and_rays_give_one_pose(solver: PnpSolver) -> None:
    """A few points fix what rays to panoramas on a line leave open."""
    T, rng = query_pose(0.0), np.random.default_rng(3)
    rays = rays_seen(rng, T, noise_px=0.5)
    pixels = rng.uniform((0, 0), (320, 240), (30, 2))
    points = transform(T, CAMERA.back_project(pixels, rng.uniform(5, 30, 30)))
    mixed = CameraMatches(
        np.eye(4),
        CAMERA,
        np.concatenate([rays.pixels, pixels + rng.normal(0, 0.5, pixels.shape)]),
        np.concatenate([rays.points_map, points]),
        np.concatenate([rays.points_sigma, np.zeros((30, 3))]),
        np.concatenate([rays.keyframe, np.full(30, 7)]),
    )
    assert mixed.has_depth.sum() == 30
    found = solve_pnp([mixed], LIMIT_PX, solver)
    assert found is not None
    found = refine_pnp(found, [mixed], LIMIT_PX)
    assert np.linalg.norm(found[:3, 3] - T[:3, 3]) < 0.1


def test_a_rig_is_localized_without_depth(solver: PnpSolver) -> None:
    T, rng = query_pose(2.5), np.random.default_rng(4)
    beside = make_pose(Rotation.from_euler("y", 15, degrees=True).as_matrix(), (0.6, 0.0, 0.1))
    rig = []
    for T_base_camera in (np.eye(4), beside):
        matches = rays_seen(rng, T @ T_base_camera, noise_px=0.3, wrong=0.2)
        rig.append(CameraMatches(T_base_camera, *(getattr(matches, name) for name in FIELDS)))
    found = solve_pnp(rig, LIMIT_PX, solver)
    assert found is not None
    found = refine_pnp(found, rig, LIMIT_PX)
    assert np.linalg.norm(found[:3, 3] - T[:3, 3]) < 0.1


FIELDS = ("camera", "pixels", "points_map", "points_sigma", "keyframe")


def test_candidates_are_re_ranked_by_essential_matrices() -> None:
    T, rng = query_pose(2.5), np.random.default_rng(5)
    right = rays_seen(rng, T, PANORAMAS[:1], count=60, noise_px=0.5)
    wrong = rays_seen(rng, T, PANORAMAS[:1], count=60, wrong=1.0)
    assert rerank_inliers(right, 2 * LIMIT_PX) >= 55
    assert rerank_inliers(wrong, 2 * LIMIT_PX) < 30


@pytest.mark.slow
def test_a_map_without_depth_localizes_or_says_what_is_missing(room: Room, tmp_path: Path) -> None:
    settings = BuilderSettings(keyframe_distance_m=0, depth="none", matcher="sift")
    builder = MapBuilder(tmp_path / "map", settings, device="cpu")
    for frame in room.drive(8):
        builder.add_frame(frame)
    opened = ReferenceMap.open(builder.finish())
    assert opened.info.has_rays
    assert opened.info.format_version == 5
    assert np.isnan(opened.depth).all()
    localizer = Localizer(opened, device="cpu")
    assert not len(localizer.points_of(0))
    query = room.frame(-2.1, 0.4, 7.0)
    estimate = localizer.localize(query)
    assert estimate.status is Status.LOCALIZED
    assert position_error_m(query.T_map_camera, estimate.T_map_camera) < 0.3
    matches = estimate.matches
    seen = transform(inverse(query.T_map_camera), matches.points_map[matches.inlier])
    assert (seen[:, 2] > 0).all()
    # Keyframes at one place have no baseline: the direction is known and the distance is not.
    alone = localizer.localize_keyframe(0, [0])
    assert alone.kind in (RejectionKind.NO_SCALE, RejectionKind.UNDETERMINED)


def test_features_of_cells_need_depth(room: Room, tmp_path: Path) -> None:
    settings = BuilderSettings(depth="none")
    save_checkpoint(untrained_network(), tmp_path / "net.safetensors", {})
    builder = MapBuilder(tmp_path / "map", settings, device="cpu", network=tmp_path / "net.safetensors")
    with pytest.raises(MapError, match="cells need a depth"):
        builder.add_frame(room.frame(0.0, 0.0, 0.0))


@pytest.mark.parametrize("across_m", [0.0, 2.5])
def test_rays_near_the_pixel_are_in_front_of_both_cameras(across_m: float) -> None:
    T = query_pose(across_m)
    matches = rays_seen(np.random.default_rng(6), T, count=50)
    points = matches.points_at(T)
    assert (transform(inverse(T), points)[:, 2] > 0).all()
    assert np.isinf(matches.errors(T @ turned_by(180))).mean() > 0.5
