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

"""The filters of robot_localization with our recipe, fed with a drive whose poses arrive late.

`PYTHONPATH=test python -m ekf_drive MAP DRIVE` localizes the images of a drive and prints how far both
filters are from the truth.  DRIVE is a recording with /odom, /tf_static and /ground_truth/pose, such as those
of `make demo`.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ament_index_python.packages import get_package_prefix
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from rclpy.serialization import deserialize_message
from rosgraph_msgs.msg import Clock
from tf2_msgs.msg import TFMessage

from scene_geo_loc.geometry.pose import Pose, inverse
from scene_geo_loc.geometry.trajectory import Trajectory
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.query import CameraImage
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.ros.common.messages import (
    ns_to_stamp,
    pose_from_message,
    pose_from_transform,
    pose_stamped,
    pose_with_covariance,
    stamp_to_ns,
)
from scene_geo_loc.ros.harness.node_process import own_domain, spinning_node
from scene_geo_loc.traversals.opening import open_traversal
from scene_geo_loc.traversals.rosbag.bag import Bag

RECIPE = Path(__file__).resolve().parents[1] / "config" / "robot_localization.yaml"
TICK_NS = 20_000_000
LAG_LIMIT_NS = 200_000_000
"""Lead of the clock over the filters, which share a busy machine, at most."""
SETTLING_S = 3.0
"""The filters start without a pose; their first seconds do not count."""


@dataclass
class Drive:
    """Odometry, late poses of the robot in the map, and where it was."""

    odometry: list[Odometry]
    poses: list[PoseWithCovarianceStamped]
    truth: Trajectory

    @classmethod
    def localized(cls, map_folder: Path, bag: Path) -> Drive:
        """Localizes the images of a recording one by one."""

        def messages(topic: str, kind: Any) -> list[Any]:
            return [deserialize_message(message.raw, kind) for message in Bag(bag).messages([topic])]

        truth = messages("/ground_truth/pose", PoseStamped)
        (mounting,) = (
            transform
            for message in messages("/tf_static", TFMessage)
            for transform in message.transforms
            if "camera" in transform.child_frame_id
        )
        T_base_camera = pose_from_transform(mounting.transform)
        localizer = Localizer(ReferenceMap.open(map_folder))
        poses = []
        for frame in open_traversal(bag, poses="/ground_truth/pose").frames():
            estimate = localizer.localize([CameraImage(frame.image, frame.camera, T_base_camera)])
            if estimate.T_map_base is not None and estimate.covariance is not None:
                poses.append(
                    pose_with_covariance(frame.stamp_ns, "map", estimate.T_map_base, estimate.covariance)
                )
        return cls(
            messages("/odom", Odometry),
            poses,
            Trajectory(
                np.array([stamp_to_ns(message.header.stamp) for message in truth]),
                np.stack([pose_from_message(message.pose) for message in truth]),
            ),
        )


@contextmanager
def filters(domain: int, **overrides: object) -> Iterator[None]:
    """Runs both filters of the recipe; `overrides` are parameters of the one in the map."""
    program = Path(get_package_prefix("robot_localization")) / "lib" / "robot_localization" / "ekf_node"
    processes = []
    for name in ("ekf_odom", "ekf_map"):
        given = {"use_sim_time": "true", **(overrides if name == "ekf_map" else {})}
        command = [str(program), "--ros-args", "--params-file", str(RECIPE), "-r", f"__node:={name}"]
        command += ["-r", f"odometry/filtered:=odometry/{name.removeprefix('ekf_')}"]
        command += [word for key, value in given.items() for word in ("-p", f"{key}:={value}")]
        processes.append(subprocess.Popen(command, env=os.environ | {"ROS_DOMAIN_ID": str(domain)}))
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGINT)
        for process in processes:
            process.wait(20)


def fused(drive: Drive, latency_s: float, **overrides: object) -> dict[str, list[Odometry]]:
    """Returns what both filters publish while a drive is played to them, by the name of their frame.

    The clock waits for the filters, so that a busy machine changes nothing.
    """
    events: list[tuple[int, str, Any]] = [
        *((stamp_to_ns(message.header.stamp), "odom", message) for message in drive.odometry),
        *(
            (stamp_to_ns(message.header.stamp) + int(latency_s * 1e9), "pose", message)
            for message in drive.poses
        ),
    ]
    events.sort(key=lambda event: event[0])
    found: dict[str, list[Odometry]] = {"odom": [], "map": []}
    with own_domain() as domain, filters(domain, **overrides), spinning_node("drive", domain) as node:
        clock = node.create_publisher(Clock, "/clock", 10)
        publishers: dict[str, Any] = {
            "odom": node.create_publisher(Odometry, "odom", 20),
            "pose": node.create_publisher(PoseWithCovarianceStamped, "localization/pose_with_covariance", 10),
        }
        for name, received in found.items():
            node.create_subscription(Odometry, f"odometry/{name}", received.append, 100)
        topics = ["odom", "localization/pose_with_covariance"]
        _wait(lambda: [node.count_subscribers(topic) for topic in topics] == [2, 1], 60.0)
        _wait(lambda: clock.get_subscription_count() >= 2, 60.0)
        now_ns = events[0][0] - TICK_NS
        for stamp_ns, name, message in events:
            while now_ns < stamp_ns:
                now_ns += TICK_NS
                clock.publish(Clock(clock=ns_to_stamp(now_ns)))
                time.sleep(0.005)
                if all(found.values()):
                    newest = min(stamp_to_ns(found[key][-1].header.stamp) for key in found)
                    if newest < now_ns - LAG_LIMIT_NS:
                        time.sleep(0.05)
            publishers[name].publish(message)
        _wait(lambda: stamp_to_ns(found["map"][-1].header.stamp) > events[-1][0] - LAG_LIMIT_NS - 10**9, 20.0)
    return found


def by_map_to_odom(drive: Drive, latency_s: float) -> list[PoseStamped]:
    """Returns the poses that map -> odom of the node gives whenever odometry comes.

    They are the latest pose that has arrived by then, and odometry since its image.
    """
    odometry = Trajectory(
        np.array([stamp_to_ns(message.header.stamp) for message in drive.odometry]),
        np.stack([pose_from_message(message.pose.pose) for message in drive.odometry]),
    )
    found, waiting, T_map_odom = [], list(drive.poses), None
    for stamp_ns, T_odom_base in zip(odometry.stamps_ns, odometry.poses, strict=True):
        while waiting and stamp_to_ns(waiting[0].header.stamp) + latency_s * 1e9 <= stamp_ns:
            pose = waiting.pop(0)
            then = odometry.at(stamp_to_ns(pose.header.stamp))
            if then is not None:
                T_map_odom = pose_from_message(pose.pose.pose) @ inverse(then)
        if T_map_odom is not None:
            found.append(pose_stamped(int(stamp_ns), "map", T_map_odom @ T_odom_base))
    return found


def errors(found: list[Any], truth: Trajectory, relative: bool = False) -> NDArray[np.float64]:
    """Returns the distances in metres of positions from the truth at their stamps.

    The first `SETTLING_S` are left out.

    Args:
        relative: whether the first pose is taken for right, as in the frame of odometry.
    """
    stamps = np.array([stamp_to_ns(message.header.stamp) for message in found])
    true, known = truth.at_many(stamps)
    known &= stamps > truth.stamps_ns[0] + int(SETTLING_S * 1e9)
    poses = [message.pose if isinstance(message, PoseStamped) else message.pose.pose for message in found]
    T_world_base = np.stack([pose_from_message(pose) for pose in poses])[known]
    T: Pose = true[known][0] @ inverse(T_world_base[0]) if relative else np.eye(4)
    return np.linalg.norm((T @ T_world_base - true[known])[:, :3, 3], axis=1)


def summary(distances: NDArray[np.float64]) -> str:
    """Returns median and 95th percentile as text."""
    median, p95 = np.percentile(distances, (50, 95))
    return f"median {median:.3f} m, p95 {p95:.3f} m of {len(distances)} poses"


def _wait(condition: Callable[[], bool], limit_s: float) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the filters do not answer")
        time.sleep(0.05)


def main(arguments: list[str]) -> int:
    """Prints the errors of both filters at latencies, with the recipe and with the default of its lag."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("map", type=Path)
    parser.add_argument("drive", type=Path)
    parser.add_argument("--latency", type=float, nargs="+", default=[0.06, 0.15], help="seconds")
    options = parser.parse_args(arguments)
    drive = Drive.localized(options.map, options.drive)
    measured = errors(drive.poses, drive.truth)
    print(f"{options.drive.name} measured: {summary(measured)}")
    for latency_s in options.latency:
        by_node = errors(by_map_to_odom(drive, latency_s), drive.truth)
        print(f"{options.drive.name} {1000 * latency_s:.0f} ms map to odom of the node: {summary(by_node)}")
        for words, overrides in (("recipe", {}), ("default", {"smooth_lagged_data": "false"})):
            found = fused(drive, latency_s, **overrides)
            in_map = errors(found["map"], drive.truth)
            in_odom = errors(found["odom"], drive.truth, relative=True)
            print(
                f"{options.drive.name} {1000 * latency_s:.0f} ms {words}: {summary(in_map)}; "
                f"in odom at the end {in_odom[-1]:.3f} m"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
