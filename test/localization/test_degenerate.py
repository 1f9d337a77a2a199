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

"""Input that does not determine a pose: it is not localized, and gets no small covariance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from room import Room

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import make_pose, position_error_m, transform
from scene_geo_loc.localization.estimate import Candidate, Matches, PoseEstimate, Status
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.pnp import CameraMatches, refine_pnp, spread
from scene_geo_loc.localization.query import QueryMatches
from scene_geo_loc.localization.verification.rejection import RejectionKind
from scene_geo_loc.mapping.builder import BuilderSettings, MapBuilder
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.traversals.frame import Frame

pytestmark = pytest.mark.slow

T_MAP_CAMERA = make_pose(np.eye(3), np.array([1.0, 2.0, 3.0]))


@pytest.fixture(scope="module")
def localizer(room_map: Path) -> Localizer:
    return Localizer(ReferenceMap.open(room_map), device="cpu")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def judge(localizer: Localizer, pixels: np.ndarray, depth: np.ndarray | None = None) -> PoseEstimate:
    """Returns the estimate from matches at these pixels, with points at a depth or at random."""
    camera = Camera(320, 240, 240.0, 240.0, 159.5, 119.5)
    rng = np.random.default_rng(1)
    points = rng.uniform(-5, 5, (len(pixels), 3))
    if depth is not None:
        points = transform(T_MAP_CAMERA, camera.back_project(pixels, depth))
        pixels = pixels + rng.normal(0, 0.3, pixels.shape)
    matches = Matches(
        pixels, np.zeros(len(pixels), np.int64), pixels, points, 0 * points, np.zeros(len(pixels), bool)
    )
    queries = [QueryMatches(np.eye(4), camera, [Candidate(0, 0.9)], matches, blocks=48)]
    return localizer.verifier.verify(localizer.solve(queries), queries)


def refused(estimate: PoseEstimate, *kinds: RejectionKind) -> bool:
    return estimate.status is Status.RETRIEVED_ONLY and estimate.covariance is None and estimate.kind in kinds


def test_matches_all_over_the_image_are_believed(localizer: Localizer, rng: np.random.Generator) -> None:
    pixels = rng.uniform((0, 0), (320, 240), (200, 2))
    estimate = judge(localizer, pixels, rng.uniform(3, 20, 200))
    assert estimate.status is Status.LOCALIZED
    assert position_error_m(T_MAP_CAMERA, estimate.T_map_camera) < 0.05


def test_no_matches(localizer: Localizer) -> None:
    assert refused(judge(localizer, np.zeros((0, 2)), np.zeros(0)), RejectionKind.NO_DEPTH)


def test_matches_of_which_none_agree(localizer: Localizer, rng: np.random.Generator) -> None:
    assert refused(judge(localizer, rng.uniform((0, 0), (320, 240), (200, 2))), RejectionKind.INLIER_RATIO)


def test_points_on_a_plane_through_the_camera_lie_on_one_line_of_the_image(
    localizer: Localizer, rng: np.random.Generator
) -> None:
    along = rng.uniform(0, 320, 200)
    pixels = np.stack([along, 40 + 0.5 * along], axis=1)
    assert refused(judge(localizer, pixels, rng.uniform(3, 20, 200)), RejectionKind.INLIER_SPREAD)


def test_points_on_one_line(localizer: Localizer, rng: np.random.Generator) -> None:
    along = np.linspace(0.1, 0.9, 200)
    depth = 1 / (0.3 - 0.25 * along)  # of a straight line in space, by its pixels
    pixels = np.stack([320 * along, 200 - 150 * along], axis=1)
    kinds = RejectionKind.NO_POSE, RejectionKind.INLIER_SPREAD, RejectionKind.UNDETERMINED
    assert refused(judge(localizer, pixels, depth), *kinds)


def test_points_in_a_small_spot(localizer: Localizer, rng: np.random.Generator) -> None:
    pixels = rng.uniform((100, 100), (125, 125), (200, 2))
    assert refused(judge(localizer, pixels, rng.uniform(3, 20, 200)), RejectionKind.INLIER_SPREAD)


def test_a_plane_that_the_camera_looks_at_fixes_the_pose(
    localizer: Localizer, rng: np.random.Generator
) -> None:
    pixels = rng.uniform((0, 0), (320, 240), (200, 2))
    estimate = judge(localizer, pixels, np.full(200, 6.0))
    assert estimate.status is Status.LOCALIZED
    assert position_error_m(T_MAP_CAMERA, estimate.T_map_camera) < 0.1


def test_a_spread_is_that_across_the_line(rng: np.random.Generator) -> None:
    turned = rng.normal(0, (30, 4), (5000, 2)) @ np.array([[0.6, 0.8], [-0.8, 0.6]])
    assert spread(turned) == pytest.approx(4, rel=0.05)
    assert spread(turned[:2]) == 0


def built(frames: list[Frame], out: Path) -> Localizer:
    builder = MapBuilder(out, BuilderSettings(keyframe_distance_m=0), device="cpu")
    for frame in frames:
        builder.add_frame(frame)
    return Localizer(ReferenceMap.open(builder.finish()), device="cpu")


def test_depth_that_is_all_unknown_confirms_nothing(room: Room, tmp_path: Path) -> None:
    frames = [replace(frame, depth=np.full_like(frame.depth, np.nan)) for frame in room.drive(4)]
    query = room.frame(-3.5, 0.1, 5.0)
    estimate = built(frames, tmp_path / "map").localize(query)
    assert refused(estimate, RejectionKind.NO_DEPTH)


def test_a_keyframe_of_another_camera_model_is_lifted_by_its_own_camera(room: Room, tmp_path: Path) -> None:
    zoomed = Room()
    zoomed.camera = Camera(160, 120, 150.0, 150.0, 79.5, 59.5)
    frames = [*room.drive(4), *(replace(f, stamp_ns=f.stamp_ns + 10**10) for f in zoomed.drive(4))]
    localizer = built(frames, tmp_path / "map")
    assert len(localizer.map.cameras) == 2
    query = room.frame(-3.2, 0.1, 5.0)
    estimate = localizer.localize(query)
    assert estimate.status is Status.LOCALIZED, estimate.reason
    assert position_error_m(query.T_map_camera, estimate.T_map_camera) < 0.1
    assert len({int(localizer.map.camera_index[c.keyframe]) for c in estimate.candidates}) == 2


def test_points_whose_depth_is_uncertain_move_the_pose_less(rng: np.random.Generator) -> None:
    camera = Camera(320, 240, 240.0, 240.0, 159.5, 119.5)
    pixels = rng.uniform((0, 0), (320, 240), (300, 2))
    points = transform(T_MAP_CAMERA, camera.back_project(pixels, rng.uniform(4, 12, 300)))
    keyframe = T_MAP_CAMERA[:3, 3] + (2.0, 0.0, 0.0)  # from where the points were lifted
    sigma = np.zeros_like(points)
    sigma[:150] = 0.03 * (points[:150] - keyframe)
    lifted = points + sigma * 1.0  # all of them a standard deviation too far

    def error(points_sigma: np.ndarray | None) -> float:
        matches = CameraMatches(np.eye(4), camera, pixels, lifted, points_sigma)
        return float(position_error_m(T_MAP_CAMERA, refine_pnp(T_MAP_CAMERA, [matches], 5.0)))

    assert error(sigma) < 0.5 * error(None)
