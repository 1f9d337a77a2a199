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

"""Plays a recording, ROS 1 or ROS 2, where `ros2 bag play` is not installed."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict
from rclpy.node import Node

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.ros.bags.playback import Playback
from scene_geo_loc.ros.common import parameters
from scene_geo_loc.ros.common.parameters import TopicName, setting
from scene_geo_loc.ros.common.running import run
from scene_geo_loc.traversals.rosbag.bag import Bag


class BagPlayerSettings(BaseModel):
    """Parameters of bag_player."""

    model_config = ConfigDict(extra="forbid")

    bag: str = setting("", "The ROS 1 or ROS 2 recording to play.", is_path=True)
    rate: float = setting(1.0, "Speed, times real time.", ge=0.01, le=100)
    topics: list[TopicName] = setting([], "Topics to play; empty: all.")
    in_namespace: bool = setting(
        False,
        "Whether the recording's topics, those of TF included, are published in the node's namespace, as for "
        "one of several robots; /clock stays.",
    )
    wait_for: list[TopicName] = setting([], "Topics that must have a subscriber before playing starts.")
    wait_timeout: float = setting(60.0, "Time to wait for them.", "s", ge=0.1, le=3600)
    start: float = setting(0.0, "Time of the recording to skip.", "s", ge=0, le=1e6)
    duration: float = setting(0.0, "Time of the recording to play; 0: to its end.", "s", ge=0, le=1e6)
    loop: bool = setting(False, "Whether to play again from the start at the end.")
    clock_rate: float = setting(40.0, "Rate of /clock, in recording time.", "Hz", ge=1, le=1000)


class BagPlayer(Node):
    """Publishes a recording's messages and `/clock`; topics can be remapped as those of any node."""

    def __init__(self) -> None:
        super().__init__("bag_player")
        parameters.declare(self, BagPlayerSettings)
        self.settings = parameters.read(self, BagPlayerSettings)

    def play(self) -> int:
        """Plays until the end of the recording; returns the exit code. Raises SceneGeoLocError."""
        settings = self.settings
        if not settings.bag:
            raise SceneGeoLocError("No recording is given; set the parameter `bag`.")
        playback = Playback(self, Bag(Path(settings.bag)), settings.topics, settings.in_namespace)
        wait_for = [
            f"/{topic.lstrip('/')}"
            if settings.in_namespace
            else self.resolve_topic_name(topic, only_expand=True)
            for topic in settings.wait_for
        ]
        playback.wait_for_subscribers(wait_for, settings.wait_timeout)
        while True:
            count = playback.play(settings.rate, settings.start, settings.duration, settings.clock_rate)
            self.get_logger().info(f"Played {count} messages of {settings.bag}.")
            if not settings.loop or count == 0:
                playback.flush()
                return 0


def main(args: list[str] | None = None) -> int:
    """The console script bag_player."""
    return run(BagPlayer, BagPlayer.play, args)
