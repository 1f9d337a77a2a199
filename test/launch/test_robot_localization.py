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

"""The recipe for robot_localization, with the real filters; skipped where they are not installed."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("rclpy")

from ament_index_python.packages import get_package_prefix
from geometry_msgs.msg import Twist, TwistWithCovariance, Vector3
from nav_msgs.msg import Odometry
from std_msgs.msg import Header

try:
    get_package_prefix("robot_localization")
except (LookupError, OSError):
    pytest.skip("robot_localization is not installed", allow_module_level=True)

from ekf_drive import Drive, errors, fused

from scene_geo_loc.geometry.pose import make_pose
from scene_geo_loc.geometry.trajectory import Trajectory
from scene_geo_loc.ros.common.messages import ns_to_stamp, pose_with_covariance

SPEED, RADIUS = 8.0, 50.0  # m/s, m
START = 1_700_000_000 * 10**9
LATENCY_S = 0.15


@pytest.fixture(scope="module")
def drive() -> Drive:
    """Ten seconds on a circle: odometry 25 times a second, poses that are right 5 times a second."""
    stamps = START + np.arange(250) * 40_000_000
    poses = []
    for seconds in (stamps - START) / 1e9:
        angle = SPEED * seconds / RADIUS
        c, s = math.cos(angle), math.sin(angle)
        poses.append(
            make_pose(np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]), (RADIUS * s, RADIUS * (1 - c), -6.0))
        )
    twist = Twist(linear=Vector3(x=SPEED), angular=Vector3(z=SPEED / RADIUS))
    covariance = (np.eye(6) * 1e-4).ravel()
    odometry = [
        Odometry(
            header=Header(stamp=ns_to_stamp(int(stamp)), frame_id="odom"),
            child_frame_id="base_link",
            twist=TwistWithCovariance(twist=twist, covariance=covariance),
        )
        for stamp in stamps
    ]
    measured = [
        pose_with_covariance(int(stamp), "map", pose, np.eye(6) * 4e-4)
        for stamp, pose in zip(stamps[::5], poses[::5], strict=True)
    ]
    return Drive(odometry, measured, Trajectory(stamps, np.stack(poses)))


def test_the_pose_in_the_map_does_not_lag_behind_the_robot(drive: Drive) -> None:
    found = fused(drive, LATENCY_S)
    assert np.median(errors(found["map"], drive.truth)) < 0.1
    assert found["map"][-1].header.frame_id == "map"
    assert found["map"][-1].child_frame_id == "base_link"
    assert errors(found["odom"], drive.truth, relative=True)[-1] < 1.0
    assert found["odom"][-1].header.frame_id == "odom"


def test_without_smoothing_it_would_lag_by_speed_times_latency(drive: Drive) -> None:
    found = fused(drive, LATENCY_S, smooth_lagged_data="false")
    assert np.median(errors(found["map"], drive.truth)) > 0.5 * SPEED * LATENCY_S
