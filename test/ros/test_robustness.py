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

"""Nodes with bad requests, messages and parameters over DDS: they report them and keep running."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Time
from camera_robot import SECOND, START, T_MAP_BASE, T_ODOM_BASE, Robot
from lifecycle_msgs.msg import State as LifecycleState
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from tf2_msgs.msg import TFMessage

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.ros.common.counters import BadReason, Event
from scene_geo_loc.ros.common.messages import (
    image_message,
    ns_to_stamp,
    pose_with_covariance,
    transform_message,
)
from scene_geo_loc.ros.common.running import spin
from scene_geo_loc.ros.localization.node import LocalizationNode
from scene_geo_loc.ros.map_builder.node import MapBuilderNode


@pytest.fixture
def robot(world: Any, picture: np.ndarray) -> Robot:
    robot = Robot(world, picture)
    robot.mount_camera()
    return robot


def change_state(world: Any, node: str, transition: int) -> bool:
    request = ChangeState.Request(transition=Transition(id=transition))
    return bool(world.call(ChangeState, f"{node}/change_state", request).success)


def lifecycle_state(world: Any, node: str) -> int:
    return int(world.call(GetState, f"{node}/get_state", GetState.Request()).current_state.id)


def others_of(node: Any) -> set[str]:
    """The topics that a node publishes on or subscribes to, but those of every rclpy node."""
    own = {"/rosout", "/parameter_events", f"/{node.get_name()}/transition_event"}
    return {entity.topic_name for entity in (*node.publishers, *node.subscriptions)} - own


@pytest.mark.parametrize("transition", [Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_CLEANUP, 77])
def test_an_invalid_transition_is_refused_and_the_node_goes_on(robot: Robot, transition: int) -> None:
    assert not change_state(robot.world, "localization_node", transition)
    assert lifecycle_state(robot.world, "localization_node") == LifecycleState.PRIMARY_STATE_ACTIVE
    robot.send()
    robot.world.wait(lambda: robot.poses, "a pose")


def test_deactivating_an_inactive_node_is_refused(robot: Robot) -> None:
    assert change_state(robot.world, "localization_node", Transition.TRANSITION_DEACTIVATE)
    assert not change_state(robot.world, "localization_node", Transition.TRANSITION_DEACTIVATE)
    assert change_state(robot.world, "localization_node", Transition.TRANSITION_ACTIVATE)
    robot.state_becomes("initializing")


def test_after_shutdown_a_node_publishes_and_subscribes_nothing(robot: Robot) -> None:
    robot.send_odometry(START)
    robot.send(stamp_ns=START)
    robot.world.wait(robot.corrections, "map -> odom")
    assert change_state(robot.world, "localization_node", Transition.TRANSITION_ACTIVE_SHUTDOWN)
    assert lifecycle_state(robot.world, "localization_node") == LifecycleState.PRIMARY_STATE_FINALIZED
    assert others_of(robot.node) == set()
    services = [name for name, _ in robot.node.get_service_names_and_types_by_node("localization_node", "/")]
    assert not [name for name in services if name.endswith(("/relocalize", "/suspend", "/resume"))]
    time.sleep(0.2)
    counts = [len(robot.poses), len(robot.corrections()), len(robot.diagnostics)]
    robot.world.publish("camera/image_raw", image_message(START + SECOND, "camera", robot.picture))
    time.sleep(1.5)
    assert [len(robot.poses), len(robot.corrections()), len(robot.diagnostics)] == counts


class EmptyBuilder:
    """A build without a keyframe."""

    resumed_keyframes = 0
    abandoned = 0

    class progress:
        keyframes = 0

    def abandon(self) -> None:
        self.abandoned += 1


def start_builder(world: Any) -> tuple[EmptyBuilder, MapBuilderNode]:
    """Returns an active map_builder_node and its builder."""
    builder = EmptyBuilder()
    node = MapBuilderNode(lambda *_: builder)  # type: ignore[arg-type,return-value]
    world.spin(node)
    assert change_state(world, "map_builder_node", Transition.TRANSITION_CONFIGURE)
    assert change_state(world, "map_builder_node", Transition.TRANSITION_ACTIVATE)
    return builder, node


def is_building() -> bool:
    return any(thread.name == "builder" for thread in threading.enumerate())


def test_a_map_builder_ends_all_its_work_at_shutdown(world: Any) -> None:
    builder, node = start_builder(world)
    assert not change_state(world, "map_builder_node", Transition.TRANSITION_CLEANUP)
    assert others_of(node)
    assert is_building()
    assert change_state(world, "map_builder_node", Transition.TRANSITION_ACTIVE_SHUTDOWN)
    assert builder.abandoned == 1
    assert others_of(node) == set()
    assert not is_building()


def test_a_map_builder_ends_all_its_work_at_an_error_and_can_start_again(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MapBuilderNode, "on_deactivate", lambda *_: 1 // 0)
    builder, node = start_builder(world)
    assert not change_state(world, "map_builder_node", Transition.TRANSITION_DEACTIVATE)
    assert lifecycle_state(world, "map_builder_node") == LifecycleState.PRIMARY_STATE_UNCONFIGURED
    assert builder.abandoned == 1
    assert others_of(node) == set()
    assert not is_building()
    assert change_state(world, "map_builder_node", Transition.TRANSITION_CONFIGURE)


def test_an_error_in_a_transition_releases_everything_and_the_node_can_start_again(
    world: Any, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalizationNode, "on_cleanup", lambda *_: 1 // 0)
    robot = Robot(world, picture)
    assert change_state(world, "localization_node", Transition.TRANSITION_DEACTIVATE)
    assert not change_state(world, "localization_node", Transition.TRANSITION_CLEANUP)
    assert others_of(robot.node) == set()
    assert lifecycle_state(world, "localization_node") == LifecycleState.PRIMARY_STATE_UNCONFIGURED
    assert change_state(world, "localization_node", Transition.TRANSITION_CONFIGURE)


def test_a_callback_that_fails_is_reported_and_the_node_lives(
    robot: Robot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(robot.pipeline._order, "check", lambda stamp_ns: 1 // 0)
    robot.world.publish("camera/image_raw", image_message(START, "camera_optical_frame", robot.picture))
    assert robot.diagnosed("1 callbacks failed").level == b"\x02"
    monkeypatch.undo()
    robot.send()
    robot.world.wait(lambda: robot.poses, "a pose")


def spin_with(node: LocalizationNode, callback: Callable[[], object]) -> None:
    """Spins a node with a timer that is past the guards of its own callbacks, until the context ends."""
    Node.create_timer(node, 0.05, callback)
    handlers = {kind: signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        with suppress(ExternalShutdownException):
            assert spin(node) == 0
    finally:
        for kind, handler in handlers.items():
            signal.signal(kind, handler)
    node.destroy_node()


def test_a_callback_of_rclpy_that_fails_does_not_end_the_process(context: None) -> None:
    node = LocalizationNode()
    threading.Timer(1.0, rclpy.try_shutdown).start()
    spin_with(node, lambda: 1 // 0)
    assert node.counters.totals()[Event.CALLBACK_FAILED] > 0


def test_a_callback_that_fails_as_the_context_ends_is_no_defect(context: None) -> None:
    node = LocalizationNode()
    spin_with(node, lambda: rclpy.try_shutdown() or 1 // 0)
    assert node.counters.totals()[Event.CALLBACK_FAILED] == 0


def test_a_parameter_of_an_unknown_type_is_refused_and_is_no_defect(robot: Robot) -> None:
    request = SetParameters.Request(
        parameters=[
            ParameterMessage(name="fix_timeout", value=ParameterValue(type=3, double_value=1.5)),
            ParameterMessage(name="fix_timeout", value=ParameterValue(type=114)),
        ]
    )
    answer = robot.world.call(SetParameters, "localization_node/set_parameters", request)
    assert [result.successful for result in answer.results] == [True, False]
    assert robot.node.counters.totals()[Event.CALLBACK_FAILED] == 0


def test_a_service_that_fails_answers(robot: Robot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robot.pipeline, "_forget", lambda: 1 // 0)
    assert not robot.call("relocalize").success
    monkeypatch.undo()
    assert robot.call("relocalize").success


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"base_T_camera": [float("nan")] * 3 + [0.0, 0.0, 0.0, 1.0]}, "base_T_camera is nan: .* finite"),
        ({"base_T_camera": [0.0, 0.0, 0.0, float("nan"), 0.0, 0.0, 1.0]}, "base_T_camera is nan: .* finite"),
        ({"base_T_camera": [1e6, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]}, "base_T_camera .* within 1000 m"),
        ({"localizer.max_reprojection_error_px": float("inf")}, "error_px is inf: .* finite"),
        ({"tracker.gate": 1e300}, r"tracker.gate is 1e\+300: .* at most"),
        ({"transform_rate": 1e-300}, "transform_rate is 1e-300: the least rate is 0.01 Hz"),
        ({"rig_image_topics": ["left/image_raw", "rear image"]}, "rig_image_topics.1 is 'rear image'"),
        ({"image_topic": ""}, "image_topic is ''"),
    ],
)
def test_a_parameter_that_cannot_work_is_refused_in_a_sentence(
    context: None, values: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SceneGeoLocError, match=sentence) as error:
        LocalizationNode(parameter_overrides=[Parameter(name, value=v) for name, v in values.items()])
    assert "\n" not in str(error.value)


def test_a_live_parameter_is_set_to_finite_numbers_only(robot: Robot) -> None:
    before = robot.node.settings
    (answer,) = robot.node.set_parameters([Parameter("transform_tolerance", value=float("nan"))])
    assert not answer.successful
    assert robot.node.settings == before


def test_an_image_with_a_negative_stamp_is_counted_and_has_no_pose(robot: Robot) -> None:
    robot.send(stamp_ns=-5 * SECOND)
    assert robot.bad(BadReason.INVALID_STAMP) == 1
    robot.send()
    assert len(robot.world.wait(lambda: robot.poses, "a pose")) == 1
    assert robot.poses[0].header.stamp == ns_to_stamp(START)


def test_a_clock_before_1970_is_counted_and_is_no_defect(world: Any, picture: np.ndarray) -> None:
    robot = Robot(world, picture, use_sim_time=True)
    robot.mount_camera()
    robot.world.publish("/clock", Clock(clock=Time(sec=-5)))
    robot.world.wait(lambda: robot.bad(BadReason.INVALID_CLOCK), "the time to be rejected")
    assert robot.node.counters.totals()[Event.CALLBACK_FAILED] == 0
    robot.send()
    robot.world.wait(lambda: robot.poses, "a pose")


def test_a_transform_farther_than_any_place_is_rejected(robot: Robot) -> None:
    far = transform_message(0, "base_link", "camera_optical_frame", np.eye(4))
    far.transform.translation.x = 1e308
    robot.world.publish("/tf_static", TFMessage(transforms=[far]), latched=True)
    robot.world.wait(lambda: robot.bad(BadReason.INVALID_TRANSFORM), "the transform to be rejected")
    robot.send()
    robot.world.wait(lambda: robot.poses, "a pose")


def test_one_odometry_transform_an_hour_ahead_does_not_stop_map_to_odom(robot: Robot) -> None:
    robot.send_odometry(START)
    ahead = transform_message(START + 3600 * SECOND, "odom", "base_link", T_ODOM_BASE)
    robot.world.publish("/tf", TFMessage(transforms=[ahead]))
    for half_seconds in range(1, 5):
        robot.send_odometry(START + half_seconds * SECOND // 2)
    robot.send(stamp_ns=START + 2 * SECOND)
    robot.world.wait(robot.corrections, "map -> odom")


@pytest.mark.parametrize("reliability", ["reliable", "best_effort", "auto"])
def test_images_that_are_published_best_effort(world: Any, picture: np.ndarray, reliability: str) -> None:
    robot = Robot(world, picture, reliability=reliability)
    robot.mount_camera()
    publisher = world.node.create_publisher(Image, "camera/image_raw", qos_profile_sensor_data)
    if reliability == "reliable":
        assert robot.diagnosed("best effort").level == b"\x02"
    else:
        stamps = itertools.count(START, SECOND // 10)

        def arrives() -> bool:
            publisher.publish(image_message(next(stamps), "camera_optical_frame", picture))
            time.sleep(0.05)
            return bool(robot.poses)

        world.wait(arrives, "a pose of an image that is published best effort")
    assert bool(robot.pipeline.inputs.camera.problem) is (reliability == "reliable")


def test_a_best_effort_publisher_is_no_problem_once_images_of_another_arrive(
    world: Any, picture: np.ndarray
) -> None:
    robot = Robot(world, picture, reliability="reliable", fix_timeout=60.0)
    robot.mount_camera()
    world.node.create_publisher(Image, "camera/image_raw", qos_profile_sensor_data)
    assert robot.diagnosed("best effort").level == b"\x02"
    robot.send()
    assert robot.diagnosed("nobody publishes odom").level == b"\x01"


def test_an_initial_pose_of_endless_spread_is_rejected(robot: Robot) -> None:
    message = pose_with_covariance(0, "map", T_MAP_BASE, np.eye(6) * 1e308)
    robot.world.publish("initialpose", message)
    robot.world.wait(lambda: robot.bad(BadReason.INITIAL_POSE), "the rejection")
    robot.send()
    robot.world.wait(lambda: robot.poses, "a pose")
