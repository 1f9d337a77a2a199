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

"""Nodes over real DDS, in a domain of their own."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("tf2_msgs")

import rclpy
from domain_coordinator import domain_id
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_programs import Programs

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.traversals.rosbag.writer import BagWriter

SECOND = 10**9
START = 1_700_000_000 * SECOND
CAMERA = Camera(64, 48, 50.0, 50.0, 32.0, 24.0)


@pytest.fixture(scope="session", autouse=True)
def _own_domain() -> Iterator[None]:
    """One ROS domain for these tests, which nobody else on this machine uses."""
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    with domain_id() as number:
        os.environ["ROS_DOMAIN_ID"] = str(number)
        yield


@pytest.fixture
def context(_own_domain: None) -> Iterator[None]:
    rclpy.init()
    yield
    rclpy.try_shutdown()


class World:
    """The other side of a node under test: publishes, listens and calls services.

    Executors spin in threads of their own, so that a test reads from top to bottom.
    """

    def __init__(self) -> None:
        self.node = Node("world")
        self.received: dict[str, list[Any]] = {}
        self._publishers: dict[str, Any] = {}
        self._executors: list[tuple[SingleThreadedExecutor, threading.Thread, Node]] = []
        self.spin(self.node)

    def spin(self, node: Node) -> None:
        """Serves a node's callbacks until the end of the test."""
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        thread = threading.Thread(target=executor.spin, daemon=True)
        thread.start()
        self._executors.append((executor, thread, node))

    def publish(self, topic: str, message: Any, latched: bool = False) -> None:
        """Publishes, reliably; the first time on a topic once somebody listens."""
        publisher = self._publishers.get(topic)
        if publisher is None:
            durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
            qos = QoSProfile(depth=100, durability=durability)
            publisher = self._publishers[topic] = self.node.create_publisher(type(message), topic, qos)
            self.wait(lambda: publisher.get_subscription_count() > 0, f"a subscriber of {topic}")
        publisher.publish(message)

    def listen(self, kind: Any, topic: str, latched: bool = False) -> list[Any]:
        """The list that fills with the messages of a topic."""
        (messages,) = self.listen_to({topic: kind}, latched=[topic] if latched else [])
        return messages

    def listen_to(self, kinds: dict[str, Any], latched: Collection[str] = ()) -> list[list[Any]]:
        """The lists that fill with the messages of some topics."""
        for topic, kind in kinds.items():
            durability = DurabilityPolicy.TRANSIENT_LOCAL if topic in latched else DurabilityPolicy.VOLATILE
            self.node.create_subscription(
                kind,
                topic,
                self.received.setdefault(topic, []).append,
                QoSProfile(depth=100, durability=durability),
            )
        for topic in kinds:
            count = partial(self.node.count_publishers, self.node.resolve_topic_name(topic))
            self.wait(count, f"a publisher of {topic}")
        # The publishers may not know of these subscriptions yet.
        time.sleep(0.1)
        return [self.received[topic] for topic in kinds]

    def call(self, kind: Any, name: str, request: Any) -> Any:
        """The answer of a service."""
        client = self.node.create_client(kind, name)
        assert client.wait_for_service(60.0), f"no service {name}"
        future = client.call_async(request)
        self.wait(future.done, f"an answer of {name}")
        return future.result()

    def wait(self, condition: Callable[[], Any], what: str, timeout_s: float = 60.0) -> Any:
        """Waits for something to come true; fails the test where it does not."""
        deadline = time.monotonic() + timeout_s
        while not (value := condition()):
            if time.monotonic() > deadline:
                pytest.fail(f"waited in vain for {what}")
            time.sleep(0.01)
        return value

    def close(self) -> None:
        for executor, thread, node in reversed(self._executors):
            executor.shutdown()
            thread.join(5.0)
            node.destroy_node()


@pytest.fixture
def world(context: None) -> Iterator[World]:
    world = World()
    yield world
    world.close()


@pytest.fixture(scope="session")
def picture() -> np.ndarray:
    """A small image with contrast, (48, 64, 3)."""
    return np.random.default_rng(3).integers(0, 255, (48, 64, 3), dtype=np.uint8)


@pytest.fixture
def recording(tmp_path: Path, picture: np.ndarray) -> Path:
    """Five images in half a second, their intrinsics, and one static transform at the beginning."""
    with BagWriter(tmp_path / "drive") as bag:
        bag.static_transforms(START, {("base_link", "camera"): np.eye(4)})
        for i in range(5):
            bag.camera_info("/camera/camera_info", START + i * SECOND // 10, "camera", CAMERA)
            bag.image("/camera/image_raw", START + i * SECOND // 10, "camera", np.roll(picture, i))
    return tmp_path / "drive"


@pytest.fixture
def start() -> Iterator[Programs]:
    programs = Programs()
    yield programs
    for process in programs.started:
        process.kill()
        process.communicate()
