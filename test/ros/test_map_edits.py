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

"""Edits of the open map that services ask for, over DDS, and the commands that they run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from camera_robot import Robot
from rclpy.parameter import Parameter
from room import Room
from ros.test_map_extension import RoomLocalizer, drive, value
from std_msgs.msg import String

from scene_geo_loc.cli.for_parent import run_command
from scene_geo_loc.core.errors import MapError
from scene_geo_loc.core.folder_lock import changing
from scene_geo_loc.mapping.editing.splitting import rows_of_drives
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.ros.common.settings import EditSettings, LocalizationNodeSettings
from scene_geo_loc.ros.localization.map_edits import OPERATIONS, edit_of, summary_of

BY_NAME = {operation.name: operation for operation in OPERATIONS}


@pytest.fixture
def folder(room_map: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(room_map, tmp_path / "street"))


@pytest.fixture
def robot(world: Any, room: Room, folder: Path) -> Robot:
    picture = np.zeros((120, 160, 3), np.uint8)
    robot = Robot(world, picture, RoomLocalizer(folder), room.camera, map=str(folder))
    robot.mount_camera()
    reopened: Any = lambda settings: ((later := RoomLocalizer(folder)), later.map)  # noqa: E731
    robot.node._make_localizer = reopened
    return robot


def ends(robot: Robot, said: list[String], name: str) -> str:
    """Returns the last message of the topic about an edit."""

    def is_over() -> bool:
        return bool(said) and said[-1].data.startswith(f"map {name} ") and "running" not in said[-1].data

    robot.world.wait(is_over, "the end of the edit", 120.0)
    return str(said[-1].data)


def test_a_node_prunes_its_map_while_it_localizes_and_goes_on_in_the_new_version(
    robot: Robot, room: Room, folder: Path
) -> None:
    said = robot.world.listen(String, "localization/map_edit", latched=True)
    assert "edit.keyframes" in robot.call("prune_map").message
    robot.node.set_parameters([Parameter("edit.keyframes", value=7)])
    answer = robot.call("prune_map")
    assert answer.success
    assert "begun" in answer.message
    with pytest.raises(MapError, match="map prune"), changing(folder, "test", MapError):
        pass
    refused = robot.call("split_map")
    assert not refused.success
    assert "map prune is running" in refused.message
    assert isinstance(robot.localizer, RoomLocalizer)
    drive(robot, room, 0, 2, robot.localizer, known=True)  # goes on meanwhile
    robot.state_becomes("localized")
    sentence = ends(robot, said, "prune")
    kept = len(ReferenceMap.open(folder))
    assert 4 <= kept <= 7
    assert sentence.startswith(f"map prune done: {folder}: {kept} of {len(robot.localizer.map)} keyframes")
    robot.world.wait(lambda: value(robot, "keyframes") == str(kept), "the new version")
    assert value(robot, "map_edit_says") in sentence
    with changing(folder, "test", MapError):
        pass
    assert sorted(path.name for path in folder.parent.iterdir()) == ["street"]


def test_the_end_of_the_node_ends_an_edit_and_leaves_the_map(robot: Robot, folder: Path) -> None:
    before = (folder / "map.json").read_bytes()
    robot.node.set_parameters([Parameter("edit.keyframes", value=7)])
    assert robot.call("prune_map").success
    robot.node.trigger_deactivate()
    robot.node.trigger_cleanup()
    assert (folder / "map.json").read_bytes() == before
    with changing(folder, "test", MapError):
        pass
    assert sorted(path.name for path in folder.parent.iterdir()) == ["street"]


def test_an_edit_that_is_cancelled_or_fails_leaves_the_map_and_says_so(robot: Robot, folder: Path) -> None:
    said = robot.world.listen(String, "localization/map_edit", latched=True)
    before = (folder / "map.json").read_bytes()
    assert not robot.call("cancel_edit").success
    robot.node.set_parameters([Parameter("edit.keyframes", value=7)])
    assert robot.call("prune_map").success
    assert robot.call("cancel_edit").success
    assert ends(robot, said, "prune").startswith("map prune cancelled")
    robot.node.set_parameters([Parameter("edit.sources", value=[str(folder), str(folder.parent)])])
    assert robot.call("merge_map").success
    assert ends(robot, said, "merge") == (
        f"map merge failed: There is no reference map at {folder.parent}: name a map's folder."
    )
    assert (folder / "map.json").read_bytes() == before


def settings(**values: Any) -> LocalizationNodeSettings:
    return LocalizationNodeSettings(edit=EditSettings(**values))


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("extend", {}, "edit.sources names 0"),
        ("extend", {"sources": ["a", "b"]}, "edit.sources names 2"),
        ("merge", {"sources": ["nowhere"]}, "nothing at nowhere"),
        ("align", {"sources": ["."]}, "edit.output"),
        ("split", {}, "edit.output"),
        ("split", {"output": "street"}, "another one"),
        ("prune", {"keyframes": 3, "megabytes": 4.0}, "edit.megabytes"),
    ],
)
def test_arguments_that_do_not_fit_a_service_are_refused(name: str, values: Any, words: str) -> None:
    with pytest.raises(MapError, match=words):
        edit_of(BY_NAME[name], Path("street"), settings(**values))


@pytest.mark.slow
def test_each_service_runs_a_command_that_does_what_its_name_says(folder: Path, tmp_path: Path) -> None:
    own = ReferenceMap.open(folder)

    def run(name: str, **values: Any) -> str:
        command = edit_of(BY_NAME[name], folder, settings(**values)).command
        return " ".join(run_command({"arguments": command})["said"])

    run("split", output=str(tmp_path / "parts"))
    (part,) = rows_of_drives(own)
    copy = str(tmp_path / "parts" / part)
    assert "same" in run("diff", sources=[copy])
    assert f"{len(own)} of {len(own)} keyframes are found" in run(
        "align", sources=[copy], output=str(tmp_path / "aligned")
    )
    assert "Nothing is added" in run("extend", sources=[copy])
    run("prune", keyframes=7)
    assert len(ReferenceMap.open(folder)) <= 7
    run("merge", sources=[copy], output=str(tmp_path / "merged"))
    assert len(ReferenceMap.open(tmp_path / "merged")) == len(ReferenceMap.open(folder)) + len(own)


def test_options_and_statistics_go_to_the_command(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "street.parquet").touch()
    asked = LocalizationNodeSettings(
        statistics_dir=str(tmp_path), edit=EditSettings(megabytes=20.0, options=["--verbose"])
    )
    first, second, *options, before_last, last = edit_of(BY_NAME["prune"], folder, asked).command
    assert (first, second) == ("map", "prune")
    assert " ".join(options) == (
        f"--verbose --overwrite --statistics {tmp_path / 'street.parquet'} --megabytes 20.0 --"
    )
    assert before_last == last == str(folder)


def test_the_topic_says_what_a_command_found_and_leaves_its_lists_to_the_log() -> None:
    lines = [
        "Taken from drive:",
        "  images  /camera",
        "",
        "3 of 9 images are localized.",
        "map: 12 keyframes.",
    ]
    assert summary_of(lines) == "3 of 9 images are localized. map: 12 keyframes."
