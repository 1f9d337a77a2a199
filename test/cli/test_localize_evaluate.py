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

"""The commands localize and evaluate, on a small map and a recording of the same room."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from room import Room
from typer.testing import CliRunner, Result

from scene_geo_loc.cli.main import app
from scene_geo_loc.core.errors import MapError, SceneGeoLocError, TraversalError
from scene_geo_loc.geometry.pose import OPTICAL_FROM_BODY, inverse, make_pose
from scene_geo_loc.geometry.trajectory import read_tum
from scene_geo_loc.traversals.datasets.seven_scenes import DEPTH_CAMERA
from scene_geo_loc.traversals.rosbag.writer import BagWriter

pytestmark = pytest.mark.slow

T_BASE_CAMERA = make_pose(OPTICAL_FROM_BODY.T, (0.3, 0.0, 0.5))
T_ODOM_MAP = make_pose(np.eye(3), (5.0, 2.0, 0.0))


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def record(path: Path, room: Room, with_truth: bool) -> Path:
    """A bag of frames beside those of the map, where their truth is told with odometry; the last is black."""
    frames = room.drive(8, offset_y=0.15)
    with BagWriter(path) as bag:
        bag.static_transforms(frames[0].stamp_ns, {("base_link", "camera_optical_frame"): T_BASE_CAMERA})
        for i, frame in enumerate(frames):
            bag.camera_info("/camera/camera_info", frame.stamp_ns, "camera_optical_frame", frame.camera)
            image = frame.image if i < 7 else frame.image * 0
            bag.image("/camera/image_raw", frame.stamp_ns, "camera_optical_frame", image)
            if with_truth and frame.T_map_camera is not None:
                T_map_base = frame.T_map_camera @ inverse(T_BASE_CAMERA)
                bag.pose("/ground_truth/pose", frame.stamp_ns, "map", T_map_base)
                bag.transform(frame.stamp_ns, "odom", "base_link", T_ODOM_MAP @ T_map_base)
    return path


def write_scene(folder: Path, room: Room) -> None:
    """A sequence in the layout of 7-Scenes, seen by a camera of its size and focal length."""
    camera, room.camera = room.camera, DEPTH_CAMERA
    try:
        frames = room.drive(5, offset_y=0.15)
    finally:
        room.camera = camera
    (folder / "seq-01").mkdir(parents=True)
    for i, frame in enumerate(frames):
        stem = folder / "seq-01" / f"frame-{i:06d}"
        cv2.imwrite(f"{stem}.color.png", frame.image[..., ::-1])
        np.savetxt(f"{stem}.pose.txt", frame.T_map_camera)


def write_mono(folder: Path, room: Room) -> None:
    """A plain folder of frames without depth."""
    (folder / "images").mkdir(parents=True)
    frames = room.drive(6)
    for i, frame in enumerate(frames):
        cv2.imwrite(str(folder / "images" / f"{i}.png"), frame.image[..., ::-1])
    np.savetxt(folder / "K.txt", room.camera.K)
    np.savetxt(folder / "poses.txt", [frame.T_map_camera.reshape(-1) for frame in frames])


@pytest.fixture(scope="module")
def bag(room: Room, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("bags") / "evening", room, with_truth=True)


@pytest.mark.parametrize("command", ["localize", "evaluate", "demo"])
def test_help_has_an_example(command: str) -> None:
    shown = invoke(command, "--help")
    assert shown.exit_code == 0
    assert f"Example:  scene-geo-loc {command} " in shown.output


@pytest.mark.parametrize("command", ["localize", "evaluate"])
def test_a_source_that_is_not_there_is_named(command: str, room_map: Path, tmp_path: Path) -> None:
    result = invoke(command, room_map, tmp_path / "nothing.bag")
    assert isinstance(result.exception, TraversalError)
    assert "nothing.bag" in str(result.exception)


@pytest.mark.parametrize("command", ["localize", "evaluate"])
def test_a_map_that_is_not_there_is_named(command: str, bag: Path, tmp_path: Path) -> None:
    result = invoke(command, tmp_path / "no_map", bag)
    assert isinstance(result.exception, MapError)
    assert "no_map" in str(result.exception)


def test_localize_writes_the_poses_of_localized_frames_only(
    bag: Path, room_map: Path, tmp_path: Path
) -> None:
    result = invoke("localize", room_map, bag, "--out", tmp_path / "deep" / "poses.tum", "--device", "cpu")
    assert result.exit_code == 0, result.output
    trajectory = read_tum(tmp_path / "deep" / "poses.tum")
    assert f"{len(trajectory)} of 8 frames localized" in result.output
    assert 0 < len(trajectory) < 8
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["poses.tum"]


def test_evaluate_scores_against_the_truth_of_the_source(bag: Path, room_map: Path, tmp_path: Path) -> None:
    result = invoke(
        *("evaluate", room_map, bag, "--device", "cpu"),
        *("--json", tmp_path / "evening.json", "--report", tmp_path / "report"),
    )
    assert result.exit_code == 0, result.output
    numbers = json.loads((tmp_path / "evening.json").read_text())
    assert numbers["queries"] == 8
    assert numbers["localized"] >= 5
    assert numbers["position_median_m"] < 0.3
    assert numbers["wrong_fixes"] == 0
    assert sum(part["right"] for part in numbers["confidence_calibration"]) == numbers["localized"]
    assert f"{numbers['localized']} of {numbers['localized']} (expected" in " ".join(result.output.split())
    assert "evening" in result.output
    assert {path.name for path in (tmp_path / "report").iterdir()} == {"index.html", "picture.png"}
    html = (tmp_path / "report" / "index.html").read_text()
    assert "The image is black, saturated or of one colour." in html


def test_with_track_the_camera_is_followed(bag: Path, room_map: Path, tmp_path: Path) -> None:
    result = invoke(
        "evaluate", room_map, bag, "--track", "--device", "cpu", "--json", tmp_path / "track.json"
    )
    assert result.exit_code == 0, result.output
    numbers = json.loads((tmp_path / "track.json").read_text())
    assert numbers["wrong_fixes"] == 0
    assert numbers["dead_reckoned"] >= 1  # the black image at the end
    assert set(numbers["covariance_calibration"]) == {"position", "rotation", "pose"}
    assert set(numbers["kidnapped"]) == {"away_m", "recovered_s", "wrong_poses"}
    words = " ".join(result.output.split())
    assert f"{numbers['dead_reckoned']} poses were dead-reckoned" in words
    assert "Kidnapped" in words
    followed = invoke(
        "localize", room_map, bag, "--track", "--device", "cpu", "--out", tmp_path / "poses.tum"
    )
    assert followed.exit_code == 0, followed.output
    assert len(read_tum(tmp_path / "poses.tum")) == numbers["localized"]


def test_evaluate_takes_a_part_of_the_source_and_another_bound(
    bag: Path, room_map: Path, tmp_path: Path
) -> None:
    options = ("--every", "3", "--offset", "1", "--wrong-fix-m", "0.001", "--device", "cpu")
    result = invoke("evaluate", room_map, bag, *options, "--json", tmp_path / "part.json")
    assert result.exit_code == 0, result.output
    numbers = json.loads((tmp_path / "part.json").read_text())
    assert numbers["queries"] == 3
    assert numbers["wrong_fixes"] == numbers["localized"] > 0


def test_a_scene_of_a_benchmark_is_scored_beside_the_paper(
    room: Room, room_map: Path, tmp_path: Path
) -> None:
    """The room in the layout of 7-Scenes, under the name of one of its scenes."""
    write_scene(tmp_path / "chess", room)
    result = invoke("evaluate", room_map, tmp_path / "chess", "--json", tmp_path / "chess.json")
    assert result.exit_code == 0, result.output
    assert "paper: PnlP, FC supervised" in result.output
    paper = json.loads((tmp_path / "chess.json").read_text())["paper"]
    retrieved, localized = paper["this_run"]
    assert (retrieved["method"], localized["method"]) == ("Retrieved", "Localized, else retrieved")
    assert 0.0 < localized["position_median_m"] <= retrieved["position_median_m"] < 4.0
    assert paper["printed_full_test_split"][2]["position_median_m"] == 0.07


def test_a_map_without_depth_is_told_as_the_reason_and_its_retrieval_is_scored(
    room: Room, bag: Path, tmp_path: Path
) -> None:
    source = tmp_path / "mono"
    write_mono(source, room)
    assert invoke("map", "build", source, tmp_path / "map", "--device", "cpu").exit_code == 0
    result = invoke("evaluate", tmp_path / "map", bag, "--device", "cpu")
    assert result.exit_code == 0, result.output
    words = " ".join(result.output.split())
    assert "Not localized (7): No match has a depth" in words
    assert "Most similar keyframe: 0." in words


def test_a_source_without_truth_cannot_be_evaluated(room: Room, room_map: Path, tmp_path: Path) -> None:
    bag = record(tmp_path / "blind", room, with_truth=False)
    result = invoke("evaluate", room_map, bag, "--json", tmp_path / "blind.json")
    assert isinstance(result.exception, TraversalError)
    assert "has no ground-truth poses" in str(result.exception)
    assert not (tmp_path / "blind.json").exists()


def test_the_demo_leaves_a_folder_of_others_alone(tmp_path: Path) -> None:
    pytest.importorskip("embreex")
    (tmp_path / "thesis.tex").write_text("years of work")
    result = invoke("demo", "--out", tmp_path)
    assert isinstance(result.exception, SceneGeoLocError)
    assert "was not made by this command" in str(result.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
