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

"""localization_node with tracking, over DDS."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from camera_robot import (
    SECOND,
    START,
    T_BASE_CAMERA,
    T_MAP_BASE,
    T_ODOM_BASE,
    FakeLocalizer,
    Robot,
)

from scene_geo_loc.geometry.pose import make_pose
from scene_geo_loc.localization.estimate import CameraEstimate, LocalizerSettings, PoseEstimate, Status
from scene_geo_loc.localization.retrieval.image_sequence import KeyframeVotes
from scene_geo_loc.localization.verification.rejection import Rejection, RejectionKind
from scene_geo_loc.ros.common.messages import pose_from_message, pose_with_covariance, stamp_to_ns

AHEAD = make_pose(np.eye(3), (1.0, 0.0, 0.0))
LOST = PoseEstimate(Status.LOST, rejection=Rejection(RejectionKind.UNKNOWN_PLACE, 0.0, 0.1))


def estimate_at(T_map_base: np.ndarray) -> PoseEstimate:
    covariance = np.diag([0.01] * 3 + [0.0001] * 3)
    return PoseEstimate(Status.LOCALIZED, T_map_base @ T_BASE_CAMERA, covariance)


@pytest.fixture
def robot(world: Any, picture: np.ndarray) -> Robot:
    robot = Robot(world, picture, tracking=True)
    robot.mount_camera()
    return robot


def follow(robot: Robot, images: int = 3) -> None:
    """Sends images that are localized where the robot stands until it is sure."""
    for _ in range(images):
        stamp_ns = next(robot.stamps)
        robot.send_odometry(stamp_ns)
        robot.send(stamp_ns=stamp_ns)
    robot.state_becomes("localized")


def test_a_pose_is_published_once_three_estimates_agree(robot: Robot) -> None:
    follow(robot)
    robot.states_end_with("initializing", "lost", "localized")
    robot.world.wait(lambda: robot.poses and robot.tracked, "a pose")
    assert (len(robot.poses), len(robot.tracked)) == (1, 1)
    np.testing.assert_allclose(pose_from_message(robot.poses[0].pose), T_MAP_BASE, atol=1e-9)


def test_an_image_that_is_lost_gets_a_dead_reckoned_pose(robot: Robot) -> None:
    follow(robot)
    robot.localizer.answer = LOST
    stamp_ns = next(robot.stamps)
    robot.send_odometry(stamp_ns, T_ODOM_BASE @ AHEAD)
    robot.send(stamp_ns=stamp_ns)
    robot.state_becomes("dead_reckoned")
    pose = robot.world.wait(lambda: robot.tracked[1:], "a second pose")[-1]
    assert stamp_to_ns(pose.header.stamp) == stamp_ns
    np.testing.assert_allclose(pose_from_message(pose.pose.pose), T_MAP_BASE @ AHEAD, atol=1e-9)
    before, after = (np.asarray(m.pose.covariance).reshape(6, 6) for m in robot.tracked)
    assert (np.linalg.eigvalsh(after - before) > -1e-12).all()
    assert np.trace(after) > np.trace(before)
    assert robot.diagnosed("Dead-reckoned by odometry").level == b"\x01"


def test_measured_poses_rest_on_the_image_alone_so_that_a_filter_counts_odometry_once(robot: Robot) -> None:
    follow(robot)
    measured = estimate_at(T_MAP_BASE @ make_pose(np.eye(3), (0.1, 0.0, 0.0)))
    robot.localizer.answer = measured
    stamp_ns = next(robot.stamps)
    robot.send_odometry(stamp_ns)
    robot.send(stamp_ns=stamp_ns)
    pose = robot.world.wait(lambda: robot.poses_with_covariance[1:], "a second measured pose")[-1]
    fused = robot.world.wait(lambda: robot.tracked[1:], "a second tracked pose")[-1]
    assert pose.pose.pose.position.x == pytest.approx(T_MAP_BASE[0, 3] + 0.1)
    assert T_MAP_BASE[0, 3] < fused.pose.pose.position.x < T_MAP_BASE[0, 3] + 0.09
    assert pose.pose.covariance[0] > fused.pose.covariance[0]
    robot.localizer.answer = LOST
    stamp_ns = next(robot.stamps)
    robot.send_odometry(stamp_ns)
    robot.send(stamp_ns=stamp_ns)
    robot.world.wait(lambda: robot.tracked[2:], "a dead-reckoned pose")
    assert len(robot.poses_with_covariance) == len(robot.poses) == 2


def test_map_to_odom_stays_while_the_pose_is_dead_reckoned(robot: Robot) -> None:
    follow(robot)
    robot.localizer.answer = LOST
    stamp_ns = next(robot.stamps)
    robot.send_odometry(stamp_ns, T_ODOM_BASE @ AHEAD)
    robot.send(stamp_ns=stamp_ns)
    robot.world.wait(lambda: any(s == stamp_ns + SECOND // 10 for s, _ in robot.corrections()), "map -> odom")
    corrections = [T for _, T in robot.corrections()]
    np.testing.assert_allclose(corrections, np.tile(corrections[0], (len(corrections), 1, 1)), atol=1e-9)


def test_a_fix_elsewhere_is_not_published(robot: Robot) -> None:
    follow(robot)
    robot.localizer.answer = estimate_at(make_pose(np.eye(3), (40.0, 50.0, 0.0)))
    stamp_ns = next(robot.stamps)
    robot.send_odometry(stamp_ns)
    robot.send(stamp_ns=stamp_ns)
    robot.state_becomes("lost")
    assert "one of the two is wrong" in robot.diagnosed("Not localized").message
    assert len(robot.poses) == 1


def test_after_an_image_that_is_lost_the_next_is_searched_for_around_the_camera(robot: Robot) -> None:
    follow(robot, images=4)
    robot.localizer.answer = LOST
    for _ in range(2):
        stamp_ns = next(robot.stamps)
        robot.send_odometry(stamp_ns)
        robot.send(stamp_ns=stamp_ns)
    assert robot.localizer.priors[:5] == [None] * 5
    np.testing.assert_allclose(robot.localizer.priors[5].T_map_camera, T_MAP_BASE @ T_BASE_CAMERA, atol=1e-9)


def test_relocalize_and_an_initial_pose_reset_the_tracker(robot: Robot) -> None:
    follow(robot)
    assert robot.call("relocalize").success
    robot.state_becomes("initializing")
    follow(robot)
    robot.states_end_with("initializing", "lost", "localized")
    robot.world.publish("initialpose", pose_with_covariance(0, "map", T_MAP_BASE, np.eye(6)))
    robot.world.wait(lambda: robot.pipeline.initial_poses.newest, "the initial pose")
    robot.send()
    robot.state_becomes("lost")


def test_stamps_that_jump_back_reset_the_tracker(robot: Robot) -> None:
    follow(robot)
    robot.send(stamp_ns=START - 100 * SECOND)
    robot.states_end_with("localized", "initializing", "lost")


VOTES = KeyframeVotes(np.array([3]), np.array([0.5]))
UNSURE = PoseEstimate(
    Status.RETRIEVED_ONLY,
    T_MAP_BASE,
    rejection=Rejection(RejectionKind.INLIER_RATIO, 0.05, 0.1),
    cameras=[CameraEstimate(votes=VOTES)],
)


def drive(robot: Robot, metres: float) -> list[Any]:
    """Sends an image from a pose by odometry; returns the images before that it was localized with."""
    stamp_ns = next(robot.stamps)
    robot.send_odometry(stamp_ns, T_ODOM_BASE @ make_pose(np.eye(3), (metres, 0.0, 0.0)))
    robot.send(stamp_ns=stamp_ns)
    return robot.localizer.earlier[-1]


@pytest.fixture(params=[False, True], ids=["untracked", "tracked"])
def unsure(request: pytest.FixtureRequest, world: Any, picture: np.ndarray) -> Robot:
    """A robot whose images are retrieved only."""
    robot = Robot(world, picture, tracking=request.param)
    robot.mount_camera()
    robot.localizer.answer = UNSURE
    return robot


def test_images_before_are_placed_by_odometry_with_tracking_and_without(unsure: Robot) -> None:
    assert drive(unsure, 0.0) == drive(unsure, 0.5) == []
    (before,) = drive(unsure, 3.0)
    np.testing.assert_allclose(before.T_base_camera[:3, 3], (0.0, 0.0, -3.0), atol=1e-9)
    assert before.votes is VOTES
    assert len(drive(unsure, 6.0)) == 2
    assert drive(unsure, 300.0) == []  # odometry jumped


def test_a_reset_forgets_the_images_before(unsure: Robot) -> None:
    drive(unsure, 0.0)
    assert len(drive(unsure, 3.0)) == 1
    assert unsure.call("relocalize").success
    assert drive(unsure, 6.0) == []


def test_without_odometry_each_image_is_localized_alone_and_at_once(unsure: Robot) -> None:
    for _ in range(2):
        unsure.send()
    assert unsure.localizer.earlier == [[], []]


def test_with_sequences_of_one_image_none_is_kept(world: Any, picture: np.ndarray) -> None:
    localizer = FakeLocalizer()
    localizer.settings, localizer.answer = LocalizerSettings(sequence_images=1), UNSURE
    robot = Robot(world, picture, localizer)
    robot.mount_camera()
    assert [drive(robot, 3.0 * i) for i in range(3)] == [[], [], []]
