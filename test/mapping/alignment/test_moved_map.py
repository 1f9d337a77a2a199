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

"""A map in another frame, and the command that finds it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from scene_geo_loc.cli.main import app
from scene_geo_loc.core.errors import MapError
from scene_geo_loc.geometry.datum import Datum, Georeference
from scene_geo_loc.geometry.pose import make_pose
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.mapping.alignment.moved_map import write_moved_map
from scene_geo_loc.mapping.map_info import MAP_JSON
from scene_geo_loc.mapping.reference_map import ReferenceMap

pytestmark = pytest.mark.slow

T_NEW_MAP = make_pose(np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), (10.0, -5.0, 0.0))


def test_poses_points_and_datum_move_and_the_rest_stays(room_map: Path, tmp_path: Path) -> None:
    old = ReferenceMap.open(room_map)
    old.info.georeference = Georeference(Datum(48.0, 11.0, 500.0, 30.0))
    before = (room_map / MAP_JSON).read_bytes()
    write_moved_map(old, tmp_path / "moved", T_NEW_MAP)
    new = ReferenceMap.open(tmp_path / "moved")
    new.verify()
    np.testing.assert_allclose(new.T_map_camera, T_NEW_MAP @ old.T_map_camera, atol=1e-9)
    np.testing.assert_allclose(
        Localizer(new).points_of(0), Localizer(old).points_of(0) @ T_NEW_MAP[:3, :3].T + T_NEW_MAP[:3, 3]
    )
    there = new.info.georeference.datum.geodetic_of(T_NEW_MAP[:3, 3])
    np.testing.assert_allclose(there, (48.0, 11.0, 500.0), atol=1e-6)
    assert new.info.georeference.datum.yaw_deg == pytest.approx(30.0 - 90.0, abs=1e-3)
    assert (room_map / MAP_JSON).read_bytes() == before


def test_nothing_is_overwritten(room_map: Path, tmp_path: Path) -> None:
    with pytest.raises(MapError, match="exists already"):
        write_moved_map(ReferenceMap.open(room_map), tmp_path, T_NEW_MAP)


def test_a_map_that_does_not_fit_a_grid_is_not_written(room_map: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    picture = np.where(rng.random((200, 200)) < 0.02, 0, 254).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "plan.png"), picture)
    (tmp_path / "plan.yaml").write_text(
        "image: plan.png\nresolution: 0.05\norigin: [0, 0, 0]\noccupied_thresh: 0.65\nfree_thresh: 0.25\n"
    )
    arguments = ["map", "align", room_map, tmp_path / "plan.yaml", "--out", tmp_path / "out"]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert isinstance(result.exception, MapError)
    assert not (tmp_path / "out").exists()
