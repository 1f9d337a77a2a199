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

"""localization_node with the map of a pose regressor, over DDS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from camera_robot import Robot
from pose_place import CAMERA, frame_at, pose_of

from scene_geo_loc.geometry.pose import position_error_m
from scene_geo_loc.ros.common.messages import pose_from_message, stamp_to_ns
from scene_geo_loc.ros.common.settings import LocalizationNodeSettings
from scene_geo_loc.ros.localization.node import open_map


def test_the_node_localizes_where_the_regressor_is_certain_and_says_why_it_is_not(
    world: Any, wall_map: Path
) -> None:
    localizer, opened = open_map(LocalizationNodeSettings(map=str(wall_map), device="cpu"))
    assert len(opened) > 0
    frame = frame_at(400)
    robot = Robot(world, frame.image, localizer, camera=CAMERA)
    robot.mount_camera(T_base_camera=np.eye(4))
    stamp_ns = robot.send()
    robot.state_becomes("localized")
    message = world.wait(lambda: robot.poses_with_covariance, "a pose")[-1]
    assert stamp_to_ns(message.header.stamp) == stamp_ns
    assert position_error_m(pose_from_message(message.pose.pose), pose_of(400)) < 1
    assert np.all(np.diag(np.reshape(message.pose.covariance, (6, 6))) > 0)
    robot.picture = frame_at(400, seed=1).image
    robot.send()
    robot.state_becomes("lost")
