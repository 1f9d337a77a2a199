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

"""Records topics to a rosbag2 (MCAP), where `ros2 bag record` is not installed."""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.ros.bags.playback import message_class
from scene_geo_loc.ros.common import parameters
from scene_geo_loc.ros.common.parameters import TopicName, setting
from scene_geo_loc.ros.common.running import run, spin
from scene_geo_loc.traversals.rosbag.bag_file import BagFile

DEPTH = 100
DISCOVERY_PERIOD_S = 0.2
SAVE_PERIOD_S = 2.0
"""Messages of this time are lost where the recorder is killed."""
EARLY_MESSAGES = 1000
"""Limit on messages kept until the simulated clock arrives."""


class BagRecorderSettings(BaseModel):
    """Parameters of bag_recorder."""

    model_config = ConfigDict(extra="forbid")

    out: str = setting("", "Folder of the recording to write; it must not exist.", is_path=True)
    topics: list[TopicName] = setting([], "Topics to record; empty: all.")


class BagRecorder(Node):
    """Writes what is published on some topics, as it arrives, until it is stopped.

    Messages are recorded at the node's time.  Those that arrive before the simulated clock does are recorded
    at the clock's first time.  What a killed recorder left, all but the last 2 s, is kept: the next recording
    is written beside it.

    Raises SceneGeoLocError where nothing can be written to `out`.
    """

    def __init__(self) -> None:
        super().__init__("bag_recorder")
        parameters.declare(self, BagRecorderSettings)
        self.settings = parameters.read(self, BagRecorderSettings)
        if not self.settings.out:
            raise SceneGeoLocError("No recording is named; set the parameter `out`.")
        self._wanted = {self.resolve_topic_name(topic) for topic in self.settings.topics}
        self._unknown: set[str] = set()
        self._early: list[tuple[str, bytes]] = []
        self._count = self._dropped = 0
        self._bag = BagFile(Path(self.settings.out), error=SceneGeoLocError)
        for rest in self._bag.begin(keep_interrupted=True):
            self.get_logger().warning(
                f"An interrupted recording is kept in {rest}: open {rest / self._bag.path.name} to rescue "
                "its messages, or remove it."
            )
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(DISCOVERY_PERIOD_S, self._discover, clock=steady)
        self.create_timer(SAVE_PERIOD_S, self._bag.save, clock=steady)

    def _discover(self) -> None:
        for topic, kinds in self.get_topic_names_and_types():
            if topic in self._bag.topics or topic in self._unknown:
                continue
            if (self._wanted and topic not in self._wanted) or not self.count_publishers(topic):
                continue
            kind = message_class(kinds[0])
            if kind is None or kinds[0] not in self._bag.typestore.types:
                self._unknown.add(topic)
                self.get_logger().warning(f"{topic} is not recorded: {kinds[0]} is not installed.")
                continue
            offered = [info.qos_profile for info in self.get_publishers_info_by_topic(topic)]
            reliable = all(qos.reliability == ReliabilityPolicy.RELIABLE for qos in offered)
            latched = all(qos.durability == DurabilityPolicy.TRANSIENT_LOCAL for qos in offered)
            self._bag.add_topic(topic, kinds[0], latched=latched, reliable=reliable, depth=DEPTH)
            qos = QoSProfile(
                depth=DEPTH,
                reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
                durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
            )
            self.create_subscription(kind, topic, partial(self._on_message, topic), qos, raw=True)
            self.get_logger().info(f"Recording {topic}.")

    def _on_message(self, topic: str, raw: bytes) -> None:
        now_ns = self.get_clock().now().nanoseconds
        if now_ns > 0:
            self._flush(now_ns)
            self._write(topic, now_ns, raw)
        elif len(self._early) < EARLY_MESSAGES:
            self._early.append((topic, raw))
        else:
            self._dropped += 1

    def _flush(self, now_ns: int) -> None:
        early, self._early = self._early, []
        for topic, raw in early:
            self._write(topic, now_ns, raw)

    def _write(self, topic: str, time_ns: int, raw: bytes) -> None:
        self._bag.write(topic, time_ns, raw)
        self._count += 1

    def destroy_node(self) -> None:
        """Completes the recording and gives it its name."""
        # The clock may never have come; wall time is then the best there is.
        now_ns = self.get_clock().now().nanoseconds or time.time_ns()
        super().destroy_node()
        try:
            self._flush(now_ns)
            self._bag.publish()
        except SceneGeoLocError as error:
            print(f"{error} What was recorded is in {self._bag.folder}.", file=sys.stderr)
            return
        print(f"{self._bag.path}: {self._count} messages on {len(self._bag.topics)} topics.")
        if self._dropped:
            print(f"{self._dropped} messages are not recorded: they arrived before /clock did.")


def main(args: list[str] | None = None) -> int:
    """The console script bag_recorder."""
    return run(BagRecorder, spin, args)
