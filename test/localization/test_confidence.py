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

"""Confidence of a pose, and images that only look like a place: mirrored, repeated, on a screen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from room import Room

from scene_geo_loc.geometry.pose import Pose, position_error_m
from scene_geo_loc.localization.estimate import LocalizerSettings, PoseEstimate, PosePrior, Status
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.query import CameraImage
from scene_geo_loc.localization.session import Session
from scene_geo_loc.localization.tracking.tracker import Tracker
from scene_geo_loc.localization.uncertainty.self_measurement import measure_map
from scene_geo_loc.localization.verification.confidence import MODELS, PoseSupport
from scene_geo_loc.localization.verification.rejection import RejectionKind
from scene_geo_loc.localization.verification.verifier import MAX_CONFIDENCE
from scene_geo_loc.mapping.builder import BuilderSettings, MapBuilder
from scene_geo_loc.mapping.map_info import MapInfo
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.traversals.frame import Frame

AWAY_M = 40.0
"""Distance of the second room, which is the same as the first."""


def moved(frame: Frame, x: float = AWAY_M) -> Frame:
    """The same image taken in the second room."""
    assert frame.T_map_camera is not None
    T = frame.T_map_camera.copy()
    T[0, 3] += x
    return replace(frame, T_map_camera=T, stamp_ns=frame.stamp_ns + 10**12)


def build(folder: Path, frames: list[Frame], matcher: str = "network") -> ReferenceMap:
    settings = BuilderSettings(keyframe_distance_m=0.2, matcher=matcher)
    builder = MapBuilder(folder / "map", settings, device="cpu", measure=measure_map)
    for frame in frames:
        builder.add_frame(frame)
    return ReferenceMap.open(builder.finish())


@pytest.fixture(scope="module")
def room() -> Room:
    return Room()


@pytest.fixture(scope="module")
def one(room: Room, tmp_path_factory: pytest.TempPathFactory) -> ReferenceMap:
    return build(tmp_path_factory.mktemp("one"), room.drive())


@pytest.fixture(scope="module")
def in_one(one: ReferenceMap) -> Localizer:
    return Localizer(one, device="cpu")


@pytest.fixture(scope="module")
def in_twins(twins: ReferenceMap) -> Localizer:
    return Localizer(twins, device="cpu")


@pytest.fixture(scope="module")
def twins(room: Room, tmp_path_factory: pytest.TempPathFactory) -> ReferenceMap:
    """A map of two rooms that are the same."""
    frames = room.drive()
    return build(tmp_path_factory.mktemp("twins"), [*frames, *map(moved, frames)])


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_more_support_gives_more_confidence(model) -> None:  # type: ignore[no-untyped-def]
    support = PoseSupport(0.15, 0.06, 0.09, 0.01)
    middling = model.probability(support)
    assert 0.001 < middling < 0.999
    for better in (
        replace(support, inlier_ratio=0.4),
        replace(support, precise_ratio=0.2),
        replace(support, spread=0.25),
    ):
        assert middling < model.probability(better) <= 1
    assert middling <= model.probability(replace(support, rotation_std=0.001))
    assert model.probability(PoseSupport(0.0, 0.0, 0.0, 1.0)) < 0.01
    assert model.probability(PoseSupport(1.0, 1.0, 0.3, 0.0)) > 0.999


def test_an_estimate_states_its_confidence_and_a_setting_requires_one(
    room: Room, one: ReferenceMap, in_one: Localizer
) -> None:
    frame = room.frame(-2.1, 0.1, 3.0)
    estimate = in_one.localize(frame)
    assert estimate.status is Status.LOCALIZED
    assert estimate.confidence is not None
    assert 0.5 < estimate.confidence <= 1
    strict = Localizer(one, LocalizerSettings(min_confidence=1.0), "cpu").localize(frame)
    assert (strict.status, strict.kind) == (Status.RETRIEVED_ONLY, RejectionKind.CONFIDENCE)
    assert strict.rejection is not None
    assert strict.confidence == strict.rejection.value == pytest.approx(estimate.confidence, abs=0.01)
    assert strict.covariance is None


@pytest.mark.parametrize("matcher", ["sift", "xfeat"])
def test_other_matchers_state_a_confidence_as_well(tmp_path: Path, room: Room, matcher: str) -> None:
    localizer = Localizer(build(tmp_path, room.drive(), matcher), device="cpu")
    estimate = localizer.localize(room.frame(-2.1, 0.1, 3.0))
    assert estimate.status is Status.LOCALIZED
    assert estimate.confidence is not None
    assert 0.9 < estimate.confidence <= 1


def test_a_matcher_without_a_model_states_none(
    room: Room, one: ReferenceMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(MODELS, "keypoints")
    estimate = Localizer(one, device="cpu").localize(room.frame(-2.1, 0.1, 3.0))
    assert (estimate.status, estimate.confidence) == (Status.LOCALIZED, None)


def test_a_map_of_one_room_has_no_look_alikes(one: ReferenceMap, in_one: Localizer) -> None:
    assert one.info.look_alikes is None or one.info.look_alikes.found == 0
    assert in_one.verifier.limits.confidence == LocalizerSettings().min_confidence


def test_a_map_of_two_rooms_that_look_alike_says_so_and_asks_for_more_confidence(
    twins: ReferenceMap, in_twins: Localizer
) -> None:
    look_alikes = twins.info.look_alikes
    assert look_alikes is not None
    assert look_alikes.found > look_alikes.asked / 2
    assert in_twins.verifier.limits.confidence == min(look_alikes.confidence, MAX_CONFIDENCE) > 0.5
    assert MapInfo.model_validate(twins.info.model_dump()).look_alikes == look_alikes


def poses(estimate: PoseEstimate) -> list[Pose]:
    return sorted(estimate.alternatives, key=lambda T: float(T[0, 3]))


def test_an_image_that_two_places_look_like_is_ambiguous_and_both_are_given(
    room: Room, in_twins: Localizer
) -> None:
    for x in (-3.1, -1.3, 0.4):
        frame = room.frame(x, 0.1, 4.0)
        estimate = in_twins.localize(frame)
        assert (estimate.status, estimate.kind) == (Status.RETRIEVED_ONLY, RejectionKind.AMBIGUOUS)
        assert estimate.covariance is None
        first, second = poses(estimate)
        assert all(f"x {T[0, 3]:.1f} y {T[1, 3]:.1f}" in estimate.reason for T in (first, second))
        assert position_error_m(first, frame.T_map_camera) < 0.1
        assert position_error_m(second, moved(frame).T_map_camera) < 0.1


def test_without_a_track_there_is_no_pose_and_a_track_decides(room: Room, in_twins: Localizer) -> None:
    session = Session(in_twins, Tracker())
    drive = [room.frame(-3.0 + 0.2 * i, 0.1, 4.0, stamp_ns=10**8 * (i + 1)) for i in range(12)]
    lost = [session.localize(frame.stamp_ns, frame, frame.T_map_camera).pose for frame in drive[:6]]
    assert not any(pose.status.has_pose for pose in lost)
    session.reset()
    # A prior, as from /initialpose, names the room; what follows is told apart by the track.
    tracked = []
    for i, frame in enumerate(drive):
        assert frame.T_map_camera is not None
        there = moved(frame).T_map_camera
        prior = PosePrior(there, 10.0) if i < 3 and there is not None else None
        tracked.append((session.localize(frame.stamp_ns, frame, frame.T_map_camera, prior).pose, there))
    assert all(pose.status.has_pose for pose, _ in tracked[2:])
    assert all(position_error_m(pose.T_map_base, there) < 0.2 for pose, there in tracked[2:])


def screen(image: np.ndarray) -> np.ndarray:
    """A photograph of a screen that shows an image: smaller, slanted, in front of a wall."""
    height, width = image.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    seen = corners * (0.55, 0.5) + (0.2 * width, 0.25 * height)
    seen[1] += (0, 0.06 * height)
    seen[2] -= (0, 0.05 * height)
    M = cv2.getPerspectiveTransform(corners, seen.astype(np.float32))
    wall = np.full_like(image, 150) + np.arange(width, dtype=np.uint8)[None, :, None] % 7
    drawn = cv2.warpPerspective(image, M, (width, height))
    inside = cv2.warpPerspective(np.full((height, width), 255, np.uint8), M, (width, height)) > 127
    return np.where(inside[..., None], drawn, wall).astype(np.uint8)


@pytest.mark.parametrize(
    "altered",
    [lambda image: image[:, ::-1], lambda image: image[::-1], lambda image: 255 - image],
    ids=["mirrored", "upside down in a mirror", "negative"],
)
def test_images_that_no_camera_took_there_are_not_localized(
    room: Room, in_one: Localizer, altered: Callable[[np.ndarray], np.ndarray]
) -> None:
    for x in (-3.1, -1.3, 0.4):
        frame = room.frame(x, 0.1, 4.0)
        image = np.ascontiguousarray(altered(frame.image))
        assert in_one.localize(CameraImage(image, frame.camera)).status is not Status.LOCALIZED


@pytest.mark.parametrize(
    "altered", [screen, lambda image: np.tile(image[::2, ::2], (2, 2, 1))], ids=["on a screen", "four times"]
)
def test_pictures_of_the_place_give_no_sure_pose(
    room: Room, in_one: Localizer, altered: Callable[[np.ndarray], np.ndarray]
) -> None:
    # A picture of a wall looks like the wall from farther away, through a longer lens or not.
    for x in (-3.1, -1.3, 0.4):
        frame = room.frame(x, 0.1, 4.0)
        image = np.ascontiguousarray(altered(frame.image))
        estimate = in_one.localize(CameraImage(image, frame.camera))
        if estimate.status is Status.LOCALIZED:
            assert estimate.covariance is not None
            assert np.sqrt(np.trace(estimate.covariance[:3, :3])) > 0.5


@pytest.mark.parametrize("side", ["left", "right", "lower"])
def test_a_half_covered_image_is_right_or_not_localized(room: Room, in_one: Localizer, side: str) -> None:
    for x in (-3.1, -1.3, 0.4):
        frame = room.frame(x, 0.1, 4.0)
        image = frame.image.copy()
        height, width = image.shape[:2]
        half = {
            "left": np.s_[:, : width // 2],
            "right": np.s_[:, width // 2 :],
            "lower": np.s_[height // 2 :],
        }[side]
        image[half] = 90
        estimate = in_one.localize(CameraImage(image, frame.camera))
        if estimate.status is Status.LOCALIZED:
            assert position_error_m(estimate.T_map_base, frame.T_map_camera) < 0.3


def test_an_upside_down_camera_is_right_or_not_localized(room: Room, in_one: Localizer) -> None:
    frame = room.frame(-1.3, 0.1, 4.0)
    image = np.ascontiguousarray(frame.image[::-1, ::-1])
    estimate = in_one.localize(CameraImage(image, frame.camera))
    if estimate.status is Status.LOCALIZED:
        assert position_error_m(estimate.T_map_base, frame.T_map_camera) < 0.3
