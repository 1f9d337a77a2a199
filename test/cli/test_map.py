"""`scene-geo-loc map`: building, showing and verifying maps."""

from __future__ import annotations

from pathlib import Path

import pytest
from drive import write_drive
from room import Room, write_rgbd
from small_graphs import write_corners, write_descriptor, write_pairs
from typer.testing import CliRunner

from scene_geo_loc.cli.main import app
from scene_geo_loc.core.errors import MapError, SceneGeoLocError, TraversalError
from scene_geo_loc.mapping.reference_map import ReferenceMap

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
