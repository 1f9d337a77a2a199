"""localization_node with tracking, over DDS."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from camera_robot import SECOND, START, T_BASE_CAMERA, T_MAP_BASE, T_ODOM_BASE, Robot

from scene_geo_loc.geometry.pose import make_pose
from scene_geo_loc.localization.estimate import PoseEstimate, Status
from scene_geo_loc.localization.rejection import Rejection, RejectionKind
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
    robot.world.wait(lambda: robot.poses, "a pose")
    assert len(robot.poses) == 1
    np.testing.assert_allclose(pose_from_message(robot.poses[0].pose), T_MAP_BASE, atol=1e-9)


def test_an_image_that_is_lost_gets_a_dead_reckoned_pose(robot: Robot) -> None:
    follow(robot)
    robot.localizer.answer = LOST
    stamp_ns = next(robot.stamps)
    robot.send_odometry(stamp_ns, T_ODOM_BASE @ AHEAD)
    robot.send(stamp_ns=stamp_ns)
    robot.state_becomes("dead_reckoned")
    pose = robot.world.wait(lambda: robot.poses[1:], "a second pose")[-1]
    assert stamp_to_ns(pose.header.stamp) == stamp_ns
    np.testing.assert_allclose(pose_from_message(pose.pose), T_MAP_BASE @ AHEAD, atol=1e-9)
    before, after = (np.asarray(m.pose.covariance).reshape(6, 6) for m in robot.poses_with_covariance)
    assert (np.linalg.eigvalsh(after - before) > -1e-12).all()
    assert np.trace(after) > np.trace(before)
    assert robot.diagnosed("Dead-reckoned by odometry").level == b"\x01"


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
