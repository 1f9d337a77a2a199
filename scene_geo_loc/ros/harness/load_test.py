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

"""Sends images to a localization_node of its own at a steady rate, and measures its latency and memory."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scene_geo_loc.core.progress import ProgressCallback
from scene_geo_loc.ros.common.messages import (
    camera_info_message,
    image_message,
    ns_to_stamp,
    stamp_to_ns,
    transform_message,
)
from scene_geo_loc.ros.harness.node_process import (
    check_alive,
    own_domain,
    running_node,
    spinning_node,
    wait_until_active,
)
from scene_geo_loc.traversals.frame import Frame

if TYPE_CHECKING:
    from rclpy.node import Node

CAMERA_FRAME = "camera_optical_frame"
WARM_UP_S = 3.0
"""Time that is not counted: the first passes of a network allocate and compile."""


@dataclass
class LoadTestResult:
    """Latency and memory of a node under load.

    Attributes:
        images: number of images published after the warm-up.
        latencies_ms: time from publishing an image to receiving its pose, in order.
        resident_mb: resident memory of the node, once a second.
    """

    images: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    resident_mb: list[float] = field(default_factory=list)


def run_load_test(
    map_folder: Path,
    frames: list[Frame],
    rate_hz: float,
    duration_s: float,
    log: Path,
    on_progress: ProgressCallback,
) -> LoadTestResult:
    """Publishes raw images to a localization_node at a steady rate, the same ones in rotation.

    Args:
        map_folder: the map to localize in.
        frames: images of places that are in the map.
        rate_hz: images a second.
        duration_s: time of the test after the warm-up.
        log: file for the node's output.
        on_progress: receives images sent and images to send.

    Raises SceneGeoLocError where the node does not start or ends too early.
    """
    with (
        own_domain() as domain,
        running_node(map_folder, "raw", log) as process,
        spinning_node("load_test", domain) as node,
    ):
        return _publish(node, process, frames, rate_hz, duration_s, log, on_progress)


def _publish(
    node: Node,
    process: subprocess.Popen[bytes],
    frames: list[Frame],
    rate_hz: float,
    duration_s: float,
    log: Path,
    on_progress: ProgressCallback,
) -> LoadTestResult:
    from geometry_msgs.msg import PoseStamped
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from rosgraph_msgs.msg import Clock
    from sensor_msgs.msg import CameraInfo, Image
    from tf2_msgs.msg import TFMessage

    load, sent_s = LoadTestResult(), dict[int, float]()

    def on_pose(message: PoseStamped) -> None:
        published = sent_s.get(stamp_to_ns(message.header.stamp))
        if published is not None:
            load.latencies_ms.append(1e3 * (time.monotonic() - published))

    node.create_subscription(PoseStamped, "localization/pose", on_pose, 10)
    clocks = node.create_publisher(Clock, "/clock", 10)
    infos = node.create_publisher(CameraInfo, "/camera/camera_info", 10)
    images = node.create_publisher(Image, "/camera/image_raw", 1)
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    mounting = node.create_publisher(TFMessage, "/tf_static", latched)
    mounting.publish(TFMessage(transforms=[transform_message(0, "base_link", CAMERA_FRAME, np.eye(4))]))
    wait_until_active(images, process, log)
    time.sleep(0.5)  # the other topics are matched a moment after the images
    warm_up, total = round(WARM_UP_S * rate_hz), round((WARM_UP_S + duration_s) * rate_hz)
    begin = time.monotonic()
    for i in range(total):
        time.sleep(max(0.0, begin + i / rate_hz - time.monotonic()))
        frame, stamp_ns = frames[i % len(frames)], round((1 + i / rate_hz) * 1e9)
        message = image_message(stamp_ns, CAMERA_FRAME, frame.image)
        clocks.publish(Clock(clock=ns_to_stamp(stamp_ns)))
        infos.publish(camera_info_message(stamp_ns, CAMERA_FRAME, frame.camera))
        if i >= warm_up:
            sent_s[stamp_ns] = time.monotonic()
            load.images += 1
            if i % round(rate_hz) == 0:
                load.resident_mb.append(_resident_mb(process.pid))
        images.publish(message)
        on_progress(i + 1, total)
        check_alive(process, log)
    time.sleep(1.0)  # for the last answers
    return load


def _resident_mb(pid: int) -> float:
    """Resident memory of a process on Linux."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
