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

"""Poses of a recording whose only source of them is a satellite receiver with a heading.

Positions are in east, north, up at the first one, which is the datum of the map; the orientation is that of
an inertial unit (REP-145: in east, north, up), of a compass, or of the geographic poses themselves.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.datum import Datum, Georeference
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.geometry.rotation import matrix_of_quaternion, quaternion_of_matrix
from scene_geo_loc.geometry.trajectory import Trajectory
from scene_geo_loc.geometry.transform_tree import TransformUnavailable
from scene_geo_loc.traversals.messages.satellite import NAV_SAT_FIX
from scene_geo_loc.traversals.messages.transforms import frame_name
from scene_geo_loc.traversals.robotcar.rows import without_jumps
from scene_geo_loc.traversals.rosbag.index import BagIndex, PoseTopic
from scene_geo_loc.traversals.rosbag.runs import Runs
from scene_geo_loc.traversals.rosbag.satellite import SatelliteTopic, best_satellite

logger = logging.getLogger(__name__)

IMU = "sensor_msgs/msg/Imu"
COMPASSES = ("std_msgs/msg/Float64", "std_msgs/msg/Float32")
"""Types of a heading in degrees, clockwise from north, such as mavros's compass_hdg."""
MAX_GAP_NS = 3_000_000_000
"""Longest gap between satellite positions that is interpolated: receivers give at least one a second."""
MAP_FRAME = "map"

_COMPASS_WORDS = {"compass", "heading", "hdg"}
_MAX_SIDEWAYS_DEG = 45.0
_MOVING_M_S = 2.0
"""At lower speed the course is the receiver's noise."""


class Heading(NamedTuple):
    """Orientations of a frame in east, north, up.

    Attributes:
        topic: that they are from.
        frame: whose orientations they are; empty where the messages do not say it.
        stamps_ns: (N,), increasing.
        R_enu_frame: (N, 3, 3).
    """

    topic: str
    frame: str
    stamps_ns: NDArray[np.int64]
    R_enu_frame: NDArray[np.float64]


@dataclass(frozen=True)
class SatellitePoses:
    """Poses that were added to an index, see `add_satellite_poses`.

    Attributes:
        topic: name of their topic.
        georeference: datum of their map.
    """

    topic: str
    georeference: Georeference


def add_satellite_poses(
    index: BagIndex, camera_frame: str, wanted: str | None, runs: Runs
) -> SatellitePoses | None:
    """Adds the poses of a satellite receiver with a heading to an index without other poses of the camera.

    Args:
        camera_frame: frame of the images.
        wanted: source of poses that the user names; a topic of satellite positions is taken beside others.
        runs: the run that is read.

    Returns:
        None where nothing was added.

    Raises TraversalError where the wanted topic cannot give poses.
    """
    is_named = wanted in index.satellites
    if not is_named and (wanted is not None or _has_other_poses(index, camera_frame)):
        return None
    topic = index.satellites[wanted] if is_named and wanted else best_satellite(index.satellites.values())
    if topic is None:
        return None
    problem = "none of its messages has a usable position"
    if len(topic):
        heading = _own_heading(topic) if topic.kind != NAV_SAT_FIX else _heading(index, runs)
        problem = "there is no heading: no sensor_msgs/Imu with an orientation, and no compass"
        if heading is not None:
            return _added(index, topic, heading, camera_frame)
    if is_named:
        raise TraversalError(f"{index.bag.path}: {topic.topic} gives no poses: {problem}.")
    logger.warning("%s: %s gives no poses: %s", index.bag.path, topic.topic, problem)
    return None


def _has_other_poses(index: BagIndex, camera_frame: str) -> bool:
    """Returns whether there are poses on a topic, or transforms that move the camera."""
    if any(len(topic.series) for topic in index.poses.values()):
        return True
    above = index.tree.ancestors_of(camera_frame)
    return any(not index.tree.is_static(frame, camera_frame) for frame in above)


def _added(index: BagIndex, topic: SatelliteTopic, heading: Heading, camera_frame: str) -> SatellitePoses:
    """Adds the poses to an index."""
    stamps, rows = topic.in_order()
    known = np.isfinite(rows[:, 2])
    geodetic = rows[:, :3].copy()
    geodetic[~known, 2] = np.median(rows[known, 2]) if known.any() else 0.0
    reached = without_jumps(stamps, Datum(*geodetic[0].tolist()).map_of(geodetic))
    if not reached.all():
        logger.warning(
            "%s: %d of %d positions on %s are left out: no vehicle gets there so fast",
            index.bag.path,
            np.count_nonzero(~reached),
            len(stamps),
            topic.topic,
        )
    stamps, geodetic = stamps[reached], geodetic[reached]
    datum = Datum(*geodetic[0].tolist())
    antenna = datum.map_of(geodetic)
    _warn_of_course(index, stamps, antenna, heading)
    times, orientations, positions = _together(stamps, antenna, heading)
    named = [frame for frame in (heading.frame, topic.frame_id) if frame]
    body = next((frame for frame in named if index.tree.connects(frame, camera_frame)), [*named, ""][0])
    T_body_antenna = _mounting(index, body, topic.frame_id, times)
    positions = positions - orientations @ T_body_antenna[:3, 3]
    poses = PoseTopic(topic.topic, _kind(topic, heading), MAP_FRAME, body)
    quaternions = quaternion_of_matrix(orientations)
    for stamp_ns, position, quaternion in zip(times.tolist(), positions, quaternions, strict=True):
        poses.series.add(stamp_ns, position, quaternion)
    index.poses[topic.topic] = poses
    return SatellitePoses(topic.topic, Georeference(datum, topic.topic))


def _kind(topic: SatelliteTopic, heading: Heading) -> str:
    return topic.kind if heading.topic == topic.topic else f"{topic.kind} with the heading of {heading.topic}"


def _together(
    stamps_ns: NDArray[np.int64], antenna: NDArray[np.float64], heading: Heading
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Returns the times (M,) of either series that both have values around, with both interpolated there."""
    identity = np.tile(np.eye(4), (len(stamps_ns), 1, 1))
    identity[:, :3, 3] = antenna
    turns = np.tile(np.eye(4), (len(heading.stamps_ns), 1, 1))
    turns[:, :3, :3] = heading.R_enu_frame
    times = np.union1d(stamps_ns, heading.stamps_ns)
    placed, has_place = Trajectory(stamps_ns, identity).at_many(times, MAX_GAP_NS)
    turned, has_turn = Trajectory(heading.stamps_ns, turns).at_many(times, MAX_GAP_NS)
    both = has_place & has_turn
    return times[both], turned[both][:, :3, :3], placed[both][:, :3, 3]


def _mounting(index: BagIndex, body: str, antenna: str, times: NDArray[np.int64]) -> Pose:
    """Returns the pose of the antenna in the body; where TF does not have it, both are taken for one."""
    if not body or not antenna or body == antenna or not len(times):
        return np.eye(4)
    try:
        return index.tree.lookup(body, antenna, int(times[len(times) // 2]))
    except TransformUnavailable as unavailable:
        logger.warning("%s: %s The antenna is taken to be at %s.", index.bag.path, unavailable, body)
        return np.eye(4)


def _own_heading(topic: SatelliteTopic) -> Heading | None:
    """Returns the orientations of geographic poses."""
    stamps, rows = topic.in_order()
    return _of_quaternions(topic.topic, topic.frame_id, stamps, rows[:, 5:])


def _heading(index: BagIndex, runs: Runs) -> Heading | None:
    """Returns the orientations of the first inertial unit that has any, else the heading of a compass."""
    bag = index.bag
    for name in bag.of_kind(IMU):
        found = _of_imu(index, name, runs)
        if found is not None:
            return found
    for name in bag.of_kind(*COMPASSES):
        if _COMPASS_WORDS & set(re.findall("[a-z]+", name.lower())):
            return _of_compass(index, name, runs)
    return None


def _of_imu(index: BagIndex, name: str, runs: Runs) -> Heading | None:
    """Returns the orientations of an inertial unit; None where it says that it has none (REP-145)."""
    stamps: list[int] = []
    quaternions: list[tuple[float, float, float, float]] = []
    frame = ""
    for message in index.bag.messages([name]):
        if len(runs) > 1 and not runs.is_taken(message):
            continue
        try:
            decoded = message.decode()
        except ValueError:
            continue
        if decoded.orientation_covariance[0] == -1:
            return None
        turn = decoded.orientation
        frame = frame or frame_name(decoded.header.frame_id)
        stamps.append(message.stamp_ns)
        quaternions.append((turn.x, turn.y, turn.z, turn.w))
    return _of_quaternions(name, frame, np.array(stamps, np.int64), np.array(quaternions))


def _of_quaternions(
    name: str, frame: str, stamps: NDArray[np.int64], quaternions: NDArray[np.float64]
) -> Heading | None:
    norms = np.linalg.norm(quaternions.reshape(-1, 4), axis=1)
    usable = np.abs(norms - 1.0) < 0.01
    if np.count_nonzero(usable) < 2:
        return None
    stamps, first = np.unique(stamps[usable], return_index=True)
    return Heading(name, frame, stamps, matrix_of_quaternion(quaternions[usable][first]))


def _of_compass(index: BagIndex, name: str, runs: Runs) -> Heading | None:
    """Returns level orientations by a compass; its messages have no stamp but the time of recording."""
    found = {
        message.log_time_ns: float(message.decode().data)
        for message in index.bag.messages([name])
        if len(runs) <= 1 or runs.is_taken(message)
    }
    stamps = np.array(sorted(found), np.int64)
    degrees = np.array([found[stamp] for stamp in stamps.tolist()])
    good = np.isfinite(degrees)
    if np.count_nonzero(good) < 2:
        return None
    yaw = np.radians(90.0 - degrees[good])
    level = np.tile(np.eye(3), (len(yaw), 1, 1))
    level[:, 0, 0], level[:, 0, 1], level[:, 1, 0], level[:, 1, 1] = (
        np.cos(yaw),
        -np.sin(yaw),
        np.sin(yaw),
        np.cos(yaw),
    )
    return Heading(name, "", stamps[good], level)


def _warn_of_course(
    index: BagIndex, stamps_ns: NDArray[np.int64], antenna: NDArray[np.float64], heading: Heading
) -> None:
    """Warns where the vehicle would drive sideways, as by a heading that is not in east, north, up."""
    steps = np.diff(antenna[:, :2], axis=0)
    moving = np.linalg.norm(steps, axis=1) > _MOVING_M_S * np.diff(stamps_ns) / 1e9
    if np.count_nonzero(moving) < 5:
        return
    turns = np.tile(np.eye(4), (len(heading.stamps_ns), 1, 1))
    turns[:, :3, :3] = heading.R_enu_frame
    middles = stamps_ns[:-1] + np.diff(stamps_ns) // 2
    at_steps, known = Trajectory(heading.stamps_ns, turns).at_many(middles, MAX_GAP_NS)
    used = moving & known
    if not used.any():
        return
    course = np.arctan2(steps[used, 1], steps[used, 0])
    ahead = np.arctan2(at_steps[used, 1, 0], at_steps[used, 0, 0])
    mean = np.exp(1j * (course - ahead)).mean()
    off_deg = float(np.degrees(np.angle(mean)))
    if abs(off_deg) > _MAX_SIDEWAYS_DEG and abs(mean) > 0.7:
        logger.warning(
            "%s: by the heading of %s the vehicle drives %.0f° to the left of x: its orientation must be in "
            "east, north, up (REP-145), by a magnetometer or two antennas",
            index.bag.path,
            heading.topic,
            off_deg,
        )
