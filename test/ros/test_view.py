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

"""The views of localization_node over DDS: made only where somebody listens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from camera_robot import T_BASE_CAMERA, T_MAP_BASE, Robot
from geometry_msgs.msg import PointStamped
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter

from scene_geo_loc.localization.estimate import CameraEstimate, Candidate, Matches, PoseEstimate, Status
from scene_geo_loc.localization.view.messages import (
    CANDIDATES,
    DELETE,
    KEYFRAMES,
    LATCHED,
    MATCH_LINES,
    MATCHES,
    PATH,
    PICTURE,
    PICTURE_JPEG,
    POSITION,
    SELECTED,
    THUMBNAIL,
    TOPICS,
    ViewMessages,
)
from scene_geo_loc.ros.common.messages import message_class, stamp_to_ns

MATCHED = Matches(
    np.zeros((2, 2)),
    np.array([3, 3]),
    np.zeros((2, 2)),
    np.array([[110.0, 50.0, 2.0], [111.0, 50.0, 2.0]]),
    np.zeros((2, 3)),
    np.array([True, False]),
)
EVIDENCE = CameraEstimate(candidates=[Candidate(3, 0.9, matches=2, inliers=1)], matches=MATCHED)
LOCALIZED = PoseEstimate(
    Status.LOCALIZED,
    T_map_base=T_MAP_BASE @ T_BASE_CAMERA,
    covariance=np.diag([0.04] * 3 + [1e-12] * 3),
    inliers=1,
    cameras=[EVIDENCE],
)


@pytest.fixture
def robot(world: Any, picture: np.ndarray) -> Robot:
    robot = Robot(world, picture)
    robot.mount_camera()
    robot.localizer.answer = LOCALIZED
    return robot


def made(robot: Robot, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The list that fills with the names of the messages that are made."""
    names: list[str] = []
    for name in ("keyframes", "keyframe_views", "candidates", "matches", "match_lines", "path", "ellipsoid"):
        original = getattr(ViewMessages, name)

        def recorded(self: Any, *args: Any, name: str = name, original: Any = original) -> Any:
            names.append(name)
            return original(self, *args)

        monkeypatch.setattr(ViewMessages, name, recorded)
    return names


def listen(robot: Robot, *topics: str) -> list[list[Any]]:
    kinds = {topic: message_class(TOPICS[topic]) for topic in topics}
    received = robot.world.listen_to(kinds, latched=[topic for topic in topics if topic in LATCHED])
    for topic in topics:
        publisher = robot.pipeline._view._publishers[topic]
        robot.world.wait(publisher.get_subscription_count, f"the node to know the subscriber of {topic}")
    return received


def test_nothing_is_made_without_a_subscriber_and_what_is_made_then_shows_the_estimate(
    robot: Robot, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = made(robot, monkeypatch)
    robot.send()
    robot.world.wait(lambda: len(robot.diagnostics) > 2, "some seconds without a subscriber")
    assert names == []

    candidates, matches, lines, ellipsoids = listen(robot, CANDIDATES, MATCHES, MATCH_LINES, POSITION)
    stamp_ns = robot.send()
    ellipsoid = robot.world.wait(lambda: ellipsoids, "the ellipsoid, the last of them")[0]
    for received in (candidates, matches, lines):
        robot.world.wait(lambda received=received: received, "the evidence of the image")
    assert set(names) == {"candidates", "matches", "match_lines", "ellipsoid"}
    assert stamp_to_ns(matches[0].header.stamp) == stamp_ns
    assert matches[0].header.frame_id == "map"
    assert matches[0].width == 2
    assert candidates[0].markers[-1].text == "1: 0.90, 1 of 2"
    start, end = lines[0].points
    np.testing.assert_allclose([start.x, start.y, start.z], (T_MAP_BASE @ T_BASE_CAMERA)[:3, 3])
    assert (end.x, end.y, end.z) == (110.0, 50.0, 2.0)
    position = ellipsoid.pose.position
    np.testing.assert_allclose([position.x, position.y, position.z], T_MAP_BASE[:3, 3])
    np.testing.assert_allclose(ellipsoid.scale.x, 2 * 2.7955 * 0.2, rtol=1e-3)

    robot.localizer.answer = replace(LOCALIZED, status=Status.LOST, T_map_base=None, covariance=None)
    robot.send()
    robot.world.wait(lambda: [one.action for one in ellipsoids[1:]] == [DELETE], "the ellipsoid to go")
    robot.world.wait(lambda: [one.action for one in lines[1:]] == [DELETE], "the lines to go")


def test_the_picture_of_the_matches_is_published_raw_and_as_jpeg(robot: Robot) -> None:
    pictures, jpegs = listen(robot, PICTURE, PICTURE_JPEG)
    robot.send()
    robot.world.wait(lambda: pictures and jpegs, "both pictures")
    picture, jpeg = pictures[0], jpegs[0]
    decoded = cv2.imdecode(np.frombuffer(jpeg.data, np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape == (picture.height, picture.width, 3)
    assert picture.header.frame_id == jpeg.header.frame_id == "camera_optical_frame"
    assert (picture.encoding, picture.step) == ("rgb8", 3 * picture.width)


def test_keyframes_and_the_path_reach_late_subscribers(robot: Robot) -> None:
    robot.send()
    robot.world.wait(lambda: robot.poses, "a pose")
    keyframes, paths = listen(robot, KEYFRAMES, PATH)
    robot.world.wait(lambda: keyframes and paths, "the keyframes and the path")
    assert (keyframes[0].width, keyframes[0].header.frame_id) == (7, "map")
    assert paths[0].poses[0].pose.position.x == pytest.approx(100.0)
    # The second subscriber gets them from the middleware: they are not made again.
    (again,) = listen(robot, KEYFRAMES)
    robot.world.wait(lambda: len(again) > 1, "the keyframes for a second subscriber")
    robot.call("relocalize")
    robot.world.wait(lambda: not paths[-1].poses, "the path to start anew")
    count = len(keyframes)
    other = Parameter("map", value="other_street").to_parameter_msg()
    request = SetParameters.Request(parameters=[other])
    (answer,) = robot.world.call(SetParameters, "localization_node/set_parameters", request).results
    assert answer.successful
    robot.world.wait(lambda: len(keyframes) > count, "the keyframes of another map")


def test_a_clicked_point_gets_the_nearest_keyframe_and_its_picture(robot: Robot) -> None:
    selected, pictures = listen(robot, SELECTED, THUMBNAIL)
    point = PointStamped()
    point.header.frame_id = "odom"
    robot.world.publish("clicked_point", point)
    point.header.frame_id, point.point.x = "map", 4.2
    robot.world.publish("clicked_point", point)
    robot.world.wait(lambda: selected and pictures, "the picture of the keyframe")
    assert selected[0].markers[-1].text == "4 image_4"
    assert set(pictures[0].data) == {4}
    assert (len(selected), pictures[0].encoding) == (1, "rgb8")
