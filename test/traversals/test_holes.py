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
"""Holes in images: how they are filled, and which pixels are too near to one."""

from __future__ import annotations

import numpy as np

from scene_geo_loc.traversals.holes import HOLE_MARGIN, away_from_holes, without_holes


def a_ramp(height: int = 60, width: int = 80) -> np.ndarray:
    """A picture that grows brighter to the right and greener to the bottom."""
    y, x = np.mgrid[:height, :width]
    return np.stack([2 * x + 20, 3 * y + 10, np.full_like(x, 90)], axis=2).astype(np.uint8)


def a_hole(*box: slice, shape: tuple[int, int] = (60, 80)) -> np.ndarray:
    visible = np.ones(shape, bool)
    visible[box] = False
    return visible


def test_a_hole_goes_on_smoothly_from_its_surroundings_and_the_rest_is_kept() -> None:
    image, visible = a_ramp(), a_hole(slice(20, 40), slice(30, 60))
    black = np.where(visible[..., None], image, np.uint8(0))
    filled = without_holes(black, visible)
    np.testing.assert_array_equal(filled[visible], image[visible])
    error = np.abs(filled[~visible].astype(int) - image[~visible])
    assert error.max() < 30  # of 0 to 255; black would be wrong by 180
    steps = np.abs(np.diff(filled.astype(int), axis=1)).max()
    assert steps < 30


def test_what_a_hole_holds_does_not_matter() -> None:
    visible = a_hole(slice(0, 35), slice(0, 20))
    noise = np.random.default_rng(0).integers(0, 256, a_ramp().shape, np.uint8)
    spoilt = np.where(visible[..., None], a_ramp(), noise)
    np.testing.assert_array_equal(without_holes(spoilt, visible), without_holes(a_ramp(), visible))


def test_an_image_without_holes_is_the_same_and_one_of_holes_alone_is_black() -> None:
    image = a_ramp()
    assert without_holes(image, np.ones(image.shape[:2], bool)) is image
    assert not without_holes(image, np.zeros(image.shape[:2], bool)).any()


def test_pixels_near_a_hole_are_left_out_and_those_at_the_border_are_not() -> None:
    reach = round(HOLE_MARGIN * 640)
    away = away_from_holes(a_hole(slice(100, 101), slice(200, 201), shape=(480, 640)))
    expected = a_hole(slice(100 - reach, 101 + reach), slice(200 - reach, 201 + reach), shape=(480, 640))
    np.testing.assert_array_equal(away, expected)
