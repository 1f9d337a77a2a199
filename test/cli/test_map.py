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

"""`scene-geo-loc map`: building, showing and verifying maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drive import base_at, stamp, write_drive
from geo_bags import DATUM, write_fix
from room import Room, write_rgbd
from small_graphs import write_corners, write_descriptor, write_pairs
from typer.testing import CliRunner

from scene_geo_loc.cli.main import app
from scene_geo_loc.core.errors import GeodesyError, MapError, SceneGeoLocError, TraversalError
from scene_geo_loc.geometry.datum import Datum, Georeference
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.traversals.rosbag.writer import BagWriter

pytestmark = pytest.mark.slow


def run(*arguments: object) -> str:
    return CliRunner().invoke(app, ["map", *map(str, arguments)], catch_exceptions=False).output


def test_a_bag_becomes_a_map_that_can_be_looked_into_and_verified(tmp_path: Path) -> None:
    bag = write_drive(tmp_path / "bag", depth=True)
    shown = run("build", bag, tmp_path / "map", "--keyframe-distance", 1.5, "--device", "cpu")
    opened = ReferenceMap.open(tmp_path / "map")
    assert f"{len(opened)} keyframes from 10 frames" in shown
    assert 1 < len(opened) < 10
    assert opened.info.settings["keyframe_distance_m"] == 1.5
    described = run("info", tmp_path / "map")
    assert f"{len(opened)} sensor" in described
    assert "64x48 plumb_bob" in described
    for text in (shown, described):
        assert (
            "/ground_truth/pose (geometry_msgs/msg/PoseStamped; 10 messages; poses of base_link in map"
            in text
        )
        assert "map -> base_link -> camera_optical_frame" in text
    assert {source.role: source.name for source in opened.info.sources} == {
        "images": "/camera/image_raw",
        "camera_info": "/camera/camera_info",
        "poses": "/ground_truth/pose",
        "depth": "/camera/depth/image_raw",
        "lidar": "",
        "odometry": "",
    }
    assert "match their checksums" in run("verify", tmp_path / "map")


def test_a_part_of_a_source_can_be_mapped(tmp_path: Path) -> None:
    bag = write_drive(tmp_path / "bag", depth=True)
    run("build", bag, tmp_path / "map", "--keyframe-distance", 0, "--every", 2, "--device", "cpu")
    assert len(ReferenceMap.open(tmp_path / "map")) == 5


def test_keyframes_without_depth_are_told(tmp_path: Path) -> None:
    bag = write_drive(tmp_path / "bag")
    assert "have no depth" in run("build", bag, tmp_path / "map", "--device", "cpu")


def test_a_source_without_poses_makes_no_map(tmp_path: Path) -> None:
    bag = write_drive(tmp_path / "bag", truth=False)
    with pytest.raises((TraversalError, MapError), match="pose"):
        run("build", bag, tmp_path / "map", "--device", "cpu")
    assert not (tmp_path / "map").exists()


def test_looking_into_what_is_no_map_is_an_error(tmp_path: Path) -> None:
    for command in ("info", "verify"):
        with pytest.raises(MapError, match="no reference map"):
            run(command, tmp_path)


def test_a_map_is_built_with_a_user_s_networks_which_its_info_names(room: Room, tmp_path: Path) -> None:
    source = write_rgbd(tmp_path / "source", room, 0.0)
    files = {
        "--descriptor": write_descriptor(tmp_path),
        "--local-features": write_corners(tmp_path),
        "--matcher": write_pairs(tmp_path),
    }
    options = [argument for option in files.items() for argument in option]
    run("build", source, tmp_path / "map", "--keyframe-distance", 0.2, "--device", "cpu", *options)
    shown = run("info", tmp_path / "map")
    networks = ReferenceMap.open(tmp_path / "map").info.user_networks
    assert len(networks) == 3
    for network in networks.values():
        assert network.file in shown
        assert network.sha256[:16] in shown
    assert str(tmp_path) not in (tmp_path / "map" / "map.json").read_text().replace(str(source), "")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--matcher", "superglue"], r"--matcher: a matcher is network, .*, not superglue"),
        (["--matcher", "pairs.onnx"], r"--matcher: .* needs local_features .*, not pairs\.onnx"),
        (["--descriptor", "none.onnx"], r"no network at none\.onnx"),
    ],
)
def test_networks_that_cannot_be_used_are_said(tmp_path: Path, options: list[str], said: str) -> None:
    bag = write_drive(tmp_path / "bag", depth=True)
    with pytest.raises(SceneGeoLocError, match=said):
        run("build", bag, tmp_path / "map", "--device", "cpu", *options)
    assert not (tmp_path / "map").exists()


def test_a_map_is_placed_on_the_earth_by_satellite_positions_or_by_numbers(tmp_path: Path) -> None:
    def gps(bag: BagWriter, i: int) -> None:
        write_fix(bag, stamp(i), base_at(i), error=np.random.default_rng(i).normal(0, 0.03, 3))

    bag = write_drive(tmp_path / "bag", depth=True, extra=gps)
    shown = run("build", bag, tmp_path / "map", "--device", "cpu")
    described = run("info", tmp_path / "map")
    found = ReferenceMap.open(tmp_path / "map").info.georeference
    for text in (shown, described):
        assert "of 10 positions agree within" in " ".join(text.split())
    assert found.source == "/gps/fix"
    assert found.datum.yaw_deg == pytest.approx(DATUM.yaw_deg, abs=1.0)
    run("georeference", tmp_path / "map", "--datum", "52.5,5.5,30,-12")
    given = ReferenceMap.open(tmp_path / "map").info.georeference
    assert given == Georeference(Datum(52.5, 5.5, 30.0, -12.0))
    assert "match their checksums" in run("verify", tmp_path / "map")
    assert "52.5000000° N" in run("info", tmp_path / "map")
    run("build", bag, tmp_path / "other", "--datum", "52.5,5.5,30,-12", "--device", "cpu")
    assert ReferenceMap.open(tmp_path / "other").info.georeference == given


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "either a source with satellite positions, or --datum"),
        (["--datum", "52,5"], "is no datum"),
        (["--datum", "95,5,0"], "latitude 95"),
    ],
)
def test_what_is_no_datum_is_refused(tmp_path: Path, arguments: list[str], words: str) -> None:
    with pytest.raises(GeodesyError, match=words):
        run("georeference", tmp_path / "map", *arguments)


def test_a_datum_for_what_is_no_map_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MapError, match="There is no reference map"):
        run("georeference", tmp_path / "map", "--datum", "52,5,0")
