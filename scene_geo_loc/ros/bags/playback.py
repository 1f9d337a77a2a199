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

"""Publishes the messages of a recording at the times at which they were recorded."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosbags.interfaces import ConnectionExtRosbag1, QosDurability
from rosbags.typesys import Stores, get_typestore
from rosgraph_msgs.msg import Clock

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.ros.common.messages import ns_to_stamp
from scene_geo_loc.traversals.rosbag.bag import Bag, BagMessage

if TYPE_CHECKING:
    from rclpy.node import Node

DEPTH = 100
"""Messages kept for a slow subscriber, and for a late one of a latched topic."""
LARGE_BYTES, LARGE_PAUSE_S = 50_000, 0.005
"""Pause after a large message.

Fast DDS loses messages that are published while its subscribers' buffers still hold a lidar's sweep, and a
reliable topic then stops until the loss is noticed: small messages arrived up to 2 s late.
"""
MATCHING_S = 0.5
"""Time for the other topics to be matched with their subscribers, after those that were waited for."""


class Playback:
    """Publishers of a recording's topics.

    Args:
        bag: the recording.
        topics: topics to publish; empty: all.
        in_namespace: whether they are published in the node's namespace.

    Raises SceneGeoLocError where a named topic is not in the recording or of an unknown type. Without
    names, topics of unknown types are left out with a warning.
    """

    def __init__(
        self, node: Node, bag: Bag, topics: Collection[str] = (), in_namespace: bool = False
    ) -> None:
        self._node, self._bag = node, bag
        missing = [topic for topic in topics if topic not in bag.topics]
        if missing:
            raise SceneGeoLocError(
                f"{bag.path} has no topic {missing[0]}; it has {', '.join(sorted(bag.topics))}."
            )
        self._to_cdr = get_typestore(Stores.ROS2_JAZZY).ros1_to_cdr
        self._clock = node.create_publisher(Clock, "/clock", 10)
        self._publishers: dict[str, Any] = {}
        latched = _latched_topics(bag)
        for topic in topics or sorted(bag.topics):
            kind = message_class(bag.topics[topic])
            if kind is not None:
                durability = (
                    DurabilityPolicy.TRANSIENT_LOCAL if topic in latched else DurabilityPolicy.VOLATILE
                )
                qos = QoSProfile(depth=DEPTH, durability=durability)
                name = topic.lstrip("/") if in_namespace else topic
                self._publishers[topic] = node.create_publisher(kind, name, qos)
            elif topics:
                raise SceneGeoLocError(f"The type {bag.topics[topic]} of {topic} is not installed.")
            else:
                node.get_logger().warning(f"{topic} is left out: {bag.topics[topic]} is not installed.")

    @property
    def publishers(self) -> Mapping[str, Any]:
        """The publisher of each topic."""
        return self._publishers

    def wait_for_subscribers(self, topics: Collection[str], timeout_s: float) -> None:
        """Waits for a subscriber of each of some topics. Raises SceneGeoLocError after the timeout."""
        deadline = time.monotonic() + timeout_s
        for topic in topics:
            publisher = self._publishers.get(topic)
            if publisher is None:
                raise SceneGeoLocError(
                    f"{topic} is waited for, but it is not among the topics that are played."
                )
            while publisher.get_subscription_count() == 0:
                self._check_context()
                if time.monotonic() > deadline:
                    raise SceneGeoLocError(f"Nobody subscribed to {topic} within {timeout_s:g} s.")
                time.sleep(0.05)
        time.sleep(MATCHING_S)

    def play(
        self,
        rate: float = 1.0,
        start_s: float = 0.0,
        duration_s: float = 0.0,
        clock_hz: float = 40.0,
        on_message: Callable[[BagMessage], None] | None = None,
    ) -> int:
        """Publishes the recording once; returns the number of messages.

        Args:
            rate: times real time.
            start_s: seconds of the recording to skip, except on latched topics.
            duration_s: seconds to play; 0 for all.
            clock_hz: rate of /clock, in recording time.
            on_message: called with each message just before it is published.

        Raises ExternalShutdownException where the node's context ends before the recording.
        """
        first_ns: int | None = None
        begin, count, clock_ns = time.monotonic(), 0, 0
        tick_ns = round(1e9 / clock_hz)
        for message in self._bag.messages(list(self._publishers)):
            if first_ns is None:
                first_ns = clock_ns = message.log_time_ns + round(start_s * 1e9)
            if message.log_time_ns < first_ns and not self._is_latched(message.topic):
                continue
            if duration_s and message.log_time_ns > first_ns + round(duration_s * 1e9):
                break
            while clock_ns <= message.log_time_ns:
                self._sleep_until(begin + (clock_ns - first_ns) / 1e9 / rate)
                self._clock.publish(Clock(clock=ns_to_stamp(clock_ns)))
                clock_ns += tick_ns
            self._sleep_until(begin + (message.log_time_ns - first_ns) / 1e9 / rate)
            if on_message is not None:
                on_message(message)
            raw = message.raw if message.reader.is2 else self._to_cdr(message.raw, message.kind)
            self._publishers[message.topic].publish(bytes(raw))
            count += 1
            if len(raw) >= LARGE_BYTES:
                time.sleep(LARGE_PAUSE_S)
        return count

    def _is_latched(self, topic: str) -> bool:
        qos: QoSProfile = self._publishers[topic].qos_profile
        return qos.durability == DurabilityPolicy.TRANSIENT_LOCAL

    def _sleep_until(self, wall_s: float) -> None:
        while (remaining := wall_s - time.monotonic()) > 0:
            self._check_context()
            time.sleep(min(remaining, 0.1))
        self._check_context()

    def _check_context(self) -> None:
        if not self._node.context.ok():
            raise ExternalShutdownException

    def close(self) -> None:
        """Ends the publishers, with what they keep for late subscribers."""
        for publisher in (self._clock, *self._publishers.values()):
            self._node.destroy_publisher(publisher)

    def flush(self) -> None:
        """Waits until subscribers have acknowledged all messages."""
        for publisher in self._publishers.values():
            publisher.wait_for_all_acked(Duration(seconds=2.0))


def message_class(kind: str) -> Any:
    """Returns the rclpy class of a message type `package/msg/Name`, or None where it is not installed."""
    package, _, name = kind.split("/")
    try:
        return getattr(import_module(f"{package}.msg"), name, None)
    except ImportError:
        return None


def _latched_topics(bag: Bag) -> set[str]:
    """Returns the topics for late subscribers: transient local ones, and latched ones of ROS 1."""
    first = next(bag.messages(bag.topics), None)
    latched = {"/tf_static"}
    for connection in first.reader.connections if first else ():
        extra = connection.ext
        if isinstance(extra, ConnectionExtRosbag1):
            is_latched = bool(extra.latching)
        else:
            is_latched = any(
                qos.durability is QosDurability.TRANSIENT_LOCAL for qos in extra.offered_qos_profiles
            )
        if is_latched:
            latched.add(connection.topic)
    return latched
