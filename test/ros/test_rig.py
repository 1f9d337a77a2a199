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

"""localization_node with the cameras of a rig, over DDS, in a small world with known geometry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from camera_robot import SECOND, START, T_BASE_CAMERA, Robot
from room import Room

from scene_geo_loc.geometry.pose import inverse, make_pose, position_error_m, rotation_error_deg
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.ros.common.counters import BadReason, Event
from scene_geo_loc.ros.common.messages import (
    camera_info_message,
    image_message,
    ns_to_stamp,
    pose_from_message,
)
from scene_geo_loc.traversals.frame import Frame

pytestmark = pytest.mark.slow

AHEAD = make_pose(np.eye(3), (0.2, 0.0, 0.0))
"""Motion of the robot between two images."""


@pytest.fixture(scope="module")
def localizer(room_map: Path) -> Localizer:
    return Localizer(ReferenceMap.open(room_map), device="cpu")


class Rig:
    """A robot with two cameras in the room, and what each of them sees from where it is mounted."""

    def __init__(self, world: Any, room: Room, localizer: Localizer, **parameters: Any) -> None:
        self.room = room
        self.front = room.frame(-2.1, 0.4, 7.0)
        self.T_map_base = self.front.T_map_camera @ inverse(T_BASE_CAMERA)
        self.T_base_aside = inverse(self.T_map_base) @ room.frame(-2.0, 0.1, -6.0).T_map_camera
        self.robot = Robot(
            world,
            self.front.image,
            localizer,
            room.camera,
            rig_image_topics=["aside/image_raw"],
            rig_tolerance=0.5,
            **parameters,
        )
        self.robot.mount_camera()
        self.robot.mount_camera("aside_optical_frame", self.T_base_aside)
        world.publish("aside/camera_info", camera_info_message(0, "", room.camera))
        world.wait(lambda: self.cameras.has_camera_infos, "the second camera_info to arrive")

    @property
    def cameras(self) -> Any:
        return self.robot.pipeline.inputs.rig

    def aside(self, T_map_base: np.ndarray | None = None) -> Frame:
        """Returns the second camera's frame at the robot's pose, or at another one."""
        return self.room.view((self.T_map_base if T_map_base is None else T_map_base) @ self.T_base_aside)

    def send_aside(self, stamp_ns: int, frame: Frame | None = None) -> None:
        message = image_message(0, "aside_optical_frame", (frame or self.aside()).image)
        message.header.stamp = ns_to_stamp(stamp_ns)
        self.robot.world.publish("aside/image_raw", message)

    def pose_is_right(self) -> None:
        pose = pose_from_message(self.robot.world.wait(lambda: self.robot.poses, "a pose")[-1].pose)
        assert position_error_m(self.T_map_base, pose) < 0.1
        assert rotation_error_deg(self.T_map_base, pose) < 1.0


@pytest.fixture
def rig(world: Any, room: Room, localizer: Localizer) -> Rig:
    return Rig(world, room, localizer)


def black(frame: Frame) -> Any:
    return image_message(0, "", np.zeros_like(frame.image))


def test_the_second_camera_gives_the_pose_where_the_first_sees_nothing(rig: Rig) -> None:
    rig.send_aside(START)
    rig.robot.send(black(rig.front), stamp_ns=START)
    rig.pose_is_right()
    rig.robot.state_becomes("localized")


def test_an_image_waits_for_that_of_the_other_camera_which_is_about_to_arrive(rig: Rig) -> None:
    rig.send_aside(START)
    rig.robot.send(stamp_ns=START)
    rig.pose_is_right()
    alone = rig.robot.pipeline.session.localizer.localize(rig.front)
    stamp_ns = START + SECOND // 2
    message = image_message(0, "camera_optical_frame", rig.front.image)
    message.header.stamp = ns_to_stamp(stamp_ns)
    rig.robot.world.publish("camera/image_raw", message)
    rig.robot.world.wait(
        lambda: rig.robot.node.counters.totals()[Event.RECEIVED] == 2, "the first camera's image"
    )
    rig.send_aside(stamp_ns)
    rig.robot.world.wait(lambda: len(rig.robot.poses) == 2, "a second pose")
    assert rig.robot.pipeline._progress.estimate.inliers > 1.3 * alone.inliers
    assert rig.robot.bad(BadReason.NO_RIG_IMAGE) == 0


def test_a_silent_camera_is_left_out_and_diagnosed(rig: Rig) -> None:
    rig.robot.send(stamp_ns=START)
    rig.pose_is_right()
    assert rig.robot.bad(BadReason.NO_RIG_IMAGE) == 1
    assert rig.robot.diagnosed("no image of a rig camera").level == b"\x01"
    rig.send_aside(START)
    rig.robot.send(stamp_ns=START + SECOND)
    assert rig.robot.bad(BadReason.NO_RIG_IMAGE) == 2


def test_a_camera_that_is_triggered_later_is_moved_back_by_odometry(rig: Rig) -> None:
    later_ns = START + SECOND // 10
    rig.robot.send_odometry(START, np.eye(4))
    rig.robot.send_odometry(later_ns, AHEAD)
    rig.send_aside(later_ns, rig.aside(rig.T_map_base @ AHEAD))
    rig.robot.send(black(rig.front), stamp_ns=START)
    rig.pose_is_right()


def test_without_odometry_a_camera_that_is_triggered_later_is_left_out(rig: Rig) -> None:
    rig.send_aside(START + SECOND // 10)
    rig.robot.send(stamp_ns=START)
    rig.pose_is_right()
    assert rig.robot.bad(BadReason.NO_RIG_MOUNTING) == 1


def test_an_image_of_the_second_camera_that_cannot_be_read_is_counted(rig: Rig) -> None:
    message = image_message(0, "aside_optical_frame", rig.front.image[:24])
    message.header.stamp = ns_to_stamp(START)
    rig.robot.world.publish("aside/image_raw", message)
    rig.robot.send(stamp_ns=START)
    rig.pose_is_right()
    assert rig.robot.bad(BadReason.IMAGE_SIZE) == 1


def test_a_source_that_starts_over_is_localized_with_both_cameras_again(rig: Rig) -> None:
    rig.send_aside(START)
    rig.robot.send(stamp_ns=START)
    again_ns = START - 100 * SECOND
    rig.robot.send(stamp_ns=again_ns)
    assert not any(rig.cameras._kept)
    rig.send_aside(again_ns + SECOND)
    rig.robot.send(black(rig.front), stamp_ns=again_ns + SECOND)
    rig.robot.world.wait(lambda: len(rig.robot.poses) == 3, "a third pose")
    rig.pose_is_right()
