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

"""Meaning of the names of frames and topics by REP-105, REP-120 and common use; evidence of last resort."""

from __future__ import annotations

import re

BASE_FRAMES = ("base_link", "base_footprint")
"""Names of the frame of a vehicle, REP-105 and REP-120."""

_WORLD = {"map", "world", "earth", "utm", "enu", "ned", "ecef", "global", "mocap", "vicon", "gps"}
_ODOMETRY = {"odom", "odometry", "vio", "vo", "lio", "init"}
_TRUTH = {"truth", "groundtruth", "gt", "mocap", "vicon", "optitrack", "qualisys", "vrpn", "leica"}
_SENSORS = {
    "imu",
    "gps",
    "gnss",
    "ins",
    "lidar",
    "laser",
    "velodyne",
    "ouster",
    "os",
    "livox",
    "body",
    "tracker",
}
_COMMANDS = {
    *("goal", "goals", "target", "targets", "setpoint", "setpoints", "cmd", "command", "commands", "desired"),
    *("waypoint", "waypoints", "carrot", "lookahead", "plan", "planned", "destination", "initial", "clicked"),
    *("initialpose", "dock", "docking", "charger", "marker", "markers", "tag", "tags", "apriltag", "aruco"),
    *("fiducial", "fiducials", "object", "objects", "obstacle", "detection", "detections", "detected"),
    *("person", "people", "human", "leader", "landmark", "gripper", "tcp", "home", "setpose"),
}


def _words(name: str) -> list[str]:
    """Returns the words of a name in lower case: `robot1/goalPose` has robot1, goal and pose."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return re.findall(r"[a-z0-9]+", parted.lower())


def is_world(frame: str) -> bool:
    """Returns whether a frame's name says that it does not drift: `map`, `world`, `robot1/map`, `utm`."""
    words = _words(frame.rpartition("/")[2])
    return not _ODOMETRY & set(words) and bool(_WORLD & set(words))


def is_odometry(frame: str) -> bool:
    """Returns whether a frame's name says that it drifts: `odom`, `robot1/odom`, `camera_odom_frame`."""
    return bool(_ODOMETRY & set(_words(frame.rpartition("/")[2])))


def is_map(frame: str) -> bool:
    """Returns whether a frame is the map of REP-105, with any prefix."""
    return _words(frame.rpartition("/")[2])[-1:] == ["map"]


def is_truth(topic: str) -> bool:
    """Returns whether a topic's name says that it is ground truth."""
    return bool(_TRUTH & set(_words(topic)))


def command_word(topic: str) -> str:
    """Returns the word of a topic's name that says it is not the vehicle's pose; empty where none does."""
    return next((word for word in _words(topic) if word in _COMMANDS), "")


def base_order(frame: str) -> int:
    """Returns the place of a frame in `BASE_FRAMES`, with any prefix; their number where it is another."""
    name = frame.rpartition("/")[2]
    for place, base in enumerate(BASE_FRAMES):
        if name == base or name.endswith(f"_{base}"):
            return place
    return len(BASE_FRAMES)


def is_base(frame: str) -> bool:
    """Returns whether a frame's name says that it is the vehicle's."""
    return base_order(frame) < len(BASE_FRAMES)


def is_sensor(frame: str) -> bool:
    """Returns whether a frame's name says that it is a sensor's whose poses are often published."""
    return bool(_SENSORS & set(_words(frame.rpartition("/")[2])))
