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

"""localization_node over DDS, with a fake localizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from camera_robot import (
    CAMERA,
    SECOND,
    START,
    T_BASE_CAMERA,
    T_MAP_BASE,
    T_ODOM_BASE,
    FakeLocalizer,
    FakeMap,
    Robot,
)
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.geometry.pose import inverse, make_pose
from scene_geo_loc.localization.estimate import PoseEstimate, Status
from scene_geo_loc.localization.verification.rejection import Rejection, RejectionKind
from scene_geo_loc.ros.common.counters import BadReason, Event
from scene_geo_loc.ros.common.messages import (
    image_message,
    ns_to_stamp,
    pose_from_message,
    pose_from_transform,
    pose_with_covariance,
    stamp_to_ns,
)
from scene_geo_loc.ros.localization.node import LocalizationNode

FEW_INLIERS = Rejection(RejectionKind.INLIER_RATIO, 0.081, 0.13)


@pytest.fixture
def robot(world: Any, picture: np.ndarray) -> Robot:
    robot = Robot(world, picture)
    robot.mount_camera()
    return robot


def test_a_localized_image_gives_the_pose_of_the_robot_in_the_map_with_the_stamp_of_the_image(
    robot: Robot,
) -> None:
    stamp_ns = robot.send()
    pose = robot.world.wait(lambda: robot.poses, "a pose")[-1]
    assert pose.header.frame_id == "map"
    assert stamp_to_ns(pose.header.stamp) == stamp_ns
    np.testing.assert_allclose(pose_from_message(pose.pose), T_MAP_BASE, atol=1e-9)
    robot.state_becomes("localized")


def test_the_covariance_is_that_of_the_robot_and_not_of_the_camera(robot: Robot) -> None:
    robot.send()
    message = robot.world.wait(lambda: robot.poses_with_covariance, "a pose with covariance")[-1]
    covariance = np.asarray(message.pose.covariance).reshape(6, 6)
    # The camera is 1.5 m ahead and 1.2 m up: a pitch of variance 1e-4 moves the robot's origin by
    # 1.2 m per radian forwards and, with yaw, 1.5 m per radian sideways and upwards.
    expected = 0.01 + 1e-4 * np.array([1.2**2, 1.5**2 + 1.2**2, 1.5**2])
    np.testing.assert_allclose(np.diag(covariance)[:3], expected, rtol=1e-9)
    np.testing.assert_allclose(np.diag(covariance)[3:], 1e-4)


def test_map_to_odom_corrects_odometry_to_the_estimate_and_is_dated_ahead_by_the_tolerance(
    robot: Robot,
) -> None:
    stamp_ns = START + SECOND
    robot.send_odometry(stamp_ns - SECOND // 20)
    robot.send_odometry(stamp_ns + SECOND // 20)
    robot.send(stamp_ns=stamp_ns)
    stamps, poses = zip(*robot.world.wait(robot.corrections, "map -> odom"), strict=True)
    assert stamps[0] == stamp_ns + SECOND // 10
    np.testing.assert_allclose(poses[0], T_MAP_BASE @ inverse(T_ODOM_BASE), atol=1e-9)
    np.testing.assert_allclose(poses[0] @ T_ODOM_BASE, T_MAP_BASE, atol=1e-9)


def test_map_to_odom_is_repeated_between_poses_with_the_present_time(robot: Robot) -> None:
    now_ns = robot.node.get_clock().now().nanoseconds
    robot.send_odometry(now_ns)
    robot.send(stamp_ns=now_ns)
    robot.world.wait(lambda: len(robot.corrections()) > 5, "map -> odom again and again")
    stamps = [stamp for stamp, _ in robot.corrections()]
    assert len(set(stamps)) == len(stamps)
    assert stamps[-1] > now_ns + SECOND // 10


def test_map_to_odom_is_withheld_until_the_first_pose(robot: Robot) -> None:
    robot.localizer.answer = PoseEstimate(Status.LOST, rejection=FEW_INLIERS)
    stamp_ns = START
    robot.send_odometry(stamp_ns)
    robot.send(stamp_ns=stamp_ns)
    robot.state_becomes("lost")
    assert robot.corrections() == []
    robot.localizer.answer = None
    robot.send_odometry(stamp_ns + SECOND)
    robot.send(stamp_ns=stamp_ns + SECOND)
    robot.world.wait(robot.corrections, "map -> odom")


@pytest.mark.parametrize("status", [Status.LOST, Status.RETRIEVED_ONLY])
def test_an_image_that_is_not_localized_gives_a_state_and_no_pose(robot: Robot, status: Status) -> None:
    robot.localizer.answer = PoseEstimate(status, T_map_base=T_MAP_BASE, rejection=FEW_INLIERS)
    robot.send()
    robot.state_becomes(status.value)
    assert robot.diagnosed("8.1 % < 13 %").level == b"\x01"
    assert robot.poses == []
    assert robot.poses_with_covariance == []


def test_without_odometry_the_pose_is_published_and_diagnostics_say_what_is_missing(robot: Robot) -> None:
    robot.send()
    robot.world.wait(lambda: robot.poses, "a pose")
    assert "nobody publishes odom" in robot.diagnosed("publish_tf").message
    assert robot.corrections() == []


def test_without_the_mounting_of_the_camera_poses_are_withheld_and_diagnostics_say_so(
    world: Any, picture: np.ndarray
) -> None:
    robot = Robot(world, picture)
    robot.send()
    assert "Poses are withheld" in robot.diagnosed("base_T_camera").message
    assert robot.poses == []
    assert "localized" not in [state.data for state in robot.states]


def test_the_mounting_can_be_a_parameter_and_map_to_base_be_broadcast(
    world: Any, picture: np.ndarray
) -> None:
    robot = Robot(
        world, picture, base_T_camera=[1.5, 0.0, 1.2, -0.5, 0.5, -0.5, 0.5], publish_tf="map_to_base"
    )
    stamp_ns = robot.send()
    item = robot.world.wait(lambda: robot.transforms, "map -> base_link")[0].transforms[0]
    assert (item.header.frame_id, item.child_frame_id) == ("map", "base_link")
    assert stamp_to_ns(item.header.stamp) == stamp_ns
    np.testing.assert_allclose(pose_from_transform(item.transform), T_MAP_BASE, atol=1e-9)


def test_compressed_images_are_localized_as_raw_ones(world: Any, picture: np.ndarray) -> None:
    cv2 = pytest.importorskip("cv2")
    robot = Robot(world, picture, image_transport="compressed")
    robot.mount_camera()
    data = cv2.imencode(".png", picture[..., ::-1])[1].tobytes()
    robot.send(CompressedImage(format="png", data=data))
    robot.world.wait(lambda: robot.poses, "a pose")
    np.testing.assert_array_equal(robot.localizer.images[0], picture)


def test_the_depth_image_of_the_same_stamp_is_localized_with_the_image(
    world: Any, picture: np.ndarray
) -> None:
    robot = Robot(world, picture, depth_topic="depth/image_raw", rig_tolerance=1.0)
    robot.mount_camera()
    millimetres = np.full((48, 64), 1500, np.uint16)
    for stamp_ns in (START, START + SECOND // 10):
        depth = Image(height=48, width=64, encoding="16UC1", step=128, data=millimetres.tobytes())
        depth.header.stamp, depth.header.frame_id = ns_to_stamp(stamp_ns), "camera_optical_frame"
        world.publish("depth/image_raw", depth)
        millimetres += 1000
    for _ in range(2):
        robot.send()
    world.wait(lambda: len(robot.poses) == 2, "two poses")
    for i, expected_m in enumerate((1.5, 2.5)):
        found = robot.localizer.depths[i]
        assert found is not None
        np.testing.assert_allclose(found, np.full((48, 64), expected_m), rtol=1e-6)


def test_an_image_without_its_depth_image_is_localized_without_and_counted(
    world: Any, picture: np.ndarray
) -> None:
    robot = Robot(world, picture, depth_topic="depth/image_raw", rig_tolerance=0.0)
    robot.mount_camera()
    robot.send()
    world.wait(lambda: robot.poses, "a pose")
    assert robot.localizer.depths == [None]
    assert robot.bad(BadReason.NO_DEPTH_IMAGE) == 1


def test_bad_images_are_counted_by_reason_and_the_node_goes_on(robot: Robot, picture: np.ndarray) -> None:
    truncated = image_message(0, "", picture)
    truncated.data = truncated.data[:100]
    robot.send(truncated)
    unknown = image_message(0, "", picture)
    unknown.encoding = "holographic"
    robot.send(unknown)
    assert robot.bad(BadReason.UNDECODABLE_IMAGE) == 2
    robot.send(image_message(0, "", picture[:24]))
    assert robot.bad(BadReason.IMAGE_SIZE) == 1
    robot.send(image_message(0, "", np.zeros_like(picture)))
    assert robot.bad(BadReason.NO_CONTRAST) == 1
    report = robot.diagnosed("undecodable image")
    assert report.level == b"\x01"
    assert "holographic" in robot.diagnosed("holographic").message
    robot.send()
    robot.world.wait(lambda: robot.poses, "a pose")


def test_images_without_usable_intrinsics_are_counted(robot: Robot) -> None:
    robot.world.publish("camera/camera_info", CameraInfo(width=64, height=48))
    infos = robot.pipeline.inputs.camera._infos
    robot.world.wait(lambda: not any(infos.at(START).k), "the zero camera_info")
    robot.send()
    assert robot.bad(BadReason.UNUSABLE_CAMERA_INFO) == 1
    assert robot.diagnosed("1 x unusable camera_info (")
    robot.send_camera_info()


KALIBR = """
cam0: {camera_model: pinhole, intrinsics: [9, 9, 9, 9], resolution: [9, 9], rostopic: /rear/image_raw}
cam1: {camera_model: pinhole, intrinsics: [50, 50, 32, 24], resolution: [64, 48], rostopic: /camera/image_raw}
"""


def test_a_calibration_file_takes_the_place_of_camera_info(
    world: Any, picture: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "camchain.yaml"
    path.write_text(KALIBR)
    robot = Robot(world, picture, calibration_file=str(path))
    robot.mount_camera()
    robot.send()
    robot.world.wait(lambda: robot.poses, "a pose")
    assert robot.localizer.cameras == [CAMERA]
    assert world.node.count_subscribers("/camera/camera_info") == 0


def test_an_unusable_calibration_file_is_named_and_the_node_stays_inactive(context: None) -> None:
    node = LocalizationNode(
        lambda settings: (FakeLocalizer(), FakeMap()),  # type: ignore[arg-type,return-value]
        parameter_overrides=[Parameter("calibration_file", value="nowhere.yaml")],
    )
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.FAILURE
    node.destroy_node()


@pytest.mark.parametrize(("bits", "shift"), [(-1, 4), (16, 8)])
def test_the_bits_of_images_can_be_set(world: Any, picture: np.ndarray, bits: int, shift: int) -> None:
    robot = Robot(world, picture, image_bits=bits)
    robot.mount_camera()
    deep = picture.astype("<u2") << 4
    message = image_message(0, "", picture)
    message.encoding, message.step, message.data = "rgb16", 6 * 64, deep.tobytes()
    robot.send(message)
    robot.world.wait(lambda: robot.poses, "a pose")
    np.testing.assert_array_equal(robot.localizer.images[0], (deep >> shift).astype(np.uint8))


def test_images_that_come_twice_or_late_are_left_out(robot: Robot) -> None:
    first = robot.send(stamp_ns=START)
    robot.send(stamp_ns=first)
    robot.send(stamp_ns=first - SECOND // 10)
    assert robot.bad(BadReason.DUPLICATE_STAMP) == 1
    assert robot.bad(BadReason.STAMP_OUT_OF_ORDER) == 1
    assert len(robot.localizer.images) == 1


def test_a_defect_in_the_localizer_is_reported_and_the_next_image_is_localized(robot: Robot) -> None:
    robot.localizer.answer = ZeroDivisionError("a defect")
    robot.send()
    assert robot.diagnosed("with a defect").level == b"\x02"
    robot.localizer.answer = SceneGeoLocError("The image is odd.")
    robot.send()
    robot.localizer.answer = None
    robot.send()
    robot.world.wait(lambda: robot.poses, "a pose")


def test_without_poses_for_a_while_the_state_is_lost(world: Any, picture: np.ndarray) -> None:
    robot = Robot(world, picture, fix_timeout=0.3)
    robot.mount_camera()
    robot.send()
    robot.state_becomes("localized")
    robot.state_becomes("lost")
    assert robot.diagnosed("No image on camera/image_raw").level == b"\x02"


def test_a_suspended_node_localizes_nothing_until_it_is_resumed(robot: Robot) -> None:
    assert robot.call("suspend").success
    robot.state_becomes("suspended")
    assert not robot.call("suspend").success
    received = robot.node.counters.totals()[Event.RECEIVED]
    robot.world.publish("camera/image_raw", image_message(START, "camera_optical_frame", robot.picture))
    robot.world.wait(lambda: robot.node.counters.totals()[Event.RECEIVED] > received, "the image")
    assert robot.localizer.images == []
    assert robot.call("resume").success
    robot.state_becomes("initializing")
    robot.send()
    robot.state_becomes("localized")


def test_relocalize_drops_the_last_pose_and_withholds_map_to_odom(robot: Robot) -> None:
    robot.send_odometry(START)
    robot.send(stamp_ns=START)
    robot.world.wait(robot.corrections, "map -> odom")
    assert robot.call("relocalize").success
    robot.state_becomes("initializing")
    count = len(robot.corrections())
    robot.diagnostics.clear()
    robot.world.wait(lambda: len(robot.diagnostics) > 1, "a second to pass")
    assert len(robot.corrections()) <= count + 1


def test_an_initial_pose_is_the_prior_until_the_first_localized_image(robot: Robot) -> None:
    robot.localizer.answer = PoseEstimate(Status.LOST, rejection=FEW_INLIERS)
    robot.world.publish(
        "initialpose", pose_with_covariance(0, "map", T_MAP_BASE, np.diag([16.0, 4, 0, 0, 0, 0]))
    )
    robot.world.wait(lambda: robot.pipeline.initial_poses.newest, "the initial pose")
    robot.send()
    robot.localizer.answer = None
    robot.send()
    robot.send()
    first, second, third = robot.localizer.priors
    np.testing.assert_allclose(first.T_map_camera, T_MAP_BASE @ T_BASE_CAMERA, atol=1e-9)
    assert first.radius_m == pytest.approx(12.0)
    assert second is not None
    assert third is None


def clicked_in_rviz(x: float, y: float) -> PoseWithCovarianceStamped:
    """The message of RViz's 2D Pose Estimate: z is 0, with a variance of 0."""
    covariance = np.diag([0.25, 0.25, 0.0, 0.0, 0.0, 0.0685])
    return pose_with_covariance(0, "map", make_pose(np.eye(3), (x, y, 0.0)), covariance)


def test_a_pose_clicked_in_a_plan_selects_the_keyframes_beside_it_at_any_height(robot: Robot) -> None:
    robot.world.publish("initialpose", clicked_in_rviz(100.0, 50.0))
    robot.world.wait(lambda: robot.pipeline.initial_poses.newest, "the initial pose")
    robot.send()
    (prior,) = robot.localizer.priors
    below, aside = (make_pose(np.eye(3), at) for at in ((101.5, 50.0, -6.0), (110.0, 50.0, 1.2)))
    near, far = prior.distances(np.stack([below, aside]))
    assert near < prior.radius_m < far


def test_an_initial_pose_with_a_height_excludes_other_storeys(robot: Robot) -> None:
    robot.world.publish(
        "initialpose", pose_with_covariance(0, "map", T_MAP_BASE, np.diag([0.25] * 3 + [0.0] * 3))
    )
    robot.world.wait(lambda: robot.pipeline.initial_poses.newest, "the initial pose")
    robot.send()
    (prior,) = robot.localizer.priors
    (away,) = prior.distances(np.stack([T_MAP_BASE @ make_pose(np.eye(3), (0.0, 0.0, -6.0))]))
    assert away > prior.radius_m


def test_a_wrong_initial_pose_does_not_stop_localization(robot: Robot) -> None:
    robot.localizer.answer = PoseEstimate(Status.LOST, rejection=FEW_INLIERS)
    robot.world.publish("initialpose", clicked_in_rviz(900.0, 900.0))
    robot.world.wait(lambda: robot.pipeline.initial_poses.newest, "the initial pose")
    for _ in range(6):
        robot.send()
    assert [prior is None for prior in robot.localizer.priors] == [False] * 3 + [True, False, True]


def test_initial_poses_that_are_malformed_or_in_another_frame_are_rejected(robot: Robot) -> None:
    elsewhere = pose_with_covariance(0, "odom", T_MAP_BASE, np.eye(6))
    not_finite = pose_with_covariance(0, "map", T_MAP_BASE, np.eye(6))
    not_finite.pose.pose.position.x = float("nan")
    no_rotation = pose_with_covariance(0, "map", T_MAP_BASE, np.eye(6))
    no_rotation.pose.pose.orientation.w = 0.0
    negative = pose_with_covariance(0, "map", T_MAP_BASE, -np.eye(6))
    for count, message in enumerate((elsewhere, not_finite, no_rotation, negative), start=1):
        robot.world.publish("initialpose", message)
        robot.world.wait(lambda count=count: robot.bad(BadReason.INITIAL_POSE) == count, f"rejection {count}")
    robot.send()
    assert robot.localizer.priors == [None]


def test_stamps_that_jump_back_start_the_node_over(robot: Robot) -> None:
    robot.send_odometry(START + 100 * SECOND)
    robot.send(stamp_ns=START + 100 * SECOND)
    robot.world.wait(robot.corrections, "map -> odom")
    robot.send(stamp_ns=START)
    robot.states_end_with("localized", "initializing", "localized")
    assert "begins" not in robot.pipeline.publisher.problem
    robot.send(stamp_ns=START)
    assert robot.bad(BadReason.DUPLICATE_STAMP) == 1


def test_a_clock_that_jumps_back_starts_the_node_over(world: Any, picture: np.ndarray) -> None:
    robot = Robot(world, picture, use_sim_time=True)
    robot.mount_camera()
    world.publish("/clock", Clock(clock=ns_to_stamp(START + 100 * SECOND)))
    robot.send(stamp_ns=START + 100 * SECOND)
    robot.state_becomes("localized")
    world.publish("/clock", Clock(clock=ns_to_stamp(START)))
    robot.state_becomes("initializing")
    robot.send(stamp_ns=START)
    robot.state_becomes("localized")


def test_the_node_can_be_deactivated_cleaned_up_and_started_again(robot: Robot) -> None:
    robot.send()
    robot.state_becomes("localized")
    assert robot.node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    robot.state_becomes("suspended")
    assert not robot.call("resume").success
    assert robot.node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
    assert robot.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert robot.node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    robot.state_becomes("initializing")


def test_a_map_that_is_missing_fails_to_configure_and_leaves_the_node_alive(
    context: None, tmp_path: Path
) -> None:
    node = LocalizationNode(parameter_overrides=[Parameter("map", value=str(tmp_path / "none"))])
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    node.destroy_node()


def test_a_healthy_node_says_so_with_its_numbers(robot: Robot) -> None:
    now_ns = robot.node.get_clock().now().nanoseconds
    robot.send_odometry(now_ns)
    robot.send(stamp_ns=now_ns)
    report = robot.diagnosed("Localized.")
    values = {item.key: item.value for item in report.values}
    assert report.level == b"\x00"
    assert values["state"] == "localized"
    assert values["keyframes"] == "7"
    counts = [values[f"frames_{what}"] for what in ("received", "processed", "dropped")]
    assert counts == ["1", "1", "0"]
    assert values["inliers"] == "120"
    assert float(values["latency_p95_ms"]) > 0


def test_a_tolerance_can_be_changed_while_the_node_runs_and_a_frame_cannot(robot: Robot) -> None:
    live, fixed = robot.node.set_parameters(
        [Parameter("transform_tolerance", value=0.5), Parameter("base_frame", value="another")]
    )
    assert live.successful
    assert robot.pipeline.publisher._tolerance_ns == SECOND // 2
    assert not fixed.successful
