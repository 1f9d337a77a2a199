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

"""localization_node that extends its map while it localizes, over DDS."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from camera_robot import T_BASE_CAMERA, FakeLocalizer, Robot
from room import Room
from std_srvs.srv import Trigger

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.core.folder_lock import changing
from scene_geo_loc.geometry.pose import inverse, make_pose
from scene_geo_loc.localization.estimate import PoseEstimate, Status
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.ros.common.messages import image_message

T_ODOM_MAP = make_pose(np.eye(3), (20.0, -3.0, 0.0))
COVARIANCE = np.diag([0.02**2] * 3 + [0.002**2] * 3)


class RoomLocalizer(FakeLocalizer):
    """Answers what a test says, in a real map."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.map = ReferenceMap.open(folder)


def drive(robot: Robot, room: Room, first: int, last: int, localizer: RoomLocalizer, *, known: bool) -> None:
    """Sends the images of a drive along the room, with odometry, localized or not."""
    for i in range(first, last):
        frame = room.frame(-4.0 + 0.25 * i, 1.0, 20.0 + 3 * i)
        assert frame.T_map_camera is not None
        localizer.answer = PoseEstimate(Status.LOST)
        if known:
            localizer.answer = PoseEstimate(Status.LOCALIZED, frame.T_map_camera, COVARIANCE, confidence=0.99)
        stamp_ns = next(robot.stamps)
        robot.send_odometry(stamp_ns, T_ODOM_MAP @ frame.T_map_camera @ inverse(T_BASE_CAMERA))
        robot.send(image_message(0, "camera_optical_frame", frame.image), stamp_ns)


def value(robot: Robot, key: str) -> str:
    """A value of the next diagnostics."""
    robot.diagnostics.clear()
    return next((item.value for item in robot.diagnosed("").values if item.key == key), "")


def test_what_was_seen_while_lost_is_added_and_the_node_goes_on_in_the_new_map(
    world: Any, room: Room, room_map: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(room_map, tmp_path / "street"))
    localizer = RoomLocalizer(folder)
    robot = Robot(
        world,
        np.zeros((120, 160, 3), np.uint8),
        localizer,
        room.camera,
        map=str(folder),
        mapping="extend",
        tracking=True,
        **{"growth.keyframe_distance_m": 0.2},
    )
    robot.mount_camera()
    later = RoomLocalizer(folder)
    reopened: Any = lambda settings: (later, ReferenceMap.open(folder))  # noqa: E731
    robot.node._make_localizer = reopened
    with (
        pytest.raises(MapError, match=rf"process {os.getpid()} \(localization_node\)"),
        changing(folder, "map prune", MapError),
    ):
        pass

    drive(robot, room, 0, 6, localizer, known=True)
    drive(robot, room, 6, 16, localizer, known=False)
    assert world.call(Trigger, "localization_node/save", Trigger.Request()).message.startswith("No image")
    drive(robot, room, 16, 20, localizer, known=True)
    assert value(robot, "images_waiting") == "14"

    before = len(localizer.map)
    answer = world.call(Trigger, "localization_node/save", Trigger.Request())
    assert answer.success
    assert "14 images" in answer.message
    drive(robot, room, 20, 21, localizer, known=True)  # goes on meanwhile
    robot.state_becomes("localized")
    world.wait(lambda: robot.pipeline.opened[0] is later, "the new version of the map")
    assert len(ReferenceMap.open(folder)) == before + 14
    drive(robot, room, 21, 22, later, known=True)
    assert len(later.images) == 1
    assert [m.data for m in robot.states if m.data in ("suspended", "initializing")] == ["initializing"]
    robot.state_becomes("localized")
    assert value(robot, "keyframes") == str(before + 14)
    assert value(robot, "keyframes_added") == "14"
    robot.node.trigger_deactivate()
    robot.node.trigger_cleanup()
    with changing(folder, "map prune", MapError):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["street"]
