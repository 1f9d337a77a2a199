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

"""The second look: when it is taken, how often at most, and that its poses are right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from room import Room

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import inverse, position_error_m, rotation_error_deg, transform
from scene_geo_loc.localization.estimate import LocalizerSettings, PoseEstimate, PosePrior, Status
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.query import CameraImage
from scene_geo_loc.localization.second_look.second_look import SAVED, VIEWS, LookBudget, SecondLook, View
from scene_geo_loc.localization.verification.rejection import Rejection, RejectionKind
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.traversals.frame import Frame

TURNED = View(turn_deg=40)


@pytest.mark.parametrize("share", [0.1, 1 / 3, 1.0])
def test_the_share_of_second_looks_is_bounded(share: float) -> None:
    budget, taken = LookBudget(share), 0
    for number in range(1, 301):
        budget.count_image()
        taken += budget.take()
        assert taken <= share * number + SAVED
    assert taken >= share * 300 - 1


def test_a_share_of_zero_allows_none() -> None:
    budget = LookBudget(0)
    for _ in range(20):
        budget.count_image()
        assert not budget.take()


def test_looks_that_are_not_taken_are_saved_up_to_a_limit() -> None:
    budget = LookBudget(0.5)
    for _ in range(1000):
        budget.count_image()
    assert sum(budget.take() for _ in range(100)) == SAVED


@pytest.mark.parametrize("view", [*VIEWS, TURNED])
@pytest.mark.parametrize(
    "camera",
    [
        Camera(160, 120, 120.0, 110.0, 75.0, 62.0),
        Camera(160, 120, 120.0, 120.0, 75.0, 62.0, "plumb_bob", (-0.2, 0.03, 0.004, -0.003, 0.0)),
        Camera(160, 120, 80.0, 80.0, 79.5, 59.5, "equidistant", (0.01, 0.0, 0.0, 0.0)),
    ],
)
def test_a_point_lies_at_its_own_pixel_of_each_view(view: View, camera: Camera) -> None:
    image = CameraImage(np.zeros((120, 160, 3), np.uint8), camera)
    seen = view.of(image)
    points = np.random.default_rng(0).uniform([-0.3, -0.2, 1], [0.3, 0.2, 1.2], (50, 3))
    pixels = camera.project(points)
    affine = view.affine(camera)
    there = seen.camera.project(transform(inverse(seen.T_base_camera), points))
    np.testing.assert_allclose(there, pixels @ affine[:, :2].T + affine[:, 2], atol=1e-6)


@pytest.fixture(scope="module")
def turned(room: Room) -> Frame:
    """A frame of a camera that is rolled, so that the first look fails."""
    frame = room.frame(-2.1, 0.4, 7.0)
    angle = np.radians(60)
    R = np.eye(4)
    R[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return room.view(frame.T_map_camera @ R)


@pytest.fixture(scope="module")
def opened(room_map: Path) -> ReferenceMap:
    return ReferenceMap.open(room_map)


@pytest.fixture(scope="module")
def eager(opened: ReferenceMap) -> Localizer:
    return Localizer(opened, LocalizerSettings(second_look_share=1), device="cpu")


@pytest.mark.slow
def test_a_rolled_camera_is_localized_at_the_second_look(
    opened: ReferenceMap, eager: Localizer, turned: Frame
) -> None:
    quick = Localizer(opened, LocalizerSettings(second_look_share=0), device="cpu")
    assert quick.localize(turned).status is not Status.LOCALIZED
    estimate = eager.localize(turned)
    assert estimate.status is Status.LOCALIZED, estimate.reason
    assert estimate.took_second_look
    assert estimate.timings_ms["total"] > estimate.timings_ms["second_look"]
    assert position_error_m(turned.T_map_camera, estimate.T_map_camera) < 0.1
    assert rotation_error_deg(turned.T_map_camera, estimate.T_map_camera) < 1
    matches = estimate.matches
    seen = transform(inverse(turned.T_map_camera), matches.points_map[matches.inlier])
    away = np.linalg.norm(turned.camera.project(seen) - matches.query_pixels[matches.inlier], axis=1)
    assert np.median(away) < 3


@pytest.mark.slow
def test_an_image_that_is_certain_takes_one_look(eager: Localizer, room: Room) -> None:
    estimate = eager.localize(room.frame(-2.1, 0.4, 7.0))
    assert estimate.status is Status.LOCALIZED
    assert not estimate.took_second_look


@pytest.mark.slow
def test_an_image_of_another_place_stays_unlocalized(eager: Localizer) -> None:
    other = Room(seed=5).frame(-2.1, 0.4, 7.0)
    estimate = eager.localize(other)
    assert estimate.status is not Status.LOCALIZED
    assert estimate.rejection is not None
    assert estimate.took_second_look


@pytest.mark.slow
def test_what_a_second_look_cannot_change_takes_none(eager: Localizer, turned: Frame) -> None:
    black = replace(turned, image=np.zeros_like(turned.image))
    assert not eager.localize(black).took_second_look
    far = PosePrior(turned.T_map_camera + np.eye(4, k=3)[:, [0, 1, 2, 3]] * 1e3, 1.0)
    assert eager.localize(turned, far).kind is RejectionKind.NO_KEYFRAME_NEAR_PRIOR
    assert not eager.localize(turned, far).took_second_look


@pytest.mark.slow
def test_a_pose_with_a_small_margin_is_in_doubt(opened: ReferenceMap) -> None:
    localizer = Localizer(opened, LocalizerSettings(min_inlier_ratio=0.2), device="cpu")
    for ratio, in_doubt in ((0.21, True), (0.6, False)):
        look = SecondLook(localizer, 1.0)
        estimate = PoseEstimate(Status.LOCALIZED, np.eye(4), inlier_ratio=ratio)
        assert look.is_due(estimate) == in_doubt
    rejected = PoseEstimate(Status.RETRIEVED_ONLY, rejection=Rejection(RejectionKind.INLIER_RATIO, 0.1, 0.2))
    assert SecondLook(localizer, 1.0).is_due(rejected)
    assert not SecondLook(localizer, 0.0).is_due(rejected)
