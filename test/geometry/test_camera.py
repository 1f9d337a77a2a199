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

"""Cameras: projection with known results, and its inverse for every distortion model."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scene_geo_loc.geometry.camera import Camera

LENSES = {
    "none": (),
    "plumb_bob": (-0.28, 0.07, 0.001, -0.0005, 0.01),
    "rational_polynomial": (0.6, -0.1, 0.0002, -0.0001, 0.02, 0.9, -0.02, 0.01),
    "equidistant": (0.02, -0.01, 0.003, -0.001),
}


def camera(model: str = "none") -> Camera:
    return Camera(640, 480, 500.0, 510.0, 322.0, 236.0, model, LENSES[model])


def test_a_point_on_the_axis_is_seen_at_the_principal_point() -> None:
    np.testing.assert_allclose(camera().project(np.array([[0.0, 0, 7]])), [[322, 236]])


def test_a_metre_to_the_right_at_ten_metres_is_a_tenth_of_the_focal_length_away() -> None:
    np.testing.assert_allclose(camera().project(np.array([[1.0, 0, 10]])), [[372, 236]])


def test_points_behind_the_camera_have_no_pixel() -> None:
    assert np.isnan(camera().project(np.array([[0.0, 0, -1], [1, 1, 0]]))).all()


@pytest.mark.parametrize("model", LENSES)
@given(pixel=st.tuples(st.floats(40, 600), st.floats(40, 440)), depth=st.floats(0.1, 200))
def test_back_projection_undoes_projection(model: str, pixel: tuple, depth: float) -> None:
    lens = camera(model)
    point = lens.back_project(np.array([pixel]), np.array([depth]))
    assert point[0, 2] == pytest.approx(depth)
    np.testing.assert_allclose(lens.project(point), [pixel], atol=1e-3)


@pytest.mark.parametrize("model", LENSES)
def test_no_pixels_give_no_rays(model: str) -> None:
    assert camera(model).rays(np.zeros((0, 2))).shape == (0, 3)


def test_resizing_keeps_pixel_centres_in_place() -> None:
    half = camera().resized(320, 240)
    # The centre of a 2x2 block of pixels is the centre of the pixel that it becomes.
    point = camera().back_project(np.array([[100.5, 60.5]]), np.array([5.0]))
    np.testing.assert_allclose(half.project(point), [[50, 30]])


def test_cropping_moves_the_origin() -> None:
    point = np.array([[0.3, -0.2, 2.0]])
    cropped = camera("plumb_bob").cropped(30, 20, 400, 300)
    np.testing.assert_allclose(cropped.project(point), camera("plumb_bob").project(point) - (30, 20))
    assert (cropped.width, cropped.height) == (400, 300)


@pytest.mark.parametrize("model", LENSES)
def test_a_camera_round_trips_through_plain_values(model: str) -> None:
    assert Camera.from_dict(camera(model).to_dict()) == camera(model)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"model": "wide"}, "unknown distortion model"),
        ({"distortion": (1.0, 2.0)}, "coefficients"),
        ({"fx": 0.0}, "positive"),
        ({"cx": float("nan")}, "finite"),
        ({"width": 0}, "positive"),
    ],
)
def test_numbers_that_are_no_camera_are_refused(change: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Camera.from_dict({**camera().to_dict(), **change})
