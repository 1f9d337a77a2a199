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

"""`scene-geo-loc map georeference` with a drive whose images are localized in the map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from geo_bags import DATUM, write_fix
from room import Room, write_rgbd
from typer.testing import CliRunner

from scene_geo_loc.cli.main import app
from scene_geo_loc.core.errors import GeodesyError
from scene_geo_loc.geometry.pose import OPTICAL_FROM_BODY, inverse, make_pose
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.traversals.rosbag.writer import BagWriter

pytestmark = pytest.mark.slow

T_BASE_CAMERA = make_pose(OPTICAL_FROM_BODY.T, (0.3, 0.0, 0.5))


def run(*arguments: object) -> str:
    return CliRunner().invoke(app, ["map", *map(str, arguments)], catch_exceptions=False).output


def record(path: Path, room: Room, *, with_fixes: bool) -> Path:
    """A bag beside the frames of the map, without poses; the antenna is at base_link."""
    frames = room.drive(12, offset_y=0.15)
    with BagWriter(path) as bag:
        bag.static_transforms(frames[0].stamp_ns, {("base_link", "camera_optical_frame"): T_BASE_CAMERA})
        for i, frame in enumerate(frames):
            bag.camera_info("/camera/camera_info", frame.stamp_ns, "camera_optical_frame", frame.camera)
            bag.image("/camera/image_raw", frame.stamp_ns, "camera_optical_frame", frame.image)
            if with_fixes and frame.T_map_camera is not None:
                error = np.random.default_rng(i).normal(0, 0.01, 3)
                write_fix(bag, frame.stamp_ns, frame.T_map_camera @ inverse(T_BASE_CAMERA), error=error)
    return path


def test_a_drive_with_gps_places_an_existing_map_on_the_earth(tmp_path: Path) -> None:
    room = Room()
    run("build", write_rgbd(tmp_path / "room", room, 0.0, 12), tmp_path / "map", "--device", "cpu")
    assert "unknown" in run("info", tmp_path / "map")
    with pytest.raises(GeodesyError, match="has no satellite positions"):
        run("georeference", tmp_path / "map", record(tmp_path / "plain", room, with_fixes=False))
    drive = record(tmp_path / "drive", room, with_fixes=True)
    shown = run("georeference", tmp_path / "map", drive, "--device", "cpu")
    assert "of 12 frames localized" in shown
    found = ReferenceMap.open(tmp_path / "map").georeference
    assert found.source == "/gps/fix"
    assert found.datum.yaw_deg == pytest.approx(DATUM.yaw_deg, abs=1.0)
    inside = np.array([[-4.0, 0.0, 0.0], [2.0, 0.0, 0.0]])
    off = found.datum.map_of(DATUM.geodetic_of(inside)) - inside
    assert np.linalg.norm(off, axis=1).max() < 0.1
