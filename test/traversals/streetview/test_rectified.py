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

"""Rectified views show the directions of their camera, also across the seam and at the poles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from panorama_sets import coloured_panorama, direction_of

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.equirectangular import Equirectangular, R_panorama_view
from scene_geo_loc.traversals.streetview.panorama import PanoramaPixels
from scene_geo_loc.traversals.streetview.rectified import (
    Rectifier,
    default_view_count,
    fov_of,
    panorama_width,
    pinhole,
    rectified,
)

PINHOLE = pinhole(40, 30, 60.0)
FISHEYE = Camera(40, 30, 20.0, 20.0, 19.5, 14.5, "equidistant", (0.0, 0.0, 0.0, 0.0))
PANORAMA = PanoramaPixels(coloured_panorama(256))


@settings(max_examples=40, deadline=None)
@given(st.floats(-360, 360), st.floats(-90, 90), st.sampled_from([PINHOLE, FISHEYE]))
def test_colours_are_those_of_the_directions(heading: float, pitch: float, camera: Camera) -> None:
    R = R_panorama_view(heading, pitch)
    view = rectified(PANORAMA, camera, R)
    pixels = np.stack(np.meshgrid(np.arange(40), np.arange(30)), axis=-1).reshape(-1, 2)
    rays = camera.rays(pixels)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    assert_allclose(direction_of(view.image).reshape(-1, 3), rays @ R.T, atol=0.03)
    assert view.depth is None
    assert view.visible is None


@pytest.mark.parametrize("heading", [0.0, 90.0, 180.0, 271.0])
def test_depth_of_the_ground_is_that_of_a_plane(heading: float) -> None:
    v, u = np.mgrid[:128, :256]
    down = Equirectangular(256, 128).rays(np.stack([u, v], axis=-1))[..., 1]
    distance = np.where(down > 0.05, 2.0 / np.where(down > 0.05, down, 1), np.nan).astype(np.float32)
    R = R_panorama_view(heading, -20.0)
    view = rectified(PanoramaPixels(PANORAMA.image, distance), PINHOLE, R)
    pixels = np.stack(np.meshgrid(np.arange(40), np.arange(30)), axis=-1).reshape(-1, 2)
    points = PINHOLE.back_project(pixels, view.depth.ravel()) @ R.T
    known = np.isfinite(points).all(axis=1) & (np.linalg.norm(points, axis=1) < 12)
    assert known.sum() > 500
    assert_allclose(points[known][:, 1], 2.0, rtol=0.03)


def test_a_view_costs_its_tables_once() -> None:
    rectifier = Rectifier(PINHOLE, directions=2)
    first = rectifier.view(PANORAMA, R_panorama_view(30.0, 0.0))
    assert len(rectifier._tables) == 1
    again = rectifier.view(PANORAMA, R_panorama_view(30.0, 0.0))
    assert len(rectifier._tables) == 1
    assert np.array_equal(first.image, again.image)
    for heading in range(0, 360, 30):
        rectifier.view(PANORAMA, R_panorama_view(heading, 0.0))
    assert len(rectifier._tables) == 4


def test_views_overlap_and_panoramas_are_as_fine_as_they() -> None:
    assert fov_of(PINHOLE) == pytest.approx(60.0)
    assert default_view_count(pinhole(640, 480, 57.6)) == 10
    assert default_view_count(pinhole(640, 480, 120.0)) == 8
    narrow = pinhole(640, 480, 20.0)
    assert default_view_count(narrow) * 20.0 > 1.5 * 360
    assert 4000 < panorama_width(pinhole(640, 480, 57.6)) < 5000
    assert panorama_width(pinhole(30000, 20000, 30.0)) <= 32766
