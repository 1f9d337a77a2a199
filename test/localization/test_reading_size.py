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

"""Images of another camera than the map's: the size that they are read at, and that poses are right."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
from room import Room

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import inverse, position_error_m, rotation_error_deg, transform
from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.query import CameraImage
from scene_geo_loc.localization.reading_size import ReadingSize, reading_size, resized_pixels
from scene_geo_loc.mapping.builder import BuilderSettings, MapBuilder
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.matchers.base import Matcher
from scene_geo_loc.matchers.encoder import EncoderMatcher
from scene_geo_loc.matchers.sift import SiftMatcher
from scene_geo_loc.networks.default import default_network
from scene_geo_loc.networks.inference_network import InferenceNetwork
from scene_geo_loc.traversals.frame import Frame

MAP_CAMERA = Camera(640, 480, 600.0, 600.0, 319.5, 239.5)
USUAL = (320, 256)


@pytest.fixture(scope="module")
def network() -> InferenceNetwork:
    return default_network()[0].with_input_size(*USUAL)


def lens(factor: float) -> Camera:
    return replace(MAP_CAMERA, fx=600 * factor, fy=600 * factor)


@pytest.mark.parametrize("factor", [1 / 1.1, 0.95, 1.0, 1.05, 1.1])
def test_images_through_nearly_the_same_lens_are_read_as_the_map_s(
    network: InferenceNetwork, factor: float
) -> None:
    assert reading_size(lens(factor), [MAP_CAMERA], network) == ReadingSize(USUAL)


def test_so_are_those_of_the_same_lens_with_more_pixels(network: InferenceNetwork) -> None:
    assert reading_size(MAP_CAMERA.resized(1280, 960), [MAP_CAMERA], network) == ReadingSize(USUAL)


@pytest.mark.parametrize(
    ("factor", "input_size"),
    [(0.1, (448, 352)), (0.5, (448, 352)), (0.75, (448, 352)), (1.3, (256, 192)), (2.0, (192, 160))],
)
def test_images_of_a_wider_lens_are_read_larger_and_of_a_longer_one_smaller(
    network: InferenceNetwork, factor: float, input_size: tuple[int, int]
) -> None:
    size = reading_size(lens(factor), [MAP_CAMERA], network)
    assert size.input_size == input_size
    assert size.wider == pytest.approx(1 / factor)


def test_the_most_similar_camera_of_a_map_counts(network: InferenceNetwork) -> None:
    assert reading_size(lens(0.5), [MAP_CAMERA, lens(0.52)], network) == ReadingSize(USUAL)


def test_each_side_has_a_size_of_its_own(network: InferenceNetwork) -> None:
    """A wide image of the same height sees more to the sides only."""
    wide = Camera(1280, 480, 600.0, 600.0, 639.5, 239.5)
    size = reading_size(wide, [MAP_CAMERA], network)
    assert size.input_size == (448, 256)
    assert size.wider == pytest.approx(2**0.5)


def test_the_sentence_has_the_numbers(network: InferenceNetwork) -> None:
    for factor, numbers in ((0.5, ("2.0", "448x352", "320x256")), (2.0, ("2.0", "192x160", "320x256"))):
        camera = lens(factor)
        sentence = reading_size(camera, [MAP_CAMERA], network).describe(camera, USUAL)
        assert all(number in sentence for number in (*numbers, "640x480"))


def test_pixels_are_resized_about_the_corner_of_the_image() -> None:
    pixels = np.array([[-0.5, -0.5], [319.5, 239.5]])
    np.testing.assert_allclose(resized_pixels(pixels, (320, 240), (160, 480)), [[-0.5, -0.5], [159.5, 479.5]])
    assert resized_pixels(pixels, (320, 240), (320, 240)) is pixels


def with_camera(camera: Camera, seed: int = 0) -> Room:
    room = Room(seed)
    room.camera = camera
    return room


@pytest.fixture(scope="module")
def localizer(tmp_path_factory: pytest.TempPathFactory) -> Localizer:
    """In a map of keypoints, as features of cells need the map's input size."""
    room = with_camera(Camera(320, 240, 240.0, 240.0, 159.5, 119.5))
    settings = BuilderSettings(keyframe_distance_m=0.2, matcher="xfeat")
    builder = MapBuilder(tmp_path_factory.mktemp("lenses") / "map", settings, device="cpu")
    for frame in room.drive():
        builder.add_frame(frame)
    return Localizer(ReferenceMap.open(builder.finish()), device="cpu")


def taken_with(camera: Camera, seed: int = 0) -> Frame:
    """A view from beside the mapped line."""
    return with_camera(camera, seed).frame(-2.1, 0.4, 7.0)


WIDE, LONG = (Camera(320, 240, focal, focal, 159.5, 119.5) for focal in (120.0, 480.0))


@pytest.mark.slow
@pytest.mark.parametrize("camera", [WIDE, LONG], ids=["half", "twice"])
def test_a_camera_of_another_focal_length_is_localized(
    localizer: Localizer, camera: Camera, caplog: pytest.LogCaptureFixture
) -> None:
    frame = taken_with(camera)
    with caplog.at_level(logging.INFO, logger="scene_geo_loc"):
        estimate = localizer.localize(frame)
        localizer.localize(frame)
    assert sum("2.0 times" in record.getMessage() for record in caplog.records) == 1
    assert estimate.status is Status.LOCALIZED, estimate.reason
    assert position_error_m(frame.T_map_camera, estimate.T_map_camera) < 0.15
    assert rotation_error_deg(frame.T_map_camera, estimate.T_map_camera) < 1.5
    matches = estimate.matches
    seen = transform(inverse(frame.T_map_camera), matches.points_map[matches.inlier])
    away = np.linalg.norm(camera.project(seen) - matches.query_pixels[matches.inlier], axis=1)
    assert np.median(away) < 4


@pytest.mark.parametrize("matcher", [EncoderMatcher, SiftMatcher])
def test_some_matchers_read_images_of_all_lenses_alike(matcher: type[Matcher]) -> None:
    assert not matcher.is_resizable


@pytest.mark.slow
def test_a_rig_of_two_lenses_is_localized(localizer: Localizer) -> None:
    wide, long = taken_with(WIDE), taken_with(LONG)
    estimate = localizer.localize([CameraImage(frame.image, frame.camera) for frame in (wide, long)])
    assert estimate.status is Status.LOCALIZED, estimate.reason
    assert position_error_m(wide.T_map_camera, estimate.T_map_base) < 0.1
    assert rotation_error_deg(wide.T_map_camera, estimate.T_map_base) < 1


@pytest.mark.slow
@pytest.mark.parametrize("camera", [WIDE, LONG], ids=["half", "twice"])
def test_another_place_is_not_accepted_through_another_lens(localizer: Localizer, camera: Camera) -> None:
    assert localizer.localize(taken_with(camera, seed=5)).status is not Status.LOCALIZED
