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

"""A rig in a small known world: several cameras are localized where a single one is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from room import Room

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import inverse, make_pose, position_error_m, rotation_error_deg, transform
from scene_geo_loc.localization.estimate import Candidate, Matches, PosePrior, Status
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.query import CameraImage, QueryMatches
from scene_geo_loc.localization.verification.rejection import RejectionKind
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.traversals.frame import Frame

pytestmark = pytest.mark.slow

T_BASE_CAMERA = make_pose(np.eye(3), (0.1, 0.2, 0.4))


@pytest.fixture(scope="module")
def localizer(room_map: Path) -> Localizer:
    return Localizer(ReferenceMap.open(room_map), device="cpu")


@pytest.fixture(scope="module")
def ahead(room: Room) -> Frame:
    return room.frame(-2.1, 0.4, 7.0)


def image_of(frame: Frame, T_map_base: np.ndarray) -> CameraImage:
    return CameraImage(frame.image, frame.camera, inverse(T_map_base) @ frame.T_map_camera)


def test_a_rig_of_one_camera_answers_as_the_camera_does(localizer: Localizer, ahead: Frame) -> None:
    alone = localizer.localize(ahead)
    estimate = localizer.localize([CameraImage(ahead.image, ahead.camera, T_BASE_CAMERA)])
    assert estimate.status is alone.status is Status.LOCALIZED
    assert position_error_m(alone.T_map_camera, estimate.T_map_base @ T_BASE_CAMERA) < 1e-3
    assert rotation_error_deg(alone.T_map_camera, estimate.T_map_base @ T_BASE_CAMERA) < 1e-2
    assert estimate.inliers == alone.inliers
    (share,) = estimate.cameras
    assert share.candidates == alone.candidates
    assert set(estimate.timings_ms) == set(alone.timings_ms)


def test_a_rig_of_one_camera_at_its_base_equals_the_single_camera_to_the_last_bit(
    localizer: Localizer, ahead: Frame
) -> None:
    alone = localizer.localize(ahead)
    rig = localizer.localize([CameraImage(ahead.image, ahead.camera, np.eye(4))])
    np.testing.assert_array_equal(alone.T_map_base, rig.T_map_base)
    np.testing.assert_array_equal(alone.T_map_base, alone.T_map_camera)
    np.testing.assert_array_equal(alone.covariance, rig.covariance)
    np.testing.assert_array_equal(alone.matches.inlier, rig.matches.inlier)
    assert (alone.inliers, alone.inlier_ratio) == (rig.inliers, rig.inlier_ratio)


def test_a_rig_whose_inliers_lie_in_one_spot_of_each_image_is_rejected(localizer: Localizer) -> None:
    """As the single camera: where the road meets the sky, streets look alike in all directions."""
    rng = np.random.default_rng(1)
    camera = Camera(320, 240, 240.0, 240.0, 159.5, 119.5)
    queries = []
    for mount in (np.eye(4), make_pose(np.diag([-1.0, 1.0, -1.0]), (0.0, 0.0, 0.0))):
        pixels = rng.uniform((0, 118), (320, 122), (200, 2))
        points = transform(mount, camera.back_project(pixels, rng.uniform(3, 20, 200)))
        row = np.zeros(200, np.int64)
        matches = Matches(pixels, row, pixels, points, 0 * points, np.zeros(200, bool))
        queries.append(QueryMatches(mount, camera, [Candidate(0, 0.9)], matches, blocks=12))
    estimate = localizer.verifier.verify(localizer.solve(queries), queries)
    assert estimate.kind is RejectionKind.INLIER_SPREAD
    assert estimate.covariance is None


def test_two_cameras_find_the_base_and_are_surer_than_one(
    localizer: Localizer, room: Room, ahead: Frame
) -> None:
    T_map_base = ahead.T_map_camera @ inverse(T_BASE_CAMERA)
    aside = room.frame(-2.0, 0.1, -6.0)
    one = localizer.localize([image_of(ahead, T_map_base)])
    both = localizer.localize([image_of(ahead, T_map_base), image_of(aside, T_map_base)])
    assert both.status is Status.LOCALIZED
    assert position_error_m(T_map_base, both.T_map_base) < 0.1
    assert rotation_error_deg(T_map_base, both.T_map_base) < 1.0
    assert np.trace(both.covariance[:3, :3]) < np.trace(one.covariance[:3, :3])
    assert len(both.cameras) == 2
    assert all(share.matches.inlier.any() for share in both.cameras)


def test_a_black_image_takes_no_part_and_the_other_camera_answers(localizer: Localizer, ahead: Frame) -> None:
    covered = CameraImage(ahead.image * 0, ahead.camera, T_BASE_CAMERA)
    estimate = localizer.localize([covered, CameraImage(ahead.image, ahead.camera, T_BASE_CAMERA)])
    assert estimate.status is Status.LOCALIZED
    assert estimate.cameras[0].rejection.kind is RejectionKind.NO_CONTRAST
    assert estimate.cameras[1].rejection is None


def test_a_camera_whose_mounting_contradicts_the_other_neither_confirms_nor_prevents(
    localizer: Localizer, ahead: Frame
) -> None:
    """Two images of one place, said to be taken in opposite directions: one of them must be wrong."""
    opposite = make_pose(np.diag([-1.0, 1.0, -1.0]), (0.0, 0.0, 0.0))
    images = [CameraImage(ahead.image, ahead.camera, mount) for mount in (np.eye(4), opposite)]
    estimate = localizer.localize(images)
    inliers = [int(share.matches.inlier.sum()) for share in estimate.cameras]
    assert min(inliers) < 0.05 * max(inliers)
    assert estimate.inliers <= localizer.localize(ahead).inliers + 2


def test_a_camera_that_sees_noise_does_not_outvote_one_that_sees_the_place(
    localizer: Localizer, ahead: Frame
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, ahead.image.shape, np.uint8)
    T_map_base = ahead.T_map_camera
    blind = [CameraImage(noise, ahead.camera, make_pose(np.eye(3), (0.1 * i, 0, 0))) for i in (1, 2, 3)]
    estimate = localizer.localize([*blind, CameraImage(ahead.image, ahead.camera, np.eye(4))])
    assert estimate.status is Status.LOCALIZED
    assert position_error_m(T_map_base, estimate.T_map_base) < 0.1


def test_nothing_to_see_is_lost_with_a_reason(localizer: Localizer, ahead: Frame) -> None:
    noise = np.random.default_rng(0).integers(0, 256, ahead.image.shape, np.uint8)
    black = CameraImage(ahead.image * 0, ahead.camera, T_BASE_CAMERA)
    assert localizer.localize([black, black]).status is Status.LOST
    estimate = localizer.localize([CameraImage(noise, ahead.camera, T_BASE_CAMERA), black])
    assert estimate.status is not Status.LOCALIZED
    assert estimate.reason


def test_a_prior_far_from_every_keyframe_leaves_nothing(localizer: Localizer, ahead: Frame) -> None:
    away = make_pose(np.eye(3), (100.0, 0.0, 0.0))
    estimate = localizer.localize(
        [CameraImage(ahead.image, ahead.camera, T_BASE_CAMERA)], PosePrior(away, 5.0)
    )
    assert (estimate.status, estimate.kind) == (Status.LOST, RejectionKind.NO_KEYFRAME_NEAR_PRIOR)


def test_a_rig_without_images_and_an_image_of_another_size_are_refused(
    localizer: Localizer, ahead: Frame
) -> None:
    with pytest.raises(SceneGeoLocError, match="one image of each camera"):
        localizer.localize([])
    with pytest.raises(SceneGeoLocError, match="50"):
        localizer.localize([CameraImage(ahead.image[:50], ahead.camera, T_BASE_CAMERA)])
