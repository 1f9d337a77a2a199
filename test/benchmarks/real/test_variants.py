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

"""Frames that are rolled or seen through a longer lens: image, camera, pose and depth stay consistent."""

from __future__ import annotations

import numpy as np
import pytest
from room import Room

from scene_geo_loc.benchmarks.real.variants import ZOOM, Rolled, zoomed
from scene_geo_loc.geometry.pose import inverse, rotation_error_deg, transform


@pytest.mark.parametrize("degrees", [15.0, 30.0, -40.0])
def test_a_point_of_the_map_has_the_same_colour_in_a_rolled_frame(room: Room, degrees: float) -> None:
    frame = room.frame(0.5, -0.3, 20.0)
    rolled = Rolled(degrees)(frame)
    assert rotation_error_deg(frame.T_map_camera, rolled.T_map_camera) == pytest.approx(abs(degrees))
    np.testing.assert_array_equal(rolled.T_map_camera[:3, 3], frame.T_map_camera[:3, 3])
    # The same view, rendered at the rolled pose.
    rendered = room.view(rolled.T_map_camera)
    inside = rolled.image.any(axis=2)
    assert inside.mean() > 0.6
    off = np.abs(rolled.image.astype(int) - rendered.image)[inside]
    assert np.median(off) < 3  # edges differ by their interpolation
    assert rolled.depth is None


def test_a_point_of_the_map_is_at_the_same_place_through_a_longer_lens(room: Room) -> None:
    frame = room.frame(0.5, -0.3, 20.0)
    long = zoomed(frame)
    assert long.image.shape == frame.image.shape
    assert long.camera.fx == pytest.approx(ZOOM * frame.camera.fx)
    points = frame.camera.back_project(np.array([[80.0, 60.0], [60.0, 50.0]]), np.array([2.0, 3.0]))
    in_map = transform(frame.T_map_camera, points)
    pixels = long.camera.project(transform(inverse(long.T_map_camera), in_map))
    x, y = np.round(pixels).astype(int).T
    near = frame.image[[60, 50], [80, 60]].astype(int)
    assert np.abs(long.image[y, x].astype(int) - near).max() < 40
    np.testing.assert_allclose(long.depth[y, x], frame.depth[[60, 50], [80, 60]], atol=0.1)
