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

"""Pixels and directions of panoramas, and their orientation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from scene_geo_loc.geometry.equirectangular import (
    Equirectangular,
    R_enu_panorama,
    R_panorama_view,
    heading_of,
)

SIZES = st.integers(2, 20_000).map(lambda half: Equirectangular(2 * half, half))
UNIT = st.floats(0, 1)


@given(SIZES, UNIT, UNIT)
def test_a_pixel_is_found_again_by_its_ray(panorama: Equirectangular, across: float, down: float) -> None:
    # At a pole all columns are the same direction.
    pixel = np.array([across * (panorama.width - 1), down * (panorama.height - 1)])
    ray = panorama.rays(pixel)
    assert_allclose(np.linalg.norm(ray), 1, atol=1e-12)
    assert_allclose(panorama.project(3.5 * ray), pixel, atol=1e-5 * panorama.width)
    assert_allclose(panorama.rays(panorama.project(ray)), ray, atol=1e-12)


def test_the_centre_looks_forward_and_the_edges_behind() -> None:
    panorama = Equirectangular(800, 400)
    directions = [[0, 0, 1], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]]
    pixels = panorama.project(directions)
    assert_allclose(pixels[:3], [[399.5, 199.5], [599.5, 199.5], [199.5, 199.5]])
    assert_allclose(pixels[3:, 1], [399.5, -0.5])
    left, right = panorama.project([[-1e-9, 0, -1], [1e-9, 0, -1]])
    assert_allclose([left[0], right[0]], [-0.5, 799.5], atol=1e-4)
    assert np.isnan(panorama.project([0.0, 0.0, 0.0])).all()


@pytest.mark.parametrize("size", [(0, 1), (2, 0), (-2, 1)])
def test_a_panorama_has_pixels(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="no pixels"):
        Equirectangular(*size)


def test_heading_turns_clockwise_pitch_looks_up_and_roll_lowers_the_right_side() -> None:
    R = R_enu_panorama([0, 90, 0, 0], [0, 0, 30, 0], [0, 0, 0, 30])
    assert_allclose(R[0], [[1, 0, 0], [0, 0, 1], [0, -1, 0]], atol=1e-12)
    assert_allclose(R[1] @ [0, 0, 1], [1, 0, 0], atol=1e-12)
    assert_allclose(R[2] @ [0, 0, 1], [0, np.cos(np.pi / 6), 0.5], atol=1e-12)
    assert_allclose(R[3] @ [1, 0, 0], [np.cos(np.pi / 6), 0, -0.5], atol=1e-12)
    assert_allclose(R_panorama_view(90, 0) @ [0, 0, 1], [1, 0, 0], atol=1e-12)
    assert_allclose(R_panorama_view(0, 30) @ [0, 0, 1], [0, -0.5, np.cos(np.pi / 6)], atol=1e-12)


@given(st.floats(0, 359), st.floats(0, 359))
def test_a_view_of_a_level_panorama_has_the_sum_of_the_headings(panorama: float, view: float) -> None:
    found = heading_of(R_enu_panorama(panorama) @ R_panorama_view(view, 10.0))
    assert abs((found - panorama - view + 180) % 360 - 180) < 1e-9
