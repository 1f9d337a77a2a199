"""Bags that are damaged, incomplete, or stored in other ways."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drive import CAMERA, picture, stamp, write_drive
from rosbags.highlevel import AnyReader
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_typestore

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.traversals.opening import open_traversal
from scene_geo_loc.traversals.rosbag.bag import Bag
from scene_geo_loc.traversals.rosbag.traversal import RosbagTraversal
from scene_geo_loc.traversals.rosbag.writer import BagWriter

pytestmark = pytest.mark.slow


@pytest.fixture
def copied(drive: Path, tmp_path: Path) -> Path:
    """A bag of its own, to be damaged."""
    return Path(shutil.copytree(drive, tmp_path / "copy"))


def storage(bag: Path) -> Path:
    return next(bag.glob("*.mcap"))


def cut(file: Path, share: float) -> None:
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])


def as_sqlite(bag: Path, out: Path) -> Path:
    """The same messages in a rosbag2 of the older storage."""
    store = get_typestore(Stores.ROS2_JAZZY)
    with AnyReader([bag]) as reader, Writer2(out, version=8, storage_plugin=StoragePlugin.SQLITE3) as writer:
        there = {
            connection.topic: writer.add_connection(connection.topic, connection.msgtype, typestore=store)
            for connection in reader.connections
        }
        for connection, time, raw in reader.messages():
            writer.write(there[connection.topic], time, raw)
    return out


def as_ros1(bag: Path, out: Path) -> Path:
    """Images, camera_info and poses of a bag as ROS 1 has them."""
    store = get_typestore(Stores.ROS1_NOETIC)
    types = store.types
    with AnyReader([bag]) as reader, Writer1(out) as writer:
        there = {}
        for connection, time, raw in reader.messages():
            message = reader.deserialize(raw, connection.msgtype)
            if connection.topic not in ("/camera/image_raw", "/camera/camera_info", "/ground_truth/pose"):
                continue
            fields = {name: value for name, value in vars(message).items() if not name.startswith("__")}
            old = fields["header"]
            fields["header"] = types["std_msgs/msg/Header"](
                seq=7, stamp=old.stamp, frame_id="/" + old.frame_id
            )
            if connection.msgtype.endswith("CameraInfo"):
                fields.update({name.upper(): fields.pop(name) for name in "dkrp"})
            if connection.topic not in there:
                there[connection.topic] = writer.add_connection(
                    connection.topic, connection.msgtype, typestore=store
                )
            data = store.serialize_ros1(types[connection.msgtype](**fields), connection.msgtype)
            writer.write(there[connection.topic], time, data)
    return out


def check(path: Path) -> None:
    frames = list(open_traversal(path).frames())
    assert [frame.stamp_ns for frame in frames] == [stamp(i) for i in range(10)]
    assert all(frame.camera == CAMERA and frame.T_map_camera is not None for frame in frames)
    np.testing.assert_array_equal(frames[7].image, picture(7))


@pytest.mark.parametrize("rewrite", [as_sqlite, as_ros1])
def test_every_storage_gives_the_same_frames(
    drive: Path, tmp_path: Path, rewrite: Callable[[Path, Path], Path]
) -> None:
    check(rewrite(drive, tmp_path / ("drive.bag" if rewrite is as_ros1 else "drive")))


def test_a_folder_without_its_metadata_and_a_storage_file_alone_are_read(copied: Path) -> None:
    (copied / "metadata.yaml").unlink()
    check(copied)
    check(storage(copied))


def test_a_bag_whose_recorder_was_killed_gives_its_whole_chunks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bag = write_drive(tmp_path / "drive", images=range(300))
    cut(storage(bag), 0.8)
    with caplog.at_level(logging.WARNING):
        frames = list(RosbagTraversal(bag).frames())
    assert 150 < len(frames) < 300
    np.testing.assert_array_equal(frames[-1].image, picture(len(frames) - 1))
    assert "has no end" in caplog.text


def test_an_mcap_file_without_chunks_that_ends_early_is_read_too(tmp_path: Path, drive: Path) -> None:
    raw = storage(drive).read_bytes()
    (tmp_path / "cut.mcap").write_bytes(_without_chunks(raw)[:-5])
    assert sum(1 for _ in Bag(tmp_path / "cut.mcap").messages(["/camera/camera_info"])) == 10


def _without_chunks(raw: bytes) -> bytes:
    """An MCAP file with its messages outside of chunks, as fast recorders write it."""
    out, position = raw[:8], 8
    while position < len(raw) - 8:
        length = int.from_bytes(raw[position + 1 : position + 9], "little")
        body = raw[position + 9 : position + 9 + length]
        if raw[position] == 0x01:
            out += raw[position : position + 9 + length]
        elif raw[position] == 0x06:
            out += body[32 + int.from_bytes(body[28:32], "little") + 8 :]
        position += 9 + length
    return out


def test_sqlite_and_ros_1_that_end_early_say_how_to_repair_them(drive: Path, tmp_path: Path) -> None:
    old = as_ros1(drive, tmp_path / "drive.bag")
    cut(old, 0.6)
    with pytest.raises(TraversalError, match="rosbag reindex"):
        open_traversal(old)
    sqlite = as_sqlite(drive, tmp_path / "drive")
    cut(next(sqlite.glob("*.db3")), 0.6)
    with pytest.raises(TraversalError, match=r"bag cannot be opened|bag is damaged"):
        open_traversal(sqlite)


def test_damage_in_the_middle_leaves_what_is_before_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bag = write_drive(tmp_path / "drive", images=range(300))
    raw = bytearray(storage(bag).read_bytes())
    start = int(len(raw) * 0.7)
    chunk = raw.index(b"\x06", start)
    raw[chunk : chunk + 200_000] = bytes(200_000)
    storage(bag).write_bytes(raw)
    with caplog.at_level(logging.WARNING):
        frames = list(RosbagTraversal(bag).frames())
    assert 0 < len(frames) < 300
    assert "damaged after" in caplog.text


@pytest.mark.parametrize(
    "content", [b"", b"\x89MCAP0\r\n", b"not a bag at all, but long enough to look at" * 5]
)
@pytest.mark.parametrize("suffix", [".mcap", ".bag", ".db3"])
def test_files_that_are_no_bags_end_in_one_sentence(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    with pytest.raises(TraversalError) as caught:
        open_traversal(path)
    assert str(path) in str(caught.value)
    assert str(caught.value).endswith(".")


def test_a_message_that_cannot_be_decoded_is_counted_and_passed_over(tmp_path: Path) -> None:
    def broken(bag: BagWriter, i: int) -> Any:
        bag.image("/camera/image_raw", stamp(i + 0.5), "camera_optical_frame", picture(i))

    bag = write_drive(tmp_path / "drive", extra=broken)
    raw = storage(bag).read_bytes()
    # The encoding, whose length stays: rgb8 becomes one that nobody knows.
    at = raw.index(b"rgb8\x00")
    storage(bag).write_bytes(raw[:at] + b"xyz8" + raw[at + 4 :])
    traversal = RosbagTraversal(bag)
    assert sum(1 for _ in traversal.frames()) == 19
    assert traversal.skipped.counts["images that cannot be decoded"] == 1
