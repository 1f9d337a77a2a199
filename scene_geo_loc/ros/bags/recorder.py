"""Records topics to a rosbag2 (MCAP), where `ros2 bag record` is not installed."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.core.partial import PartialFolder
from scene_geo_loc.ros.bags.playback import message_class
from scene_geo_loc.ros.common import parameters
from scene_geo_loc.ros.common.parameters import setting
from scene_geo_loc.ros.common.running import run, spin

if TYPE_CHECKING:
    from rosbags.interfaces import Connection

DEPTH = 100
DISCOVERY_PERIOD_S = 0.2


class BagRecorderSettings(BaseModel):
    """Parameters of bag_recorder."""

    model_config = ConfigDict(extra="forbid")

    out: str = setting("", "Folder of the recording to write; it must not exist.")
    topics: list[str] = setting([], "The topics to record; empty: all.")


class BagRecorder(Node):
    """Writes what is published on some topics, as it comes, until it is stopped.

    The recording is written to `.<out>.partial` and gets its name at the end, so that under that name there
    is a complete one or none.  What a killed recorder left there is kept: the next recording is written to
    `.<out>.partial2`, and so on.

    Raises SceneGeoLocError where nothing can be written to `out`.
    """

    def __init__(self) -> None:
        super().__init__("bag_recorder")
        parameters.declare(self, BagRecorderSettings)
        self.settings = parameters.read(self, BagRecorderSettings)
        if not self.settings.out:
            raise SceneGeoLocError("No recording is named; set the parameter `out`.")
        self._out = Path(self.settings.out)
        if os.path.lexists(self._out):
            raise SceneGeoLocError(f"{self._out} exists already; name another recording or remove it first.")
        self._wanted = {self.resolve_topic_name(topic) for topic in self.settings.topics}
        self._output = PartialFolder(self._out, "recording", hidden=True)
        self._store = get_typestore(Stores.ROS2_JAZZY)
        self._connections: dict[str, Connection] = {}
        self._unknown: set[str] = set()
        self._count = 0
        try:
            for rest in self._output.begin_new():
                self.get_logger().warning(
                    f"An interrupted recording is kept in {rest}: open {rest / self._out.name} to rescue its "
                    "messages, or remove it."
                )
            # The storage file is named after its folder, so the folder inside has the final name.
            folder = self._output.folder / self._out.name
            self._writer = Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP)
            self._writer.open()
        except OSError as error:
            raise SceneGeoLocError(f"{self._out} cannot be written ({error}).") from error
        self.create_timer(DISCOVERY_PERIOD_S, self._discover, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _discover(self) -> None:
        for topic, kinds in self.get_topic_names_and_types():
            if topic in self._connections or topic in self._unknown:
                continue
            if (self._wanted and topic not in self._wanted) or not self.count_publishers(topic):
                continue
            kind = message_class(kinds[0])
            if kind is None or kinds[0] not in self._store.types:
                self._unknown.add(topic)
                self.get_logger().warning(f"{topic} is not recorded: {kinds[0]} is not known.")
                continue
            offered = [info.qos_profile for info in self.get_publishers_info_by_topic(topic)]
            reliable = all(qos.reliability == ReliabilityPolicy.RELIABLE for qos in offered)
            latched = all(qos.durability == DurabilityPolicy.TRANSIENT_LOCAL for qos in offered)
            self._connections[topic] = self._writer.add_connection(
                topic, kinds[0], typestore=self._store, offered_qos_profiles=[_qos(reliable, latched)]
            )
            qos = QoSProfile(
                depth=DEPTH,
                reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
                durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
            )
            self.create_subscription(kind, topic, partial(self._write, topic), qos, raw=True)
            self.get_logger().info(f"Recording {topic}.")

    def _write(self, topic: str, raw: Any) -> None:
        try:
            self._writer.write(self._connections[topic], self.get_clock().now().nanoseconds, raw)
        except OSError as error:
            raise SceneGeoLocError(self._interrupted(error)) from error
        self._count += 1

    def _interrupted(self, error: OSError) -> str:
        return (
            f"{self._out} cannot be written ({error.strerror}): make room; what was recorded so far is in "
            f"{self._output.folder}."
        )

    def destroy_node(self) -> None:
        """Ends the recording and gives it its name."""
        super().destroy_node()
        try:
            self._writer.close()
            self._output.publish(content=self._output.folder / self._out.name)
        except OSError as error:
            print(self._interrupted(error), file=sys.stderr)
            return
        except SceneGeoLocError as error:
            print(error, file=sys.stderr)
            return
        print(f"{self._out}: {self._count} messages on {len(self._connections)} topics.")


def _qos(reliable: bool, latched: bool) -> Qos:
    """What `ros2 bag play` should offer, in the terms of a recording's metadata."""
    unlimited = QosTime(2147483647, 4294967295)
    return Qos(
        QosHistory.KEEP_LAST,
        DEPTH,
        QosReliability.RELIABLE if reliable else QosReliability.BEST_EFFORT,
        QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        unlimited,
        unlimited,
        QosLiveliness.AUTOMATIC,
        unlimited,
        False,
    )


def main(args: list[str] | None = None) -> int:
    """The console script bag_recorder."""
    return run(BagRecorder, spin, args)
