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

"""Plays a recording to a localization_node of its own and collects its answers."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.core.progress import ProgressCallback
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.geometry.transform_tree import TransformTree, TransformUnavailable
from scene_geo_loc.ros.common.messages import pose_from_message, stamp_to_ns
from scene_geo_loc.ros.harness.node_process import (
    check_alive,
    own_domain,
    running_node,
    spinning_node,
    wait_until_active,
)
from scene_geo_loc.traversals.messages.transforms import add_transforms
from scene_geo_loc.traversals.rosbag.bag import Bag, BagMessage

if TYPE_CHECKING:
    from rclpy.node import Node

    from scene_geo_loc.localization.estimate import LocalizerSettings

IMAGE, CAMERA_INFO = "/camera/image_raw", "/camera/camera_info"
SUBSCRIBER_TIMEOUT_S = 10.0
REAL_TIME_SLOWDOWN = 1.05
"""Slowdown up to which a replay ran in real time."""
ANSWER_TIMEOUT_S = 10.0
"""Time to wait for an image to be processed."""
POSE_DELAY_S = 0.05
"""Time that a pose may arrive after the report that its image was processed."""


@dataclass
class ReplayAnswers:
    """Images sent to the node and its answers; times are those of time.monotonic().

    Attributes:
        sent_s: time at which each image was published, by its stamp.
        processed_s: time at which the node reported each image as processed, by its stamp.
        poses: poses of the robot in the map and their times of arrival, by the image's stamp.
        states: messages of the state topic with their times of arrival, in order.
        base_T_camera: the camera's mounting in the recording.
    """

    sent_s: dict[int, float] = field(default_factory=dict)
    processed_s: dict[int, float] = field(default_factory=dict)
    poses: dict[int, tuple[Pose, float]] = field(default_factory=dict)
    states: list[tuple[float, str]] = field(default_factory=list)
    base_T_camera: Pose | None = None

    @property
    def slowdown(self) -> float:
        """Duration of the replay as a multiple of the recording's; 1 where the node kept up."""
        stamps = list(self.sent_s)
        if len(stamps) < 2:
            return 1.0
        recorded_s = (stamps[-1] - stamps[0]) / 1e9
        return max(1.0, (self.sent_s[stamps[-1]] - self.sent_s[stamps[0]]) / recorded_s)


def replay(
    path: Path,
    map_folder: Path,
    log: Path,
    on_progress: ProgressCallback,
    tracking: bool = False,
    localizer: LocalizerSettings | None = None,
) -> ReplayAnswers:
    """Plays a bag to a localization_node and collects what the node publishes.

    Args:
        path: a bag with images, their intrinsics, odometry and the camera's mounting on TF.
        map_folder: the map to localize in.
        log: file for the node's output.
        on_progress: receives images sent and images in the bag, with every image.
        tracking: whether the node follows the camera.
        localizer: settings of the localizer, where they are not the node's defaults.

    Raises SceneGeoLocError where the bag lacks a topic, or the node does not start or ends too early.
    """
    with replays(map_folder, image_topic_of(Bag(path)), log, tracking, localizer) as play:
        return play(path, on_progress)


@contextmanager
def replays(
    map_folder: Path,
    image_topic: str,
    log: Path,
    tracking: bool = False,
    localizer: LocalizerSettings | None = None,
) -> Iterator[Callable[[Path, ProgressCallback], ReplayAnswers]]:
    """Starts a localization_node; yields a function that plays a bag to it, see `replay`.

    Several bags are played in the order of their time.

    Args:
        image_topic: of the bags, see `image_topic_of`.
    """
    transport = "compressed" if image_topic.endswith("/compressed") else "raw"
    with (
        own_domain() as domain,
        running_node(map_folder, transport, log, tracking, localizer) as process,
        spinning_node("replay", domain) as node,
    ):
        player = _Player(node, process, log, tracking)
        yield player.play


class _Player:
    """Plays bags to a node and collects its answers.

    An image is sent when it is due, as recorded, and the node has processed the one before: where the node
    does not keep up, the replay waits for it. An image that is not processed within 10 s counts as lost on
    the way.
    """

    def __init__(self, node: Node, process: subprocess.Popen[bytes], log: Path, tracking: bool) -> None:
        from geometry_msgs.msg import PoseStamped
        from rclpy.qos import DurabilityPolicy, QoSProfile
        from std_msgs.msg import Header, String

        self._node, self._process, self._log = node, process, log
        self._answers = ReplayAnswers()
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        topic = "localization/tracked/pose" if tracking else "localization/pose"
        node.create_subscription(PoseStamped, topic, self._on_pose, 10)
        node.create_subscription(String, "localization/state", self._on_state, latched)
        node.create_subscription(Header, "localization/processed", self._on_processed, 10)

    def _on_pose(self, message: Any) -> None:
        pose = pose_from_message(message.pose)
        self._answers.poses[stamp_to_ns(message.header.stamp)] = (pose, time.monotonic())

    def _on_state(self, message: Any) -> None:
        self._answers.states.append((time.monotonic(), message.data))

    def _on_processed(self, message: Any) -> None:
        self._answers.processed_s[stamp_to_ns(message.stamp)] = time.monotonic()

    def play(self, path: Path, on_progress: ProgressCallback) -> ReplayAnswers:
        """Plays a bag; returns the answers to its images."""
        from scene_geo_loc.ros.bags.playback import Playback

        bag = Bag(path)
        # The state is published when it changes: the last one of an earlier bag still holds.
        answers = self._answers = ReplayAnswers(states=self._answers.states[-1:])
        image_topic = image_topic_of(bag)
        topics = [t for t in (image_topic, CAMERA_INFO, "/tf", "/tf_static") if t in bag.topics]
        playback = Playback(self._node, bag, topics)
        wait_until_active(playback.publishers[image_topic], self._process, self._log)
        playback.wait_for_subscribers(topics, SUBSCRIBER_TIMEOUT_S)

        mounting, camera_frame = TransformTree(), ""

        def on_message(message: BagMessage) -> None:
            nonlocal camera_frame
            if message.topic == image_topic:
                self._wait_until_processed()
                answers.sent_s[message.stamp_ns] = time.monotonic()
                on_progress(len(answers.sent_s), bag.counts[image_topic])
            elif message.topic == CAMERA_INFO:
                camera_frame = camera_frame or message.decode().header.frame_id
            elif message.topic == "/tf_static":
                add_transforms(mounting, message.decode(), static=True)

        playback.play(on_message=on_message)
        self._wait_until_processed()
        time.sleep(POSE_DELAY_S)
        playback.close()
        try:
            answers.base_T_camera = mounting.lookup("base_link", camera_frame, 0)
        except TransformUnavailable as unavailable:
            raise SceneGeoLocError(
                f"{bag.path}: the camera's mounting is unknown ({unavailable})"
            ) from unavailable
        return answers

    def _wait_until_processed(self) -> None:
        """Waits until the last image that was sent is processed."""
        answers = self._answers
        last_ns = next(reversed(answers.sent_s), None)
        check_alive(self._process, self._log)
        while (
            last_ns is not None
            and last_ns not in answers.processed_s
            and time.monotonic() < answers.sent_s[last_ns] + ANSWER_TIMEOUT_S
        ):
            check_alive(self._process, self._log)
            time.sleep(0.002)


def image_topic_of(bag: Bag) -> str:
    """Returns the topic of a bag's images, raw or else compressed. Raises SceneGeoLocError without one."""
    for topic in (IMAGE, f"{IMAGE}/compressed"):
        if topic in bag.topics:
            return topic
    raise SceneGeoLocError(
        f"{bag.path} has no images on {IMAGE}: convert the recording, which gives its images that topic."
    )


def describe_pace(slowdown: float, subject: str = "The replay") -> str:
    """Returns a sentence on the speed of a replay, from ReplayAnswers.slowdown."""
    if slowdown < REAL_TIME_SLOWDOWN:
        return f"{subject} ran in real time."
    return f"{subject} ran {slowdown:.1f} times slower than real time, as the node needed on this machine."
