"""Plays a recording to a localization_node of its own and collects its answers."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

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
) -> ReplayAnswers:
    """Plays a bag to a localization_node and collects what the node publishes.

    An image is sent when it is due, as recorded, and the node has processed the one before: where the node
    does not keep up, the replay waits for it. An image that is not processed within 10 s counts as lost on
    the way.

    Args:
        path: a bag with images, their intrinsics, odometry and the camera's mounting on TF.
        map_folder: the map to localize in.
        log: file for the node's output.
        on_progress: receives images sent and images in the bag, with every image.
        tracking: whether the node follows the camera.

    Raises SceneGeoLocError where the bag lacks a topic, or the node does not start or ends too early.
    """
    bag = Bag(path)
    transport = "compressed" if image_topic_of(bag).endswith("/compressed") else "raw"
    with (
        own_domain() as domain,
        running_node(map_folder, transport, log, tracking) as process,
        spinning_node("replay", domain) as node,
    ):
        return _play(node, bag, process, log, on_progress)


def _play(
    node: Node,
    bag: Bag,
    process: subprocess.Popen[bytes],
    log: Path,
    on_progress: ProgressCallback,
) -> ReplayAnswers:
    from geometry_msgs.msg import PoseStamped
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from std_msgs.msg import Header, String

    from scene_geo_loc.ros.bags.playback import Playback

    answers = ReplayAnswers()

    def on_pose(message: PoseStamped) -> None:
        answers.poses[stamp_to_ns(message.header.stamp)] = (pose_from_message(message.pose), time.monotonic())

    def on_processed(message: Header) -> None:
        answers.processed_s[stamp_to_ns(message.stamp)] = time.monotonic()

    def on_state(message: String) -> None:
        answers.states.append((time.monotonic(), message.data))

    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    node.create_subscription(PoseStamped, "localization/pose", on_pose, 10)
    node.create_subscription(String, "localization/state", on_state, latched)
    node.create_subscription(Header, "localization/processed", on_processed, 10)
    image_topic = image_topic_of(bag)
    topics = [t for t in (image_topic, CAMERA_INFO, "/tf", "/tf_static") if t in bag.topics]
    playback = Playback(node, bag, topics)
    wait_until_active(playback.publishers[image_topic], process, log)
    playback.wait_for_subscribers(topics, SUBSCRIBER_TIMEOUT_S)

    mounting, camera_frame = TransformTree(), ""

    def wait_for_answer() -> None:
        """Waits until the last image that was sent is processed."""
        last_ns = next(reversed(answers.sent_s), None)
        if last_ns is None:
            return
        deadline = answers.sent_s[last_ns] + ANSWER_TIMEOUT_S
        while last_ns not in answers.processed_s and time.monotonic() < deadline:
            check_alive(process, log)
            time.sleep(0.002)

    def on_message(message: BagMessage) -> None:
        nonlocal camera_frame
        if message.topic == image_topic:
            check_alive(process, log)
            wait_for_answer()
            answers.sent_s[message.stamp_ns] = time.monotonic()
            on_progress(len(answers.sent_s), bag.counts[image_topic])
        elif message.topic == CAMERA_INFO:
            camera_frame = camera_frame or message.decode().header.frame_id
        elif message.topic == "/tf_static":
            add_transforms(mounting, message.decode(), static=True)

    playback.play(on_message=on_message)
    wait_for_answer()
    time.sleep(POSE_DELAY_S)
    try:
        answers.base_T_camera = mounting.lookup("base_link", camera_frame, 0)
    except TransformUnavailable as unavailable:
        raise SceneGeoLocError(
            f"{bag.path}: the camera's mounting is unknown ({unavailable})"
        ) from unavailable
    return answers


def image_topic_of(bag: Bag) -> str:
    """Returns the topic of a bag's images, raw or else compressed. Raises SceneGeoLocError without one."""
    for topic in (IMAGE, f"{IMAGE}/compressed"):
        if topic in bag.topics:
            return topic
    raise SceneGeoLocError(
        f"{bag.path} has no images on {IMAGE}: convert the recording, which gives its images that topic."
    )


def describe_pace(slowdown: float) -> str:
    """Returns a sentence on the speed of a replay, from ReplayAnswers.slowdown."""
    if slowdown < REAL_TIME_SLOWDOWN:
        return "The replay ran in real time."
    return f"The replay ran {slowdown:.1f} times slower than real time, as the node needed on this machine."
