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

"""Images of other lenses than the map's, such as a fisheye, are localized in the map of a pinhole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from room import Room

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import make_pose, position_error_m, rotation_error_deg
from scene_geo_loc.geometry.rotation import matrix_of_vector
from scene_geo_loc.localization.estimate import LocalizerSettings, Status
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.pnp import CameraMatches, ideal_pixels, refine_pnp, shrinking_of
from scene_geo_loc.mapping.reference_map import ReferenceMap

FISHEYE = Camera(320, 240, 145.0, 145.0, 159.5, 119.5, "equidistant", (0.02, -0.005, 0.0, 0.0))
"""126 degrees across; the camera of the room's map has 67."""
RATIONAL = Camera(
    240, 180, 150.0, 150.0, 119.5, 89.5, "rational_polynomial", (0.1, 0.01, 5e-4, -3e-4, 0.0, 0.45, 0.05, 0.0)
)


@pytest.mark.parametrize("camera", [FISHEYE, RATIONAL], ids=["fisheye", "rational"])
def test_an_image_of_another_lens_is_localized_in_the_map_of_a_pinhole(
    camera: Camera, room_map: Path
) -> None:
    localizer = Localizer(ReferenceMap.open(room_map), LocalizerSettings(second_look_share=0), device="cpu")
    room = Room()
    room.camera = camera
    for x, y, heading in ((-2.2, 0.1, 3.0), (-0.5, -0.3, -4.0)):
        frame = room.frame(x, y, heading)
        assert frame.T_map_camera is not None
        estimate = localizer.localize(frame)
        assert estimate.status is Status.LOCALIZED
        assert estimate.T_map_base is not None
        assert position_error_m(frame.T_map_camera, estimate.T_map_base) < 0.1
        assert rotation_error_deg(frame.T_map_camera, estimate.T_map_base) < 1.0


def test_an_error_counts_in_pixels_of_the_fisheye_and_not_of_the_pinhole_that_it_is_straightened_to() -> None:
    camera, rng = FISHEYE, np.random.default_rng(0)
    tangent, turn = rng.uniform(0.0, 2.0, 200), rng.uniform(0, 2 * np.pi, 200)
    depth = rng.uniform(2, 20, 200)
    points = depth[:, None] * np.stack([tangent * np.cos(turn), tangent * np.sin(turn), np.ones(200)], axis=1)
    true = camera.project(points)
    seen = np.all((true >= 0) & (true < (camera.width, camera.height)), axis=1)
    points, true = points[seen], true[seen]
    ideal = ideal_pixels(camera, true)
    for step in ((1e-3, 0.0), (0.0, 1e-3)):
        shifts = np.linalg.norm(camera.project(_points(camera, ideal + step)) - true, axis=1) / 1e-3
        shrinking = shrinking_of(camera, ideal)
        assert shrinking is not None
        # The geometric mean of the shifts along the radius and across it lies between them.
        assert np.median(shifts / shrinking) == pytest.approx(1.0, abs=0.1)
    assert shrinking_of(RATIONAL, ideal) is None
    with_it, without = list[float](), list[float]()
    for _ in range(20):
        pixels = ideal_pixels(camera, true + rng.normal(0, 1.0, true.shape))
        matches = CameraMatches(np.eye(4), camera, pixels, points, shrinking=shrinking_of(camera, pixels))
        start = make_pose(matrix_of_vector(rng.normal(0, 0.01, 3)), rng.normal(0, 0.1, 3))
        for found, given in ((with_it, matches), (without, replace(matches, shrinking=None))):
            found.append(float(position_error_m(np.eye(4), refine_pnp(start, [given], 8.0))))
    assert np.mean(with_it) < np.mean(without)


def _points(camera: Camera, ideal: np.ndarray) -> np.ndarray:
    """Points (N, 3) at a depth of 1 m at ideal pixels (N, 2)."""
    return np.column_stack([(ideal - (camera.cx, camera.cy)) / (camera.fx, camera.fy), np.ones(len(ideal))])
