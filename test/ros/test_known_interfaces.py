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

"""Interfaces of localization_node that people know from nav2 and Autoware, over DDS."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from camera_robot import SECOND, START, T_MAP_BASE, Robot
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.parameter import Parameter
from std_srvs.srv import Empty, SetBool
from tf2_msgs.msg import TFMessage

from scene_geo_loc.localization.estimate import PoseEstimate, Status
from scene_geo_loc.localization.verification.rejection import Rejection, RejectionKind
from scene_geo_loc.ros.common.counters import Event
from scene_geo_loc.ros.common.messages import (
    pose_from_message,
    pose_with_covariance,
    stamp_to_ns,
    transform_message,
)
from scene_geo_loc.ros.common.settings import LocalizationNodeSettings
from scene_geo_loc.ros.localization.inputs.rate_limit import RateLimit

FEW_INLIERS = Rejection(RejectionKind.INLIER_RATIO, 0.081, 0.13)


@pytest.fixture
def robot(world: Any, picture: np.ndarray) -> Robot:
    robot = Robot(world, picture)
    robot.mount_camera()
    return robot


def trigger(robot: Robot, on: bool) -> Any:
    return robot.world.call(SetBool, "trigger_node", SetBool.Request(data=on))


def test_the_latest_pose_is_there_for_those_who_come_later(robot: Robot) -> None:
    robot.send()
    robot.world.wait(lambda: robot.poses, "a pose")
    latest = robot.world.listen(PoseWithCovarianceStamped, "localization/latest_pose", latched=True)
    (message,) = robot.world.wait(lambda: latest, "the pose before the subscription")
    np.testing.assert_allclose(pose_from_message(message.pose.pose), T_MAP_BASE, atol=1e-9)


def test_each_image_has_a_status_with_its_stamp_its_reason_and_its_numbers(robot: Robot) -> None:
    statuses = robot.world.listen(DiagnosticArray, "localization/status", latched=True)
    robot.localizer.answer = PoseEstimate(Status.LOST, rejection=FEW_INLIERS, inliers=9)
    stamps = [robot.send(), robot.send()]
    robot.localizer.answer = None
    stamps.append(robot.send())

    def of_images() -> list[Any]:
        return [m for m in statuses if stamp_to_ns(m.header.stamp) in stamps]

    robot.world.wait(lambda: len(of_images()) == 3, "three statuses")
    assert [stamp_to_ns(m.header.stamp) for m in of_images()] == stamps
    (lost, _, localized) = (m.status[0] for m in of_images())
    assert (lost.level, localized.level) == (b"\x01", b"\x00")
    assert "8.1 % < 13 %" in lost.message
    assert lost.name == "localization_node: state"
    numbers = {item.key: item.value for item in lost.values}
    assert (numbers["state"], numbers["kind"], numbers["inliers"]) == ("lost", "inlier_ratio", "9")
    numbers = {item.key: item.value for item in localized.values}
    assert numbers["state"] == "localized"
    assert float(numbers["position_std_m"]) == pytest.approx(0.1)


def test_global_localization_is_started_as_that_of_amcl(robot: Robot) -> None:
    robot.send_odometry(START)
    robot.send(stamp_ns=START)
    robot.world.wait(robot.corrections, "map -> odom")
    robot.world.call(Empty, "reinitialize_global_localization", Empty.Request())
    robot.state_becomes("initializing")
    assert robot.pipeline.publisher._T_map_odom is None


def test_the_node_is_triggered_as_those_of_autoware_and_keeps_the_pose_that_comes_in_between(
    robot: Robot,
) -> None:
    assert trigger(robot, False).success
    robot.state_becomes("suspended")
    assert trigger(robot, False).success
    robot.world.publish("initialpose", pose_with_covariance(0, "map", T_MAP_BASE, np.eye(6)))
    robot.world.wait(lambda: robot.pipeline.initial_poses.newest, "the initial pose")
    assert trigger(robot, True).success
    robot.state_becomes("initializing")
    assert trigger(robot, True).success
    robot.send()
    robot.state_becomes("localized")
    assert robot.localizer.priors[0] is not None


def test_an_inactive_node_cannot_be_triggered(robot: Robot) -> None:
    robot.node.trigger_deactivate()
    assert not trigger(robot, True).success
    assert trigger(robot, False).success


def test_a_start_pose_is_the_prior_of_the_first_images(world: Any, picture: np.ndarray) -> None:
    start: dict[str, Any] = {"set_initial_pose": True, "initial_pose.x": 90.0, "initial_pose.yaw": np.pi / 2}
    robot = Robot(world, picture, **start)
    robot.mount_camera()
    robot.send()
    robot.send()
    first, second = robot.localizer.priors
    np.testing.assert_allclose(first.T_map_camera[:2, 3], (90.0, 1.5), atol=1e-9)
    assert not first.is_height_known
    assert second is None


def test_the_rate_of_localized_images_can_be_limited_while_the_node_runs(robot: Robot) -> None:
    (answer,) = robot.node.set_parameters([Parameter("max_rate", value=2.0)])
    assert answer.successful
    robot.send(stamp_ns=START)
    for tenths in (1, 2, 3, 4):
        before = robot.node.counters.totals()[Event.SKIPPED]
        robot.publish_image(START + tenths * SECOND // 10)
        robot.world.wait(lambda before=before: robot.node.counters.totals()[Event.SKIPPED] > before, "a skip")
    robot.send(stamp_ns=START + SECOND // 2)
    assert len(robot.localizer.images) == 2


def test_a_low_rate_is_no_loss_of_the_pose() -> None:
    assert LocalizationNodeSettings(fix_timeout=2.0, max_rate=0.1).longest_silence_s == 20.0
    assert LocalizationNodeSettings(fix_timeout=2.0).longest_silence_s == 2.0


def test_a_limited_rate_is_kept_on_average_and_after_gaps() -> None:
    limit = RateLimit()
    thirty_hz = [round(i * 1e9 / 30 + 2e6 * (-1) ** i) for i in range(1, 301)]
    assert sum(limit.admits(stamp, 10.0) for stamp in thirty_hz) == pytest.approx(100, abs=1)
    assert limit.admits(100 * SECOND, 10.0)
    assert not limit.admits(100 * SECOND + SECOND // 30, 10.0)
    assert limit.admits(100 * SECOND + SECOND // 10, 10.0)
    assert limit.admits(100 * SECOND + SECOND // 9, 0.0)


def test_another_node_that_broadcasts_map_to_odom_is_named_in_diagnostics(robot: Robot) -> None:
    now_ns = robot.node.get_clock().now().nanoseconds
    robot.send_odometry(now_ns)
    robot.send(stamp_ns=now_ns)
    assert robot.diagnosed("Localized.").level == b"\x00"
    amcl = transform_message(now_ns, "map", "odom", T_MAP_BASE)
    robot.world.publish("/tf", TFMessage(transforms=[amcl]))
    report = robot.diagnosed("Another node broadcasts map to odom")
    assert report.level == b"\x02"
    assert "publish_tf" in report.message


def test_a_base_frame_that_is_not_on_tf_is_named_in_diagnostics(world: Any, picture: np.ndarray) -> None:
    robot = Robot(world, picture, base_frame="chassis")
    robot.mount_camera()
    robot.send()
    report = robot.diagnosed("nobody publishes chassis")
    assert "set base_frame" in report.message
    assert robot.poses == []
