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

"""The localizer in a small known world: accepted poses are correct, and wrong ones are rejected."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from room import Room

from scene_geo_loc.core.errors import MapError, SceneGeoLocError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import inverse, position_error_m, rotation_error_deg, transform
from scene_geo_loc.localization.estimate import LocalizerSettings, PoseEstimate, PosePrior, Status
from scene_geo_loc.localization.localizer import MIN_RERANK_INLIERS, Localizer
from scene_geo_loc.localization.query import CameraImage
from scene_geo_loc.localization.solvers import robust_pnp
from scene_geo_loc.localization.solvers.base import PnpSolver
from scene_geo_loc.localization.verification.rejection import RejectionKind
from scene_geo_loc.mapping.builder import BuilderSettings, MapBuilder
from scene_geo_loc.mapping.map_info import (
    NO_LONGER_READ,
    PLACE_KEYPOINTS,
    FileRecord,
    read_info,
    sha256_of,
    write_info,
)
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.mapping.upgrade import upgrade
from scene_geo_loc.traversals.frame import Frame

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def localizer(room_map: Path) -> Localizer:
    return Localizer(ReferenceMap.open(room_map), device="cpu")


@pytest.fixture(scope="module")
def query(room: Room) -> Frame:
    return room.frame(-2.1, 0.4, 7.0)


@pytest.fixture(scope="module")
def estimate(localizer: Localizer, query: Frame) -> PoseEstimate:
    return localizer.localize(query)


def test_a_view_from_beside_the_mapped_line_is_localized(estimate: PoseEstimate, query: Frame) -> None:
    assert estimate.status is Status.LOCALIZED
    assert estimate.reason == ""
    assert position_error_m(query.T_map_camera, estimate.T_map_camera) < 0.1
    assert rotation_error_deg(query.T_map_camera, estimate.T_map_camera) < 1


def test_either_solver_localizes_it(
    localizer: Localizer, query: Frame, solver: PnpSolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(robust_pnp, "pnp_solver", lambda: solver)
    estimate = localizer.localize(query)
    assert estimate.status is Status.LOCALIZED
    assert position_error_m(query.T_map_camera, estimate.T_map_camera) < 0.1
    assert rotation_error_deg(query.T_map_camera, estimate.T_map_camera) < 1


def test_the_paper_s_rule_localizes_it_too(room_map: Path, query: Frame) -> None:
    settings = LocalizerSettings(refinement="per_candidate")
    estimate = Localizer(ReferenceMap.open(room_map), settings, "cpu").localize(query)
    assert estimate.status is Status.LOCALIZED
    assert position_error_m(query.T_map_camera, estimate.T_map_camera) < 0.2
    # One candidate gave the pose, so its matches alone are inliers.
    assert len(np.unique(estimate.matches.keyframe[estimate.matches.inlier])) == 1


def test_matches_are_pixels_of_the_images_and_points_of_the_map(
    estimate: PoseEstimate, localizer: Localizer, query: Frame
) -> None:
    matches = estimate.matches
    seen = transform(inverse(query.T_map_camera), matches.points_map[matches.inlier])
    away = np.linalg.norm(query.camera.project(seen) - matches.query_pixels[matches.inlier], axis=1)
    assert np.median(away) < 4  # half a cell of the 160 pixel wide image
    k = matches.keyframe[0]
    own = matches.keyframe == k
    in_keyframe = transform(inverse(localizer.map.T_map_camera[k]), matches.points_map[own])
    np.testing.assert_allclose(
        localizer.map.camera_of(k).project(in_keyframe), matches.keyframe_pixels[own], atol=1e-6
    )


def test_of_ten_candidates_the_five_are_matched_that_geometry_speaks_for(estimate: PoseEstimate) -> None:
    assert len(estimate.candidates) == 10
    inliers = [candidate.rerank_inliers for candidate in estimate.candidates]
    enough = [count for count in inliers if count >= MIN_RERANK_INLIERS]
    assert enough == inliers[: len(enough)] == sorted(enough, reverse=True)
    assert len(enough) > 0
    by_chance = [candidate.score for candidate in estimate.candidates[len(enough) :]]
    assert by_chance == sorted(by_chance, reverse=True)
    assert all(candidate.matches > 0 for candidate in estimate.candidates[:5])
    assert all(candidate.matches == 0 for candidate in estimate.candidates[5:])


def test_where_all_that_is_retrieved_is_matched_the_best_by_retrieval_comes_first(
    room_map: Path, query: Frame
) -> None:
    settings = LocalizerSettings(retrieved=5)
    estimate = Localizer(ReferenceMap.open(room_map), settings, "cpu").localize(query)
    scores = [candidate.score for candidate in estimate.candidates]
    assert len(scores) == 5
    assert scores == sorted(scores, reverse=True)


def test_keyframes_are_compared_by_where_things_are(
    estimate: PoseEstimate, room_map: Path, query: Frame
) -> None:
    assert max(candidate.agreement for candidate in estimate.candidates) > 0.2
    opened, settings = ReferenceMap.open(room_map), LocalizerSettings(compared=0)
    without = Localizer(opened, settings, "cpu").localize(query)
    assert {candidate.agreement for candidate in without.candidates} == {0.0}
    assert without.status is Status.LOCALIZED


def test_a_map_of_an_older_release_has_no_place_keypoints_and_localizes(
    room_map: Path, query: Frame, tmp_path: Path
) -> None:
    older = Path(shutil.copytree(room_map, tmp_path / "map"))
    info = read_info(older)
    files = {name: record for name, record in info.files.items() if name != PLACE_KEYPOINTS}
    write_info(older, info.model_copy(update={"files": files}))
    estimate = Localizer(ReferenceMap.open(older), device="cpu").localize(query)
    assert estimate.status is Status.LOCALIZED
    assert {candidate.agreement for candidate in estimate.candidates} == {0.0}


def test_a_map_of_an_older_release_gets_place_keypoints_of_its_features_by_upgrade(
    room_map: Path, query: Frame, tmp_path: Path
) -> None:
    older = Path(shutil.copytree(room_map, tmp_path / "map"))
    (older / PLACE_KEYPOINTS).unlink()
    info = read_info(older)
    files = {name: record for name, record in info.files.items() if name != PLACE_KEYPOINTS}
    (older / NO_LONGER_READ[0]).write_bytes(b"of the older release")
    record = FileRecord(bytes=20, sha256=sha256_of(older / NO_LONGER_READ[0]))
    write_info(older, info.model_copy(update={"files": {**files, NO_LONGER_READ[0]: record}}))
    assert upgrade(older)
    assert not upgrade(older)
    assert not (older / NO_LONGER_READ[0]).exists()
    upgraded = ReferenceMap.open(older)
    upgraded.verify()
    again = Localizer(upgraded, device="cpu").localize(query)
    assert again.status is Status.LOCALIZED
    assert max(candidate.agreement for candidate in again.candidates) > 0.2


@pytest.mark.parametrize("change", [lambda rows: rows[:, :-1], lambda rows: rows.astype(np.float32)])
def test_place_keypoints_of_another_shape_or_type_than_the_network_gives_are_refused(
    change: Callable[[np.ndarray], np.ndarray], room_map: Path, tmp_path: Path
) -> None:
    damaged = Path(shutil.copytree(room_map, tmp_path / "map"))
    info, file = read_info(damaged), damaged / PLACE_KEYPOINTS
    np.save(file, change(np.load(file)))
    record = FileRecord(bytes=file.stat().st_size, sha256=sha256_of(file))
    write_info(damaged, info.model_copy(update={"files": {**info.files, PLACE_KEYPOINTS: record}}))
    with pytest.raises(MapError, match="place keypoints"):
        Localizer(ReferenceMap.open(damaged), device="cpu")


def test_candidates_come_with_their_matches(estimate: PoseEstimate) -> None:
    assert estimate.inlier_ratio == pytest.approx(estimate.matches.inlier.mean())
    assert sum(c.matches for c in estimate.candidates) == len(estimate.matches)
    assert estimate.inliers == sum(c.inliers for c in estimate.candidates)


def test_every_step_is_timed(estimate: PoseEstimate) -> None:
    steps = {name: value for name, value in estimate.timings_ms.items() if name != "total"}
    assert set(steps) == {"describe", "retrieve", "detect", "rerank", "match", "solve"}
    assert sum(steps.values()) == pytest.approx(estimate.timings_ms["total"])


def test_the_covariance_is_symmetric_positive_and_small(estimate: PoseEstimate) -> None:
    assert estimate.covariance is not None
    np.testing.assert_allclose(estimate.covariance, estimate.covariance.T, rtol=1e-6, atol=1e-15)
    assert (np.linalg.eigvalsh(estimate.covariance) > 0).all()
    assert np.sqrt(np.diag(estimate.covariance)[:3]).max() < 0.2


def test_an_image_of_another_place_is_never_localized(localizer: Localizer) -> None:
    elsewhere = Room(seed=5)
    for frame in elsewhere.drive(6):
        estimate = localizer.localize(frame)
        assert estimate.status is not Status.LOCALIZED
        assert estimate.kind is not None
        assert estimate.covariance is None


def test_a_limit_of_zero_is_zero_and_an_unset_one_is_the_matcher_s(room_map: Path, query: Frame) -> None:
    opened = ReferenceMap.open(room_map)
    unset = Localizer(opened, device="cpu")
    assert unset.verifier.limits.inlier_ratio == unset.matcher.min_inlier_ratio > 0
    assert unset.verifier.limits.coverage == unset.matcher.min_coverage > 0
    zero = Localizer(opened, LocalizerSettings(min_inlier_ratio=0.0, min_coverage=0.0), "cpu")
    assert (zero.verifier.limits.inlier_ratio, zero.verifier.limits.coverage) == (0.0, 0.0)
    part = Room(seed=5).view(query.T_map_camera).image.copy()
    part[40:, 40:120] = query.image[40:, 40:120]
    strict = Localizer(opened, LocalizerSettings(min_coverage=0.9), "cpu")
    assert strict.localize(CameraImage(part, query.camera)).kind is RejectionKind.COVERAGE
    assert zero.localize(CameraImage(part, query.camera)).status is Status.LOCALIZED


def test_an_estimate_prints_as_one_line(estimate: PoseEstimate, localizer: Localizer, query: Frame) -> None:
    line = str(estimate)
    x, y, z = estimate.T_map_camera[:3, 3]
    assert line.startswith("localized at ")
    assert f"x {x:.2f} y {y:.2f} z {z:.2f} m" in line
    assert f"{estimate.inliers} of {len(estimate.matches)} matches" in line
    assert "\n" not in line
    black = localizer.localize(CameraImage(query.image * 0, query.camera))
    assert str(black) == f"lost: {black.reason}"


def test_what_geometry_does_not_confirm_keeps_the_retrieved_pose(room_map: Path, query: Frame) -> None:
    strict = Localizer(ReferenceMap.open(room_map), LocalizerSettings(min_inlier_ratio=1.0), "cpu")
    estimate = strict.localize(query)
    assert estimate.status is Status.RETRIEVED_ONLY
    np.testing.assert_array_equal(
        estimate.T_map_camera, strict.map.T_map_camera[estimate.candidates[0].keyframe]
    )
    assert (estimate.kind, estimate.rejection.limit) == (RejectionKind.INLIER_RATIO, 1.0)


def test_a_pose_needs_the_least_number_of_inliers(localizer: Localizer, room_map: Path, query: Frame) -> None:
    found = localizer.localize(query).inliers
    assert found > 1
    for limit, status in ((found, Status.LOCALIZED), (10 * found, Status.RETRIEVED_ONLY)):
        settings = LocalizerSettings(min_inliers=limit)
        estimate = Localizer(ReferenceMap.open(room_map), settings, "cpu").localize(query)
        assert estimate.status is status
    assert estimate.rejection is not None
    assert (estimate.kind, estimate.rejection.limit) == (RejectionKind.INLIERS, 10 * found)


def test_a_pose_that_its_matches_agree_with_roughly_is_that_of_a_place_that_looks_alike(
    localizer: Localizer, room_map: Path, query: Frame
) -> None:
    assert localizer.verifier.limits.precise_ratio > 0
    assert localizer.localize(query).status is Status.LOCALIZED
    strict = Localizer(ReferenceMap.open(room_map), LocalizerSettings(min_precise_ratio=0.95), "cpu")
    estimate = strict.localize(query)
    assert estimate.status is Status.RETRIEVED_ONLY
    assert estimate.rejection is not None
    assert (estimate.kind, estimate.rejection.limit) == (RejectionKind.PRECISE_RATIO, 0.95)
    assert estimate.inlier_ratio > estimate.rejection.value > localizer.verifier.limits.precise_ratio


def test_matches_that_agree_in_a_part_of_the_image_only_are_not_believed(
    room_map: Path, query: Frame
) -> None:
    elsewhere = Room(seed=5).view(query.T_map_camera)
    image = elsewhere.image.copy()
    image[40:, 40:120] = query.image[40:, 40:120]  # a part of the place, inside another
    localizer = Localizer(ReferenceMap.open(room_map), LocalizerSettings(min_coverage=0.9), "cpu")
    estimate = localizer.localize(CameraImage(image, query.camera))
    assert estimate.status is Status.RETRIEVED_ONLY
    assert (estimate.kind, estimate.rejection.limit) == (
        RejectionKind.COVERAGE,
        localizer.verifier.limits.coverage,
    )
    assert estimate.inlier_ratio > localizer.verifier.limits.inlier_ratio


def test_a_place_that_looks_like_no_keyframe_is_lost(room_map: Path, query: Frame) -> None:
    strict = Localizer(ReferenceMap.open(room_map), LocalizerSettings(min_similarity=1.0), "cpu")
    estimate = strict.localize(query)
    assert estimate.status is Status.LOST
    assert estimate.T_map_camera is None
    assert (estimate.kind, estimate.rejection.limit) == (RejectionKind.UNKNOWN_PLACE, 1.0)


@pytest.mark.parametrize("value", [0, 255])
def test_a_black_or_saturated_image_is_lost(localizer: Localizer, room: Room, value: int) -> None:
    estimate = localizer.localize(CameraImage(np.full((120, 160, 3), value, np.uint8), room.camera))
    assert estimate.status is Status.LOST
    assert estimate.kind is RejectionKind.NO_CONTRAST


def test_an_image_of_another_size_than_its_camera_is_an_error(localizer: Localizer, query: Frame) -> None:
    with pytest.raises(SceneGeoLocError, match="160x120"):
        localizer.localize(CameraImage(query.image, replace(query.camera, width=320)))


def test_a_map_with_the_network_of_another_is_refused(room: Room, room_map: Path, tmp_path: Path) -> None:
    other = MapBuilder(tmp_path / "other", BuilderSettings(keyframe_distance_m=0), device="cpu")
    for frame in room.drive(3):
        other.add_frame(frame)
    swapped = Path(shutil.copytree(room_map, tmp_path / "swapped"))
    shutil.copy(other.finish() / "network.safetensors", swapped)
    info = json.loads((swapped / "map.json").read_text())
    del info["digest"]
    info["files"]["network.safetensors"]["bytes"] = (swapped / "network.safetensors").stat().st_size
    (swapped / "map.json").write_text(json.dumps(info))
    with pytest.raises(MapError, match="another network"):
        Localizer(ReferenceMap.open(swapped), device="cpu")


def test_a_prior_keeps_the_search_near_it(localizer: Localizer, query: Frame) -> None:
    prior = PosePrior(query.T_map_camera, radius_m=1.0)
    estimate = localizer.localize(query, prior)
    assert estimate.status is Status.LOCALIZED
    for candidate in estimate.candidates:
        keyframe = localizer.map.T_map_camera[candidate.keyframe]
        assert position_error_m(keyframe, prior.T_map_camera) <= 1.0


def test_a_prior_of_unknown_height_keeps_the_search_beside_it(localizer: Localizer, query: Frame) -> None:
    in_the_plane = query.T_map_camera.copy()
    in_the_plane[2, 3] -= 6.0
    known, unknown = (PosePrior(in_the_plane, 1.0, is_height_known=known) for known in (True, False))
    assert localizer.localize(query, known).kind is RejectionKind.NO_KEYFRAME_NEAR_PRIOR
    assert localizer.localize(query, unknown).status is Status.LOCALIZED


def test_a_prior_far_from_every_keyframe_leaves_nothing(localizer: Localizer, query: Frame) -> None:
    far = query.T_map_camera.copy()
    far[0, 3] += 1000
    estimate = localizer.localize(query, PosePrior(far, radius_m=5.0))
    assert estimate.status is Status.LOST
    assert estimate.kind is RejectionKind.NO_KEYFRAME_NEAR_PRIOR
    assert "> 5.0 m" in estimate.reason


def test_a_distorted_camera_is_localized_as_well(localizer: Localizer, room: Room, query: Frame) -> None:
    lens = Camera(160, 120, 120.0, 120.0, 79.5, 59.5, "plumb_bob", (-0.25, 0.05, 0.0, 0.0))
    v, u = np.mgrid[:120, :160].astype(np.float32)
    rays = lens.rays(np.stack([u.ravel(), v.ravel()], axis=1))
    ideal = rays[:, :2] * 120.0 + (79.5, 59.5)
    x, y = ideal.T.astype(np.float32).reshape(2, 120, 160)
    seen = cv2.remap(query.image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    estimate = localizer.localize(CameraImage(np.asarray(seen, np.uint8), lens))
    assert estimate.status is Status.LOCALIZED
    assert position_error_m(query.T_map_camera, estimate.T_map_camera) < 0.15


def test_keyframes_without_depth_cannot_confirm_a_pose(room: Room, query: Frame, tmp_path: Path) -> None:
    builder = MapBuilder(tmp_path / "map", BuilderSettings(keyframe_distance_m=0), device="cpu")
    for frame in room.drive(4):
        builder.add_frame(replace(frame, depth=None))
    localizer = Localizer(ReferenceMap.open(builder.finish()), device="cpu")
    estimate = localizer.localize(query)
    assert estimate.status is Status.RETRIEVED_ONLY
    assert estimate.kind is RejectionKind.NO_DEPTH
