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

"""`scene-geo-loc depth`: depth maps from a bag with lidar, and their errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from drive import T_BASE_LIDAR, base_at, stamp, write_drive
from typer.testing import CliRunner

from scene_geo_loc.cli.main import app
from scene_geo_loc.core.errors import SceneGeoLocError, TraversalError
from scene_geo_loc.depth.depth_maps import DepthMaps
from scene_geo_loc.traversals.rosbag.writer import BagWriter

pytestmark = pytest.mark.slow


def run(*arguments: object) -> str:
    return CliRunner().invoke(app, ["depth", *map(str, arguments)], catch_exceptions=False).output


def wall_ahead(bag: BagWriter, number: int) -> None:
    """A wall at x = 30 m in the map, seen from the lidar where the vehicle is."""
    y, z = np.meshgrid(np.linspace(-12, 12, 120), np.linspace(-8, 10, 90))
    points = np.stack([np.full(y.size, 30.0), y.ravel(), z.ravel(), np.ones(y.size)], axis=1)
    in_lidar = points @ np.linalg.inv(base_at(number) @ T_BASE_LIDAR).T
    bag.points("/lidar/points", stamp(number), "lidar_link", in_lidar[:, :3].astype(np.float32))


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_drive(
        tmp_path_factory.mktemp("bags") / "bag", images=range(4), odometry=True, depth=True, extra=wall_ahead
    )


def test_a_bag_becomes_depth_maps(bag: Path, tmp_path: Path) -> None:
    shown = run("make", bag, tmp_path / "maps", "--workers", 1)
    maps = DepthMaps.load(tmp_path / "maps")
    assert f"{len(maps)} depth maps, {len(maps)} of them new" in shown
    assert len(maps) == 4
    # The camera is 1.5 m ahead of the vehicle, and the wall 30 m ahead of where it starts.
    assert np.nanmedian(maps.depth(0)) == pytest.approx(28.5, abs=0.1)
    assert "4 depth maps, 0 of them new" in run("make", bag, tmp_path / "maps", "--workers", 1)


def test_a_window_can_be_given(bag: Path, tmp_path: Path) -> None:
    run("make", bag, tmp_path / "maps", "--workers", 1, "--before", 0, "--after", 0.5)
    index = json.loads((tmp_path / "maps" / "index.json").read_text())
    assert (index["window"]["before_s"], index["window"]["after_s"]) == (0.0, 0.5)


def test_evaluation_prints_a_table_and_writes_numbers_and_pictures(bag: Path, tmp_path: Path) -> None:
    shown = run("evaluate", bag, "--json", tmp_path / "d.json", "--report", tmp_path / "pictures")
    for words in (
        "held-out points",
        "blocks of points",
        "true depth",
        "nearest point",
        "linear",
        "ours",
        "4 depth maps",
    ):
        assert words in shown
    numbers = json.loads((tmp_path / "d.json").read_text())
    assert numbers["maps"] == 4
    assert numbers["errors"]["points"]["ours"]["abs_rel"] < 0.01
    assert len(list((tmp_path / "pictures").glob("*.jpg"))) == 4


def test_a_source_without_lidar_is_one_error(tmp_path: Path) -> None:
    bag = write_drive(tmp_path / "bag", images=range(2), depth=True)
    with pytest.raises(TraversalError, match="no lidar scans"):
        run("make", bag, tmp_path / "maps")
    with pytest.raises(TraversalError, match="no lidar scans"):
        run("evaluate", bag)
    assert not (tmp_path / "maps").exists()


def test_an_output_that_is_a_file_is_one_error(bag: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SceneGeoLocError, match="cannot be written"):
        run("make", bag, tmp_path / "file", "--workers", 1)
