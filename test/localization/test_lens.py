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

"""The focal length that matches ask for: found where they tell it, and poses by another one are refused."""

from __future__ import annotations

import logging
from dataclasses import replace

import cv2
import numpy as np
import pytest
from room import Room
from seen import CAMERA, FAR_AWAY, seen_points

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose, make_pose, position_error_m, transform
from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.pnp import CameraMatches, refine_pnp
from scene_geo_loc.localization.query import CameraImage
from scene_geo_loc.localization.session import Session
from scene_geo_loc.localization.verification.focal_scale import (
    LEAST_STD,
    OTHER_LENS,
    FocalScale,
    LensEstimate,
    LensMonitor,
)
from scene_geo_loc.localization.verification.lens_fit import LensFit, fit_lens
from scene_geo_loc.localization.verification.rejection import RejectionKind
from scene_geo_loc.mapping.builder import BuilderSettings, MapBuilder
from scene_geo_loc.mapping.reference_map import ReferenceMap

POSE = make_pose(cv2.Rodrigues(np.array([0.2, -0.5, 0.1]))[0], FAR_AWAY)
LIMIT_PX, BLOCK_PX = 5.0, 40.0


def fitted(
    pixels: np.ndarray, points: np.ndarray, camera: Camera, sigma: np.ndarray | None = None
) -> tuple[LensFit, Pose]:
    """The fit of matches that a camera's pose was solved from, and that pose."""
    keyframe = np.arange(len(pixels)) % 5
    matches = CameraMatches(np.eye(4), camera, pixels, points, sigma, keyframe)
    solved = refine_pnp(POSE, [matches], 10 * LIMIT_PX)
    fit = fit_lens(solved, matches, LIMIT_PX, BLOCK_PX)
    assert fit is not None
    return fit, solved


def zoomed(factor: float) -> Camera:
    return replace(CAMERA, fx=factor * CAMERA.fx, fy=factor * CAMERA.fy)


@pytest.mark.parametrize("factor", [0.87, 0.95, 1.0, 1.05, 1.15])
def test_the_focal_length_is_found_with_its_standard_deviation(factor: float) -> None:
    rng = np.random.default_rng(1)
    pixels, points = seen_points(rng, POSE, 400)
    fit, _ = fitted(pixels + rng.normal(0, 1, pixels.shape), points, zoomed(factor))
    assert fit.std < 0.015
    assert abs(np.log(fit.scale * factor)) < 3 * fit.std
    assert fit.is_other == fit.is_off == (factor != 1.0)


def test_uncertain_depth_is_taken_into_account() -> None:
    rng = np.random.default_rng(2)
    pixels, points = seen_points(rng, POSE, 400)
    sigma = 0.2 * (points - FAR_AWAY)
    off = points + rng.normal(0, 1, (400, 1)) * sigma
    fit, _ = fitted(pixels + rng.normal(0, 0.5, pixels.shape), off, CAMERA, sigma)
    assert abs(np.log(fit.scale)) < 3 * fit.std
    assert not fit.is_other


def test_but_for_the_least_one_the_stated_deviation_is_that_of_repeated_images() -> None:
    rng = np.random.default_rng(3)
    exact, points = seen_points(rng, POSE, 300)
    fits = [fitted(exact + rng.normal(0, 3, exact.shape), points, CAMERA)[0] for _ in range(40)]
    stated = np.sqrt(np.mean([fit.std**2 - LEAST_STD**2 for fit in fits]))
    assert 0.3 < np.std(np.log([fit.scale for fit in fits])) / stated < 1.5


def test_a_wall_across_the_line_of_sight_does_not_tell() -> None:
    rng = np.random.default_rng(4)
    pixels = rng.uniform((0, 0), (320, 240), (400, 2))
    points = transform(POSE, CAMERA.back_project(pixels, np.full(400, 10.0)))
    matches = CameraMatches(np.eye(4), zoomed(1.15), pixels + rng.normal(0, 0.3, pixels.shape), points)
    fit = fit_lens(refine_pnp(POSE, [matches], 10 * LIMIT_PX), matches, LIMIT_PX, BLOCK_PX)
    if fit is not None:
        assert fit.std > 0.1
        assert not fit.is_other
        assert not fit.is_off
        assert fit.doubt < 2 * OTHER_LENS


def test_a_doubtful_focal_length_widens_the_covariance_along_its_effect_on_the_pose() -> None:
    rng = np.random.default_rng(5)
    pixels, points = seen_points(rng, POSE, 400)
    fit, solved = fitted(pixels, points, zoomed(1.1))
    doubtful = replace(fit, std=0.03)
    assert 0.05 < doubtful.doubt < 1
    away = solved[:3, 3] - FAR_AWAY
    covariance = doubtful.pose_covariance[:3, :3]
    along = away / np.linalg.norm(away)
    assert along @ covariance @ along > 0.9 * np.trace(covariance)
    assert np.sqrt(np.trace(covariance)) > 0.5 * np.linalg.norm(away) * np.sqrt(doubtful.doubt)
    right, _ = fitted(pixels + rng.normal(0, 0.5, pixels.shape), points, CAMERA)
    assert np.sqrt(np.trace(right.pose_covariance[:3, :3])) < 0.01


def test_too_few_matches_ask_for_nothing() -> None:
    pixels, points = seen_points(np.random.default_rng(6), POSE, 8)
    assert fit_lens(POSE, CameraMatches(np.eye(4), CAMERA, pixels, points), LIMIT_PX, BLOCK_PX) is None


@pytest.mark.parametrize(
    ("scale", "std", "is_off", "is_other"),
    [
        (1.0, 0.01, False, False),
        (1.02, 0.001, False, False),  # as well calibrated as cameras are
        (1.035, 0.004, True, False),
        (1.06, 0.005, True, True),
        (0.94, 0.005, True, True),
        (1.2, 0.1, False, False),  # may be chance
        (1e-9, 0.001, True, True),
        (1e9, 1e9, False, False),
    ],
)
def test_doubt_follows_from_the_scale_and_its_deviation(
    scale: float, std: float, is_off: bool, is_other: bool
) -> None:
    lens = FocalScale(scale, std)
    assert (lens.is_off, lens.is_other) == (is_off, is_other)
    assert 0 <= lens.doubt <= 1


def test_the_last_images_of_a_camera_decide_and_single_wrong_ones_do_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    monitor, other = LensMonitor(images=10), zoomed(2.0)
    assert monitor.worst is None
    rng = np.random.default_rng(7)
    for i in range(20):
        scale = 1.3 if i % 5 == 4 else float(np.exp(rng.normal(0, 0.01)))
        assert monitor.add([LensEstimate(scale, 0.02, CAMERA)]) is None
    assert not caplog.records
    # The other camera of the rig was zoomed: one image is not enough where it tells little.
    with caplog.at_level(logging.WARNING):
        found = [monitor.add([LensEstimate(1.1, 0.04, other)]) for _ in range(20)]
    assert found[0] is None
    assert found[-1] is not None
    assert (found[-1].camera, round(found[-1].scale, 2)) == (other, 1.1)
    assert monitor.worst == found[-1]
    assert sum("1.10 times" in record.getMessage() for record in caplog.records) == 1
    # Zoomed back, it is right again after as many images.
    again = [monitor.add([LensEstimate(1.0, 0.04, other)]) for _ in range(10)]
    assert again[-1] is None


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Room, Localizer]:
    room = Room()
    builder = MapBuilder(
        tmp_path_factory.mktemp("lens") / "map", BuilderSettings(keyframe_distance_m=0.2), device="cpu"
    )
    for frame in room.drive():
        builder.add_frame(frame)
    return room, Localizer(ReferenceMap.open(builder.finish()), device="cpu")


@pytest.mark.parametrize("factor", [0.9, 1.15])
def test_a_pose_by_another_focal_length_is_refused(built: tuple[Room, Localizer], factor: float) -> None:
    room, localizer = built
    frame = room.frame(-2.1, 0.4, 7.0)
    assert frame.T_map_camera is not None
    right = localizer.localize(frame)
    assert right.status is Status.LOCALIZED
    assert right.cameras[0].lens is not None
    assert not right.cameras[0].lens.is_off
    camera = replace(frame.camera, fx=factor * frame.camera.fx, fy=factor * frame.camera.fy)
    wrong = localizer.localize(CameraImage(frame.image, camera))
    assert wrong.status is Status.RETRIEVED_ONLY
    assert wrong.covariance is None
    if wrong.kind is RejectionKind.OTHER_LENS:
        lens = wrong.cameras[0].lens
        assert lens is not None
        assert lens.camera == camera
        assert wrong.rejection is not None
        assert wrong.rejection.value == lens.scale == pytest.approx(1 / factor, abs=0.03)
        assert f"{lens.scale:.2f}" in wrong.reason


def test_a_session_refuses_images_that_do_not_tell_after_those_that_do(
    built: tuple[Room, Localizer], monkeypatch: pytest.MonkeyPatch
) -> None:
    room, localizer = built
    session, frame = Session(localizer), room.frame(-2.1, 0.4, 7.0)
    assert session.lens is None
    estimate = localizer.localize(frame)
    told, untold = FocalScale(1.1, 0.01), FocalScale(1.1, 0.2)

    def localize(lens: FocalScale) -> Status:
        cameras = [replace(estimate.cameras[0], lens=LensEstimate(lens.scale, lens.std, frame.camera))]
        answer = replace(estimate, cameras=cameras)
        monkeypatch.setattr(localizer, "localize", lambda *_: answer)
        return session.localize(0, frame).pose.status

    assert localize(untold) is Status.LOCALIZED
    assert localize(told) is Status.LOST
    assert localize(untold) is Status.LOST
    session.reset()  # another place, but the same lens
    assert localize(untold) is Status.LOST
    assert session.lens is not None
    assert session.lens.is_other
    assert position_error_m(estimate.T_map_camera, frame.T_map_camera) < 0.05
