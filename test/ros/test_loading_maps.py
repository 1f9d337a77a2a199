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

"""Another map at run time, in each state of the lifecycle, and the bond with nav2's lifecycle manager."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from camera_robot import T_MAP_BASE, FakeMap, Robot
from generated_interfaces import BOND, NAV2, make_importable
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.srv import SetParameters
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from scene_geo_loc.ros.common.messages import pose_with_covariance

SUCCESS = TransitionCallbackReturn.SUCCESS


@pytest.fixture(scope="module")
def _nav2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The packages bond and nav2_msgs, for the tests of this file only."""
    path = list(sys.path)
    make_importable("bond", BOND, ["std_msgs"], tmp_path_factory.mktemp("bond"))
    needed = ["std_msgs", "geometry_msgs", "nav_msgs"]
    make_importable("nav2_msgs", NAV2, needed, tmp_path_factory.mktemp("nav2_msgs"))
    yield
    sys.path[:] = path
    for name in [name for name in sys.modules if name.partition(".")[0] in ("bond", "nav2_msgs")]:
        del sys.modules[name]


@pytest.fixture
def robot(world: Any, picture: np.ndarray) -> Robot:
    robot = Robot(world, picture, map="ground_floor")
    robot.mount_camera()
    return robot


def set_map(robot: Robot, folder: str) -> Any:
    """The answer of the service that `ros2 param set` calls."""
    parameter: ParameterMessage = Parameter("map", value=folder).to_parameter_msg()
    request = SetParameters.Request(parameters=[parameter])
    return robot.world.call(SetParameters, "localization_node/set_parameters", request).results[0]


def present_map(robot: Robot) -> str:
    """The map that the next diagnostics name."""
    robot.diagnostics.clear()
    return next(item.value for item in robot.diagnosed("").values if item.key == "map")


def test_an_active_node_localizes_in_the_map_that_its_parameter_names(robot: Robot) -> None:
    robot.send()
    robot.state_becomes("localized")
    assert set_map(robot, "first_floor").successful
    assert present_map(robot) == "first_floor"
    assert robot.node.get_parameter("map").value == "first_floor"
    robot.states_end_with("localized", "suspended", "initializing")
    robot.send_camera_info()
    robot.mount_camera()  # with the new map the node hears of it anew
    robot.send()
    robot.state_becomes("localized")


def test_the_old_map_stays_where_the_new_one_is_broken(robot: Robot) -> None:
    robot.broken.add("first_floor")
    pipeline = robot.pipeline
    answer = set_map(robot, "first_floor")
    assert not answer.successful
    assert "first_floor is broken" in answer.reason
    assert robot.node.get_parameter("map").value == "ground_floor"
    assert robot.pipeline is pipeline
    robot.send()
    robot.state_becomes("localized")
    assert present_map(robot) == "ground_floor"


class FlawedMap(FakeMap):
    """A map that is opened, and that the node then fails to work with."""

    @property
    def map_frame(self) -> str:  # type: ignore[override]
        raise ZeroDivisionError("a defect")


def test_the_old_map_is_opened_again_where_the_node_fails_to_work_with_the_new_one(robot: Robot) -> None:
    def opened(settings: Any) -> Any:
        return robot.localizer, FlawedMap(settings.map)

    robot.node._make_localizer = opened
    assert not set_map(robot, "first_floor").successful
    assert robot.node.get_parameter("map").value == "ground_floor"
    assert present_map(robot) == "ground_floor"
    robot.send_camera_info()
    robot.mount_camera()  # with the new map the node hears of it anew
    robot.send()
    robot.state_becomes("localized")


def test_an_inactive_node_and_an_unconfigured_one_take_another_map_as_well(robot: Robot) -> None:
    robot.node.trigger_deactivate()
    assert set_map(robot, "first_floor").successful
    assert robot.pipeline.inputs is None
    robot.node.trigger_cleanup()
    robot.broken.add("third_floor")
    assert not set_map(robot, "third_floor").successful
    assert set_map(robot, "second_floor").successful
    assert robot.pipeline is None
    assert robot.node.trigger_configure() == SUCCESS
    assert present_map(robot) == "second_floor"
    robot.node.trigger_shutdown()
    assert not set_map(robot, "first_floor").successful


def test_another_parameter_does_not_load_the_map_again(robot: Robot) -> None:
    pipeline = robot.pipeline
    robot.node.set_parameters([Parameter("fix_timeout", value=3.0), Parameter("map", value="ground_floor")])
    assert robot.pipeline is pipeline
    assert robot.node.settings.fix_timeout == 3.0


@pytest.mark.usefixtures("_nav2")
def test_the_services_of_nav2_load_a_map_and_set_the_pose(robot: Robot) -> None:
    from nav2_msgs.srv import LoadMap, SetInitialPose  # type: ignore[import-not-found]

    def load(url: str) -> int:
        return int(
            robot.world.call(LoadMap, "localization_node/load_map", LoadMap.Request(map_url=url)).result
        )

    assert load("file://first_floor") == LoadMap.Response.RESULT_SUCCESS
    assert robot.node.get_parameter("map").value == "first_floor"
    robot.broken.add("none")
    assert load("none") == LoadMap.Response.RESULT_MAP_DOES_NOT_EXIST
    assert robot.node.get_parameter("map").value == "first_floor"
    pose = pose_with_covariance(0, "map", T_MAP_BASE, np.eye(6))
    robot.world.call(SetInitialPose, "set_initial_pose", SetInitialPose.Request(pose=pose))
    robot.send_camera_info()
    robot.mount_camera()  # with the new map the node hears of it anew
    robot.send()
    assert robot.localizer.priors[-1] is not None


@pytest.mark.usefixtures("_nav2")
def test_a_managed_node_keeps_a_bond_with_the_manager_while_it_is_active(
    world: Any, picture: np.ndarray
) -> None:
    from bond.msg import Status  # type: ignore[import-not-found]

    heartbeats: list[Any] = []
    world.node.create_subscription(Status, "bond", heartbeats.append, 100)
    robot = Robot(world, picture, autostart=False)
    world.wait(lambda: len(heartbeats) > 3, "heartbeats")
    assert {(beat.id, beat.active) for beat in heartbeats} == {("localization_node", True)}
    assert heartbeats[0].heartbeat_period == pytest.approx(0.1)
    first = heartbeats[0].instance_id
    assert first
    robot.node.trigger_deactivate()
    world.wait(lambda: not heartbeats[-1].active, "the end of the bond")
    robot.node.trigger_activate()
    world.wait(lambda: heartbeats[-1].active, "another bond")
    assert heartbeats[-1].instance_id != first
    robot.node.trigger_shutdown()
    world.wait(lambda: not heartbeats[-1].active, "the end of the bond")


@pytest.mark.usefixtures("_nav2")
def test_a_node_that_starts_itself_keeps_no_bond(robot: Robot) -> None:
    assert robot.node.count_publishers("/bond") == 0
