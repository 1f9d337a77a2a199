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

"""Pixels of a rolling shutter are moved to where a global shutter would have seen their points."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import inverse, make_pose, transform
from scene_geo_loc.geometry.rolling_shutter import ReadoutMotion
from scene_geo_loc.geometry.rotation import matrix_of_vector

PINHOLE = Camera(320, 240, 200.0, 200.0, 159.5, 119.5)
FISHEYE = Camera(320, 240, 150.0, 150.0, 159.5, 119.5, "equidistant", (0.02, -0.01, 0.0, 0.0))
# 8 m/s forward in a curve of 16 degrees per second, over 30 ms.
MOTION = ReadoutMotion.of_twist(np.array([0.02, 0.0, 8.0, 0.01, -0.28, 0.02]), 0.03)


def points_ahead() -> NDArray[np.float64]:
    """Points (N, 3) from 4 to 30 m in front of a camera, all in the image."""
    rng = np.random.default_rng(0)
    z = rng.uniform(4, 30, 200)
    return np.stack([rng.uniform(-0.6, 0.6, 200) * z, rng.uniform(-0.45, 0.45, 200) * z, z], axis=1)


@pytest.mark.parametrize("camera", [PINHOLE, FISHEYE])
def test_a_point_is_seen_where_the_camera_is_at_the_time_of_its_row(camera: Camera) -> None:
    points = points_ahead()
    seen = MOTION.as_read(camera, points)
    rows = MOTION.rows_of(camera, camera.project(seen))
    assert rows.min() < 0.3
    assert rows.max() > 0.7
    expected = [transform(inverse(MOTION.T_image_row(row)), p) for row, p in zip(rows, points, strict=True)]
    assert np.abs(seen - expected).max() < 1e-5
    # Rows below the first one are seen from more than 0.12 m further ahead.
    assert (points[:, 2] - seen[:, 2]).max() > 0.12


@pytest.mark.parametrize("camera", [PINHOLE, FISHEYE])
def test_pixels_and_depths_of_the_rows_give_back_the_points_at_the_first_row(camera: Camera) -> None:
    points = points_ahead()
    seen = MOTION.as_read(camera, points)
    again = MOTION.at_once(camera, camera.project(seen), seen[:, 2])
    assert np.abs(again - points).max() < 1e-5


def test_where_the_depth_is_unknown_the_rotation_is_undone() -> None:
    directions = points_ahead()
    far = 1e5 * directions
    seen = MOTION.as_read(PINHOLE, far)
    again = MOTION.at_once(PINHOLE, PINHOLE.project(seen), np.full(len(far), np.nan))
    assert np.abs(PINHOLE.project(again) - PINHOLE.project(directions)).max() < 1e-3


def test_seen_from_the_middle_row_the_same_points_are_the_same() -> None:
    points = points_ahead()
    seen = MOTION.as_read(PINHOLE, points)
    T_image_middle, motion = MOTION.at_middle_row()
    again = motion.at_once(PINHOLE, PINHOLE.project(seen), seen[:, 2])
    assert T_image_middle[2, 3] == pytest.approx(0.12, abs=1e-3)
    assert np.abs(transform(T_image_middle, again) - points).max() < 1e-5


def test_a_view_that_is_turned_has_rows_across_its_image() -> None:
    turned = make_pose(matrix_of_vector(np.array([0.0, 0.0, np.pi / 2])), np.zeros(3))
    # The view's x runs along the real image's y.
    motion = MOTION.in_view(turned, (1.0, 0.0, 0.0))
    square = Camera(240, 240, 200.0, 200.0, 119.5, 119.5)
    points = points_ahead() * (0.6, 0.6, 1.0)
    seen = MOTION.as_read(square, points)
    in_view = seen @ turned[:3, :3]
    again = motion.at_once(square, square.project(in_view), in_view[:, 2])
    assert np.abs(again @ turned[:3, :3].T - points).max() < 1e-5


def test_a_cropped_camera_is_read_out_in_its_share_of_the_time() -> None:
    camera = Camera(320, 241, 200.0, 200.0, 159.5, 119.5, readout_s=0.024)
    assert camera.cropped(0, 0, 320, 121).readout_s == pytest.approx(0.012)
    assert camera.resized(160, 120).readout_s == 0.024
    assert Camera.from_dict(camera.to_dict()) == camera
    assert "readout_s" not in PINHOLE.to_dict()
    with pytest.raises(ValueError, match=r"0\.2 s"):
        Camera(320, 240, 200.0, 200.0, 159.5, 119.5, readout_s=30.0)
