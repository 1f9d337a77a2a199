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

"""Depth maps as another camera would have measured them."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import make_pose
from scene_geo_loc.geometry.registration import register_depth

DEPTH = Camera(640, 480, 585.0, 585.0, 320.0, 240.0)
COLOR = Camera(640, 480, 525.0, 525.0, 320.0, 240.0)
BESIDE = make_pose(np.eye(3), [0.025, 0.0, 0.0])


def test_of_two_points_on_one_pixel_the_nearer_stays() -> None:
    depth = np.full((480, 640), np.nan, np.float32)
    # 320 + 525 * (15 / 585 / 1 m * 1 m - 0.025 m) / 1 m = 320.3, 320 + 525 * (7 / 585 - 0.025 / 2) = 319.7
    depth[240, 335], depth[240, 327] = 1.0, 2.0
    registered = register_depth(depth, DEPTH, COLOR, BESIDE)
    assert np.argwhere(np.isfinite(registered)).tolist() == [[240, 320]]
    assert registered[240, 320] == 1.0


def test_depth_is_measured_along_the_axis_of_the_camera_that_sees_it() -> None:
    depth = np.full((480, 640), np.nan, np.float32)
    depth[240, 320] = 3.0
    registered = register_depth(depth, DEPTH, COLOR, make_pose(np.eye(3), [0.0, 0.0, -0.5]))
    assert registered[240, 320] == 3.5


def test_coarser_pixels_leave_no_gaps_within_what_was_measured() -> None:
    registered = register_depth(np.full((480, 640), 2.0, np.float32), DEPTH, COLOR, BESIDE)
    known = np.isfinite(registered)
    rows, columns = np.flatnonzero(known.any(axis=1)), np.flatnonzero(known.any(axis=0))
    assert known[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    # The edges of the view, 320 and 319 pixels from the centre, seen from 25 mm to the right.
    assert (columns[0], columns[-1]) == (26, 600)


def test_what_falls_outside_the_image_is_left_out() -> None:
    registered = register_depth(
        np.full((480, 640), 2.0, np.float32), DEPTH, COLOR, make_pose(np.eye(3), [5.0, 0.0, 0.0])
    )
    assert np.isnan(registered).all()


@settings(max_examples=20, deadline=None)
@given(arrays(np.float32, (6, 8), elements=st.floats(0.25, 64, width=32) | st.just(np.nan)))
def test_registered_to_the_camera_that_measured_it_a_depth_map_stays_as_it_is(depth: Any) -> None:
    camera = Camera(8, 6, 7.0, 9.0, 3.5, 2.5)
    np.testing.assert_allclose(register_depth(depth, camera, camera, np.eye(4)), depth, rtol=1e-6)
