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

"""Lidars of recordings: their messages, and packets that are no points."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drive import START_NS, T_BASE_LIDAR, base_at, stamp, write_drive
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.pose import make_pose, transform
from scene_geo_loc.traversals.opening import open_traversal
from scene_geo_loc.traversals.rosbag.message_types import DEFINITIONS
from scene_geo_loc.traversals.rosbag.traversal import RosbagTraversal
from scene_geo_loc.traversals.rosbag.writer import BagWriter

pytestmark = pytest.mark.slow

LIVOX = "livox_ros_driver2/msg/CustomMsg"
PACKETS = "velodyne_msgs/msg/VelodyneScan"


def with_topic(drive: Path, out: Path, topic: str, kind: str, fields: Any) -> Path:
    """The drive as sqlite, whose older versions have no type definitions, with one more topic."""
    store = get_typestore(Stores.ROS2_JAZZY)
    for name, text in {**DEFINITIONS, PACKETS: "std_msgs/Header header\nuint8[] packets\n"}.items():
        store.register(get_types_from_msg(text, name))
    with AnyReader([drive]) as reader, Writer(out, version=8, storage_plugin=StoragePlugin.SQLITE3) as writer:
        there = {
            connection.topic: writer.add_connection(connection.topic, connection.msgtype, typestore=store)
            for connection in reader.connections
        }
        for connection, time, raw in reader.messages():
            writer.write(there[connection.topic], time, raw)
        added = writer.add_connection(topic, kind, typestore=store)
        for i in range(3):
            seconds, nanoseconds = divmod(stamp(i), 10**9)
            now = store.types["builtin_interfaces/msg/Time"](sec=seconds, nanosec=nanoseconds)
            header = store.types["std_msgs/msg/Header"](stamp=now, frame_id="lidar_link")
            message = store.types[kind](header=header, **fields(store))
            writer.write(added, stamp(i), store.serialize_cdr(message, kind))
    return out


def livox(store: Any) -> dict[str, Any]:
    point = store.types["livox_ros_driver2/msg/CustomPoint"]
    points = [
        point(offset_time=20_000_000 * i, x=float(i), y=2.0, z=3.0, reflectivity=1, tag=0, line=0)
        for i in range(3)
    ]
    rsvd = np.zeros(3, np.uint8)
    return {"timebase": START_NS, "point_num": 3, "lidar_id": 0, "rsvd": rsvd, "points": points}


def without_definitions(bag: Path) -> Path:
    """A recording as of before ROS 2 Iron."""
    file = next(bag.glob("*.db3"))
    with sqlite3.connect(file) as database:
        database.execute("DELETE FROM message_definitions")
        database.execute("UPDATE schema SET schema_version = 3")
    database.close()
    return bag


@pytest.mark.parametrize("defined", [True, False])
def test_points_of_a_livox_lidar_are_read_each_at_its_time(
    tmp_path: Path, drive: Path, defined: bool
) -> None:
    bag = with_topic(drive, tmp_path / "livox", "/livox/lidar", LIVOX, livox)
    scans = list(RosbagTraversal(bag if defined else without_definitions(bag)).scans())
    assert [len(scan.points_map) for scan in scans] == [3, 3, 3]
    expected = [
        transform(base_at(1 + 0.2 * i) @ T_BASE_LIDAR, np.array([[float(i), 2.0, 3.0]]))[0] for i in range(3)
    ]
    np.testing.assert_allclose(scans[1].points_map, expected, atol=0.02)


def test_a_recording_without_the_definition_of_a_type_says_what_to_do(tmp_path: Path, drive: Path) -> None:
    bag = with_topic(drive, tmp_path / "livox", "/livox/lidar", LIVOX, livox)
    with sqlite3.connect(next(bag.glob("*.db3"))) as database:
        database.execute("UPDATE message_definitions SET encoding = 'unknown' WHERE topic_type = ?", [LIVOX])
    database.close()
    with pytest.raises(TraversalError, match="lacks the definition of a message type; convert it"):
        open_traversal(bag)


def test_packets_of_a_lidar_are_named_with_what_makes_points_of_them(
    tmp_path: Path, drive: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bag = with_topic(
        drive,
        tmp_path / "packets",
        "/velodyne_packets",
        PACKETS,
        lambda _: {"packets": np.zeros(9, np.uint8)},
    )
    assert list(open_traversal(bag).scans()) == []
    assert "/velodyne_packets has packets of a lidar" in caplog.text
    assert "velodyne_pointcloud" in caplog.text


def test_a_gap_of_the_poses_is_named_with_its_transform(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def transforms(bag: BagWriter, i: int) -> Any:
        bag.transform(stamp(i), "odom", "base_link", base_at(i))
        if i in (0, 70):
            bag.transform(stamp(i), "map", "odom", make_pose(np.eye(3), [0.1 * i, 0.0, 0.0]))

    traversal = RosbagTraversal(
        write_drive(tmp_path / "drive", images=range(71), truth=False, extra=transforms), poses="/tf"
    )
    poses = [frame.T_map_camera is not None for frame in traversal.frames()]
    assert poses == [True, *[False] * 69, True]
    assert "69 of 71 images have no pose" in caplog.text
    assert "from map to odom on TF has a gap of 7.0 s" in caplog.text


def test_the_lidar_is_taken_among_other_clouds(tmp_path: Path) -> None:
    dense = np.random.default_rng(0).uniform(1, 20, (1200, 3))

    def clouds(bag: BagWriter, i: int) -> Any:
        if i % 3 == 0:
            bag.points("/lidar/points", stamp(i), "lidar_link", dense)
        bag.points("/lidar/points_filtered", stamp(i), "lidar_link", dense)
        bag.points("/slam/points", stamp(i), "map", dense)
        bag.points("/camera/points", stamp(i), "camera_optical_frame", dense)
        bag.points("/radar/points", stamp(i), "radar", dense[:50])
        bag.laser_scan("/scan", stamp(i), "lidar_link", [2.0], [0], 0.0, 0.1, 0.0, 0.1, 50.0)

    bag = write_drive(tmp_path / "drive", extra=clouds)
    source = RosbagTraversal(bag).sources[-2]
    assert source.name == "/lidar/points"
    reasons = {other.name: other.reason for other in source.passed_over}
    assert "`filtered`" in reasons["/lidar/points_filtered"]
    assert "frame map" in reasons["/slam/points"]
    assert "depth camera" in reasons["/camera/points"]
    assert "50 points" in reasons["/radar/points"]
    assert "planar" in reasons["/scan"]
    assert RosbagTraversal(bag, points="/radar/points").sources[-2].name == "/radar/points"
