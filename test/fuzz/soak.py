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

"""Lets a localization node run for hours while everything happens to it, and watches memory and open files.

    python -m fuzz.soak --minutes 60    # as `make soak` does
    python -m fuzz.soak --cycles 500    # only configured, activated, deactivated and cleaned up

The node receives images at 10 Hz.  In rotation the camera is carried elsewhere, the clock jumps back, images
are garbage, the node is deactivated and activated, and it is given another map.  After each event it must
publish poses again; at the end memory and open files must be those of the beginning.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from fuzz.inputs import write_map
from geometry_msgs.msg import PoseStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from room import Room
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage

from scene_geo_loc.core.atomic import exchange
from scene_geo_loc.ros.common.messages import (
    camera_info_message,
    image_message,
    ns_to_stamp,
    transform_message,
)
from scene_geo_loc.ros.harness.node_process import (
    check_alive,
    own_domain,
    running_node,
    spinning_node,
    wait_until_active,
)

RATE_HZ = 10.0
EVENT_PERIOD_S = 5.0
RECOVERY_S = 30.0
"""Longest time until `POSES` poses after an event, on a busy machine."""
POSES = 5
"""Poses that have to come after an event."""
CAMERA_FRAME = "camera_optical_frame"
MOST_GROWTH_MB = 40.0
"""Growth of the resident memory, from the second quarter of the time to the last, that is no leak."""
MOST_MORE_FILES = 4


@dataclass
class Soak:
    """A node under test, and what is sent to it.

    Attributes:
        maps: the map that it localizes in, and another one that takes its place.
        resident_mb, open_files: of the node's process, once for each event.
        poses: number of poses received.
    """

    node: Node
    process: subprocess.Popen[bytes]
    log: Path
    maps: list[Path]
    resident_mb: list[float] = field(default_factory=list)
    open_files: list[int] = field(default_factory=list)
    poses: int = 0

    def __post_init__(self) -> None:
        self._frames = Room().drive()
        self._stamp_ns = 1_000_000_000
        self._picture: Callable[[int], np.ndarray] = self._of_drive
        self._stop = threading.Event()
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._clocks = self.node.create_publisher(Clock, "/clock", 10)
        self._infos = self.node.create_publisher(CameraInfo, "/camera/camera_info", 10)
        self._images = self.node.create_publisher(Image, "/camera/image_raw", 1)
        mounting = self.node.create_publisher(TFMessage, "/tf_static", latched)
        mounting.publish(TFMessage(transforms=[transform_message(0, "base_link", CAMERA_FRAME, np.eye(4))]))
        self.node.create_subscription(PoseStamped, "localization/pose", self._on_pose, 10)
        self._change = self.node.create_client(ChangeState, "/localization_node/change_state")

    def _on_pose(self, _: PoseStamped) -> None:
        self.poses += 1

    def _of_drive(self, i: int) -> np.ndarray:
        return self._frames[i % len(self._frames)].image

    def run(self, minutes: float, period_s: float) -> None:
        """Sends images, and lets things happen. Raises AssertionError at the first fault."""
        events = [self.kidnap, self.clock_back, self.garbage, self.pause, self.other_map]
        end, number = time.monotonic() + 60 * minutes, 0
        with self._sending():
            while time.monotonic() < end or number < len(events):
                event = events[number % len(events)]
                event(number)
                self._wait_for_pose(event.__name__, POSES)
                time.sleep(period_s)
                self._measure()
                number += 1

    def cycle(self, cycles: int) -> None:
        """Takes the node through its lifecycle, until a pose each time. Raises AssertionError at a fault."""
        with self._sending():
            for _ in range(cycles):
                self._transition(Transition.TRANSITION_DEACTIVATE)
                self._transition(Transition.TRANSITION_CLEANUP)
                self._transition(Transition.TRANSITION_CONFIGURE)
                self._transition(Transition.TRANSITION_ACTIVATE)
                self._wait_for_pose("a cycle")
                self._measure()

    def _measure(self) -> None:
        status = Path(f"/proc/{self.process.pid}/statm").read_text().split()
        self.resident_mb.append(int(status[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6)
        self.open_files.append(len(os.listdir(f"/proc/{self.process.pid}/fd")))

    @contextmanager
    def _sending(self) -> Iterator[None]:
        """Sends images during the block, once the node is active."""
        wait_until_active(self._images, self.process, self.log)
        sender = threading.Thread(target=self._send, daemon=True)
        sender.start()
        try:
            yield
        finally:
            self._stop.set()
            sender.join(10.0)

    def _send(self) -> None:
        i = 0
        while not self._stop.wait(1 / RATE_HZ):
            frame = self._frames[i % len(self._frames)]
            self._stamp_ns += round(1e9 / RATE_HZ)
            self._clocks.publish(Clock(clock=ns_to_stamp(self._stamp_ns)))
            self._infos.publish(camera_info_message(self._stamp_ns, CAMERA_FRAME, frame.camera))
            self._images.publish(image_message(self._stamp_ns, CAMERA_FRAME, self._picture(i)))
            i += 1

    def _wait_for_pose(self, event: str, poses: int = 1) -> None:
        before, end = self.poses, time.monotonic() + RECOVERY_S
        while self.poses < before + poses:
            check_alive(self.process, self.log)
            assert time.monotonic() < end, f"fewer than {poses} poses in {RECOVERY_S:.0f} s after {event}"
            time.sleep(0.05)

    def kidnap(self, number: int) -> None:
        """The camera is carried to the other end of the drive, through places that the map lacks."""
        noise = np.random.default_rng(number)
        self._picture = lambda _: noise.integers(0, 255, (120, 160, 3), np.uint8)
        time.sleep(1.0)
        self._picture = lambda _: self._frames[-1 - number % 2].image

    def clock_back(self, number: int) -> None:
        """A recording that is played in a loop."""
        self._stamp_ns = 1_000_000_000

    def garbage(self, number: int) -> None:
        """Images of another size than the camera's, and black ones."""
        pictures = [np.zeros((30, 40, 3), np.uint8), np.zeros((120, 160, 3), np.uint8)]
        self._picture = lambda i: pictures[i % len(pictures)]
        time.sleep(1.0)
        self._picture = self._of_drive

    def pause(self, number: int) -> None:
        """The node is deactivated and activated."""
        self._transition(Transition.TRANSITION_DEACTIVATE)
        self._transition(Transition.TRANSITION_ACTIVATE)

    def other_map(self, number: int) -> None:
        """The map is replaced by another one of the same name, and read again."""
        self._transition(Transition.TRANSITION_DEACTIVATE)
        self._transition(Transition.TRANSITION_CLEANUP)
        assert exchange(*self.maps), "the file system cannot exchange folders"
        self._transition(Transition.TRANSITION_CONFIGURE)
        self._transition(Transition.TRANSITION_ACTIVATE)

    def _transition(self, number: int) -> None:
        request = ChangeState.Request(transition=Transition(id=number))
        assert self._call(self._change, request).success, f"transition {number} failed"

    def _call(self, client: Any, request: Any) -> Any:
        assert client.wait_for_service(RECOVERY_S), f"{client.srv_name} is not there"
        future = client.call_async(request)
        end = time.monotonic() + 3 * RECOVERY_S
        while not future.done():
            check_alive(self.process, self.log)
            assert time.monotonic() < end, f"{client.srv_name} does not answer"
            time.sleep(0.02)
        return future.result()

    def growth(self) -> tuple[float, int]:
        """Growth of memory in MB and of open files, from the second quarter to the last, medians.

        In the first one libraries still allocate.
        """
        quarter = max(1, len(self.resident_mb) // 4)
        memory, files = np.array(self.resident_mb), np.array(self.open_files)
        more = np.median(memory[-quarter:]) - np.median(memory[quarter : 2 * quarter])
        return float(more), int(np.median(files[-quarter:]) - np.median(files[quarter : 2 * quarter]))


def soak(folder: Path, minutes: float, cycles: int = 0, period_s: float = EVENT_PERIOD_S) -> Soak:
    """Runs a node for some minutes in maps that it builds in a folder. Raises AssertionError at a fault.

    Args:
        period_s: time from the poses after an event to the next event.
        cycles: number of cycles of its lifecycle, instead of the minutes.
    """
    maps = [folder / "first", folder / "second"]
    for path in maps:
        write_map(path)
    log = folder / "node.log"
    with (
        own_domain() as domain,
        running_node(maps[0], "raw", log) as process,
        spinning_node("soak", domain) as node,
    ):
        test = Soak(node, process, log, maps)
        if cycles:
            test.cycle(cycles)
        else:
            test.run(minutes, period_s)
    return test


def main(arguments: list[str] | None = None) -> int:
    """Runs the test, prints its figures, and returns 1 where memory or open files grew."""
    parser = argparse.ArgumentParser(description="Lets a localization node run for hours.")
    parser.add_argument("--minutes", type=float, default=60.0, help="how long")
    parser.add_argument("--cycles", type=int, default=0, help="cycles of the lifecycle instead")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        test = soak(Path(folder), options.minutes, options.cycles)
    memory, files = test.growth()
    print(f"{len(test.resident_mb)} {'cycles' if options.cycles else 'events'}, {test.poses} poses")
    print(f"resident memory {test.resident_mb[0]:.0f} MB at first, {test.resident_mb[-1]:.0f} MB at last")
    print(f"growth from the second quarter to the last: {memory:+.1f} MB, {files:+d} open files")
    return int(memory > MOST_GROWTH_MB or files > MOST_MORE_FILES)


if __name__ == "__main__":
    sys.exit(main())
