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

"""Bags that are damaged, incomplete, or stored in other ways."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drive import CAMERA, picture, stamp, write_drive
from rosbags.highlevel import AnyReader
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
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
    return rewritten(bag, out, StoragePlugin.SQLITE3)


def rewritten(
    bag: Path, out: Path, storage: StoragePlugin, compression: CompressionMode | None = None
) -> Path:
    """The same messages in a rosbag2 of a storage and a compression."""
    store = get_typestore(Stores.ROS2_JAZZY)
    writer = Writer2(out, version=8, storage_plugin=storage)
    if compression is not None:
        writer.set_compression(compression, CompressionFormat.ZSTD)
    with AnyReader([bag]) as reader, writer:
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
    assert caplog.text.count("has no end") == 1


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


@pytest.mark.parametrize("storage", [StoragePlugin.SQLITE3, StoragePlugin.MCAP])
@pytest.mark.parametrize("compression", [CompressionMode.FILE, CompressionMode.MESSAGE])
def test_compressed_recordings_are_read_with_and_without_metadata(
    drive: Path, tmp_path: Path, storage: StoragePlugin, compression: CompressionMode
) -> None:
    bag = rewritten(drive, tmp_path / "drive", storage, compression)
    check(bag)
    (bag / "metadata.yaml").unlink()
    check(bag)
    check(next(bag.iterdir()))


@pytest.mark.parametrize("line", ["", "  storage_identifier: ''\n", "  storage_identifier: a_plugin\n"])
def test_metadata_without_a_known_storage_are_passed_over(
    copied: Path, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    text = (copied / "metadata.yaml").read_text()
    (copied / "metadata.yaml").write_text(re.sub(r"  storage_identifier:.*\n", line, text))
    check(copied)
    assert "metadata.yaml is not usable" in caplog.text


def with_profile(raw: bytes, profile: bytes) -> bytes:
    """An MCAP file with another profile; the name of the library takes the rest of its record."""
    length = int.from_bytes(raw[9:17], "little")
    library = b"x" * (length - len(profile) - 8)
    strings = b"".join(len(text).to_bytes(4, "little") + text for text in (profile, library))
    return raw[:17] + strings + raw[17 + length :]


@pytest.mark.parametrize("profile", [b"", b"ros2_x", b"none"])
def test_mcap_files_with_an_odd_profile_are_read(copied: Path, profile: bytes) -> None:
    file = storage(copied)
    file.write_bytes(with_profile(file.read_bytes(), profile))
    check(file)
    check(copied)
    cut(file, 0.999)
    assert len(list(RosbagTraversal(file).frames())) > 0


def test_recordings_of_other_kinds_say_what_to_do(drive: Path, tmp_path: Path) -> None:
    raw = storage(drive).read_bytes()
    (tmp_path / "old.mcap").write_bytes(with_profile(raw, b"ros1"))
    with pytest.raises(TraversalError, match="MCAP file of ROS 1; convert it"):
        open_traversal(tmp_path / "old.mcap")
    (tmp_path / "other.mcap").write_bytes(raw.replace(b"ros2msg", b"protobuf"[:7]))
    with pytest.raises(TraversalError, match="encoded as protobu"):
        open_traversal(tmp_path / "other.mcap")
    (tmp_path / "damaged.mcap.zstd").write_bytes(raw)
    with pytest.raises(TraversalError, match="cannot be uncompressed"):
        open_traversal(tmp_path / "damaged.mcap.zstd")


@pytest.mark.parametrize("suffix", [".mcap", ".bag", ".db3"])
def test_a_pointer_of_git_lfs_is_told_from_a_damaged_recording(tmp_path: Path, suffix: str) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 12345\n"
    path = tmp_path / f"drive{suffix}"
    path.write_text(pointer)
    with pytest.raises(TraversalError, match="12345 bytes; get it by `git lfs pull`"):
        open_traversal(path)


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
    raw[start : start + 200_000] = bytes(200_000)
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
