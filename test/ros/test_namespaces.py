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

"""Two robots, each with its nodes in a namespace of its own and its transforms on topics of its own."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
from camera_robot import CAMERA, T_BASE_CAMERA, T_ODOM_BASE, FakeLocalizer, FakeMap
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rclpy.lifecycle import TransitionCallbackReturn
from ros_programs import Programs
from tf2_msgs.msg import TFMessage

from scene_geo_loc.ros.common.messages import camera_info_message, image_message, transform_message
from scene_geo_loc.ros.localization.node import LocalizationNode
from scene_geo_loc.traversals.rosbag.bag import Bag

OWN_TRANSFORMS = ["--ros-args", "-r", "/tf:=tf", "-r", "/tf_static:=tf_static"]


def test_the_names_of_two_robots_nodes_differ_in_diagnostics(world: Any) -> None:
    for robot in ("robot1", "robot2"):
        node = LocalizationNode(
            lambda settings: (FakeLocalizer(), FakeMap()),  # type: ignore[arg-type,return-value]
            namespace=robot,
        )
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        world.spin(node)
    reports = world.listen(DiagnosticArray, "/diagnostics")
    names = {"robot1/localization_node: localization", "robot2/localization_node: localization"}
    world.wait(lambda: names <= {m.status[0].name for m in reports}, "the reports of both")


def test_two_robots_at_once_are_localized_each_by_its_own_camera_and_transforms(
    world: Any, picture: np.ndarray
) -> None:
    for robot in ("robot1", "robot2"):
        node = LocalizationNode(
            lambda settings: (FakeLocalizer(), FakeMap()),  # type: ignore[arg-type,return-value]
            namespace=robot,
            cli_args=OWN_TRANSFORMS,
        )
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        world.spin(node)
    kinds = {"localization/pose": PoseStamped, "tf": TFMessage}
    poses1, tf1 = world.listen_to({f"/robot1/{topic}": kind for topic, kind in kinds.items()})
    poses2, tf2 = world.listen_to({f"/robot2/{topic}": kind for topic, kind in kinds.items()})
    mounting = transform_message(0, "base_link", "camera_optical_frame", T_BASE_CAMERA)
    world.publish("/robot1/tf_static", TFMessage(transforms=[mounting]), latched=True)

    def is_localized() -> bool:
        # The messages of several topics arrive in any order.
        now_ns = world.node.get_clock().now().nanoseconds
        moved = transform_message(now_ns, "odom", "base_link", T_ODOM_BASE)
        world.publish("/robot1/tf", TFMessage(transforms=[moved]))
        world.publish("/robot1/camera/camera_info", camera_info_message(now_ns, "", CAMERA))
        image = image_message(now_ns, "camera_optical_frame", picture)
        world.publish("/robot1/camera/image_raw", image)
        time.sleep(0.1)
        corrections = [t for m in tf1 for t in m.transforms if t.header.frame_id == "map"]
        return bool(poses1 and corrections)

    world.wait(is_localized, "the pose of robot1")
    assert poses2 == []
    assert tf2 == []


def test_transforms_can_be_remapped_into_the_namespace_of_a_robot(context: None) -> None:
    node = LocalizationNode(
        lambda settings: (FakeLocalizer(), FakeMap()),  # type: ignore[arg-type,return-value]
        namespace="robot1",
        cli_args=OWN_TRANSFORMS,
    )
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    published = {publisher.topic_name for publisher in node.publishers}
    heard = {subscription.topic_name for subscription in node.subscriptions}
    node.destroy_node()
    assert {"/robot1/tf", "/robot1/localization/pose"} <= published
    assert {"/robot1/tf", "/robot1/tf_static", "/robot1/initialpose"} <= heard
    assert not {"/tf", "/tf_static"} & (published | heard)


def test_a_recording_is_played_and_recorded_in_a_namespace(
    context: None, start: Programs, recording: Path, tmp_path: Path
) -> None:
    topics = "[camera/image_raw, tf_static]"
    in_namespace = ["-r", "__ns:=/robot1"]
    recorder = start("bag_recorder", *in_namespace, out=str(tmp_path / "copy"), topics=topics)
    player = start(
        "bag_player", *in_namespace, bag=str(recording), wait_for=topics, in_namespace="true", rate="5.0"
    )
    assert player.wait(60) == 0, player.communicate()[0]
    recorder.send_signal(signal.SIGINT)
    said, _ = recorder.communicate(timeout=60)
    assert recorder.returncode == 0, said
    assert Bag(tmp_path / "copy").counts == {"/robot1/camera/image_raw": 5, "/robot1/tf_static": 1}
