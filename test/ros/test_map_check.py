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

"""Checks of a map when the node is configured, and those in the background."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from camera_robot import FakeLocalizer, FakeMap, Robot
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.mapping.map_info import (
    INDEX_DATABASE,
    OTHER_LOCALIZERS,
    READ_WHOLE,
    USER_NETWORKS,
    VISUAL_WORDS,
)
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.ros.common.settings import LocalizationNodeSettings
from scene_geo_loc.ros.localization.map_check import CheckStatus, MapCheck
from scene_geo_loc.ros.localization.node import LocalizationNode, open_map


@pytest.fixture
def copy(room_map: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(room_map, tmp_path / "map"))


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def finished(check: MapCheck) -> MapCheck:
    check.start()
    while check.status is CheckStatus.RUNNING:
        time.sleep(0.01)
    check.close()
    return check


def test_an_intact_map_passes(room_map: Path) -> None:
    failures: list[str] = []
    check = finished(MapCheck(ReferenceMap.open(room_map), failures.append))
    assert (check.status, check.problem, failures) == (CheckStatus.PASSED, "", [])


@pytest.mark.parametrize(
    "name", sorted({*READ_WHOLE} - {*USER_NETWORKS, *VISUAL_WORDS, *OTHER_LOCALIZERS, INDEX_DATABASE})
)
def test_a_changed_byte_in_what_is_read_whole_fails_configure(
    cells_map: Path, tmp_path: Path, name: str
) -> None:
    damaged = Path(shutil.copytree(cells_map, tmp_path / "map"))  # with all kinds of files
    flip_a_byte(damaged / name)
    with pytest.raises(MapError, match=f"{name} has changed"):
        open_map(LocalizationNodeSettings(map=str(damaged)))


def test_a_damaged_map_is_not_loaded_in_place_of_an_intact_one(
    context: None, room_map: Path, copy: Path
) -> None:
    flip_a_byte(copy / READ_WHOLE[0])
    given = [Parameter("map", value=str(room_map)), Parameter("device", value="cpu")]
    node = LocalizationNode(parameter_overrides=given)
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    pipeline = node.pipeline
    (answer,) = node.set_parameters([Parameter("map", value=str(copy))])
    assert not answer.successful
    assert "has changed" in answer.reason
    assert node.pipeline is pipeline
    assert node.get_parameter("map").value == str(room_map)
    node.destroy_node()


@pytest.mark.parametrize("name", ["local_features.npy", "depth.npy", "thumbnails.bin"])
def test_a_changed_byte_in_a_large_file_is_found_in_the_background(copy: Path, name: str) -> None:
    flip_a_byte(copy / name)
    _, reference_map = open_map(LocalizationNodeSettings(map=str(copy), device="cpu"))
    failures: list[str] = []
    check = finished(MapCheck(reference_map, failures.append))
    assert check.status is CheckStatus.FAILED
    assert failures == [check.problem]
    assert f"{name} has changed" in check.problem
    with pytest.raises(MapError, match=f"{name} has changed"):
        reference_map.verify()


def test_a_large_file_that_is_gone_is_found_as_well(copy: Path) -> None:
    reference_map = ReferenceMap.open(copy)
    (copy / "thumbnails.bin").unlink()
    check = finished(MapCheck(reference_map, lambda problem: None))
    assert check.status is CheckStatus.FAILED
    assert "thumbnails.bin" in check.problem


def test_closing_ends_a_check_that_has_begun() -> None:
    class EndlessMap:
        large_files = ("depth.npy",)

        def verify(self, names: Any, after_block: Any) -> None:
            while True:
                after_block()

    check = MapCheck(EndlessMap(), lambda problem: None)  # type: ignore[arg-type]
    check.close()
    check = MapCheck(EndlessMap(), lambda problem: None)  # type: ignore[arg-type]
    check.start()
    check.close()
    assert check.status is CheckStatus.RUNNING
    assert not check._thread.is_alive()


def test_diagnostics_name_the_damaged_file_and_images_are_still_localized(
    world: Any, picture: np.ndarray
) -> None:
    class DamagedMap(FakeMap):
        def verify(self, names: Any, after_block: Any) -> None:
            raise MapError("depth.npy has changed since the map was built.")

    localizer = FakeLocalizer()
    localizer.map = DamagedMap()  # type: ignore[attr-defined]
    robot = Robot(world, picture, localizer)
    robot.mount_camera()
    robot.send()
    robot.state_becomes("localized")
    report = robot.diagnosed("depth.npy has changed")
    assert report.level == b"\x02"
    assert {item.key: item.value for item in report.values}["map_check"] == "failed"
