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

"""Panoramas become views with pose, camera and depth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from panorama_sets import (
    ALTITUDE,
    LATITUDE,
    LONGITUDE,
    direction_of,
)

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.traversals.opening import format_of, open_traversal
from scene_geo_loc.traversals.satellite import georeference_of


def test_views_show_the_directions_that_their_poses_say(street: Path) -> None:
    assert format_of(street) == "streetview"
    traversal = open_traversal(street, view_camera="80x60@57.6")
    frames = list(traversal.frames())
    assert len(frames) == len(traversal) == 30
    stamps = [frame.stamp_ns for frame in frames]
    assert stamps == sorted(set(stamps))
    assert [frame.name for frame in frames[:3]] == ["images/0.png@90", "images/0.png@126", "images/0.png@162"]
    R_map_panorama = frames[0].T_map_camera[:3, :3]
    for frame in frames:
        pixels = np.stack(np.meshgrid(np.arange(80), np.arange(60)), axis=-1).reshape(-1, 2)
        rays = frame.camera.rays(pixels)
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        seen = direction_of(frame.image).reshape(-1, 3) @ R_map_panorama.T
        assert_allclose(seen, rays @ frame.T_map_camera[:3, :3].T, atol=0.02)


def test_panoramas_stand_in_local_axes_at_the_first_one(street: Path) -> None:
    traversal = open_traversal(street, views=1)
    datum = georeference_of(traversal).datum
    assert (datum.latitude_deg, datum.longitude_deg, datum.altitude_m) == (LATITUDE, LONGITUDE, ALTITUDE)
    poses = np.array([frame.T_map_camera for frame in traversal.frames()])
    assert_allclose(poses[:, :3, 3], [[0, 0, 0], [0, 10, 0], [0, 20, 0]], atol=0.02)
    # The centre column looks east: x of the camera is south, y down.
    assert_allclose(poses[0, :3, :3], [[0, 0, 1], [-1, 0, 0], [0, -1, 0]], atol=1e-9)


def test_distances_along_rays_become_depth_along_the_axis(street: Path) -> None:
    frame = next(open_traversal(street, views=1, view_camera="640x480@90").frames())
    assert frame.depth.shape == (480, 640)
    assert_allclose(frame.depth[240, 320], 5.0, atol=0.01)
    corner = frame.camera.rays(np.array([[639, 479]]))
    assert_allclose(frame.depth[479, 639], 5.0 / np.linalg.norm(corner), atol=0.01)
    assert np.isfinite(frame.depth).all()
    up = next(open_traversal(street, views=1, view_pitch=90).frames())
    assert np.isnan(up.depth).all()


def test_a_part_of_the_views_can_be_taken(street: Path) -> None:
    names = [frame.name for frame in open_traversal(street, views=8, every=12).frames()]
    assert names == ["images/0.png@90", "images/1.png@270"]


@pytest.mark.parametrize("camera", ["640x480", "640x480@0", "0x480@60", "ten", "640x480@nan"])
def test_a_view_camera_that_is_none_is_refused(street: Path, camera: str) -> None:
    with pytest.raises(TraversalError, match="is no camera of views"):
        open_traversal(street, view_camera=camera)
