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

"""Images of recordings that are video."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drive import CAMERA, START_NS, stamp, write_drive
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.traversals.messages.video import video_codec
from scene_geo_loc.traversals.opening import open_traversal
from scene_geo_loc.traversals.rosbag.message_types import DEFINITIONS

pytestmark = pytest.mark.slow

FFMPEG = "ffmpeg_image_transport_msgs/msg/FFMPEGPacket"
FOXGLOVE = "foxglove_msgs/msg/CompressedVideo"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
COUNT = 8


@pytest.mark.parametrize(
    ("format", "codec"),
    [
        ("libx264", "h264"),
        ("h264_nvenc", "h264"),
        ("h264;yuv420p;bgr8;bgr8", "h264"),
        ("hevc_vaapi", "hevc"),
        ("H265", "hevc"),
        ("libsvtav1", "av1"),
        ("jpeg", None),
        ("rgb8; jpeg compressed bgr8", None),
        ("", None),
    ],
)
def test_names_of_encoders_tell_the_decoder(format: str, codec: str | None) -> None:
    assert video_codec(format) == codec


def colour(i: int) -> tuple[int, int, int]:
    return 20 * i, 200 - 20 * i, 100


def packets(av: Any, options: dict[str, str]) -> list[bytes]:
    """The drive's images, each of one colour, as H.264."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 64, 48, "yuv420p"
    encoder.time_base, encoder.options = Fraction(1, 10), options
    sent = []
    for i in range(COUNT):
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), colour(i), np.uint8), format="rgb24")
        frame.pts = i
        sent += encoder.encode(frame)
    return [bytes(packet) for packet in [*sent, *encoder.encode(None)]]


def write_video(folder: Path, kind: str, data: list[bytes], format: str = "h264") -> Path:
    """A drive with camera_info and poses whose images are packets of a video."""
    drive = write_drive(folder / "drive", images=range(COUNT))
    store = get_typestore(Stores.ROS2_JAZZY)
    for name, text in DEFINITIONS.items():
        store.register(get_types_from_msg(text, name))
    types, topic = store.types, "/camera/image_raw/ffmpeg"
    out = folder / "video"
    with AnyReader([drive]) as reader, Writer(out, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = [c for c in reader.connections if c.topic != "/camera/image_raw"]
        there = {c.topic: writer.add_connection(c.topic, c.msgtype, typestore=store) for c in connections}
        for connection, time, raw in reader.messages(connections):
            writer.write(there[connection.topic], time, raw)
        images = writer.add_connection(topic, kind, typestore=store)
        for i, packet in enumerate(data):
            seconds, nanoseconds = divmod(stamp(i), 10**9)
            now = types["builtin_interfaces/msg/Time"](sec=seconds, nanosec=nanoseconds)
            header = types["std_msgs/msg/Header"](stamp=now, frame_id="camera_optical_frame")
            content = np.frombuffer(packet, np.uint8)
            fields: dict[str, Any] = {"header": header, "data": content, "format": format}
            if kind == FFMPEG:
                size = {"width": 64, "height": 48, "pts": i, "flags": 0, "is_bigendian": False}
                fields = {"header": header, "encoding": format, "data": content, **size}
            elif kind == FOXGLOVE:
                fields = {
                    "timestamp": now,
                    "frame_id": "camera_optical_frame",
                    "data": content,
                    "format": format,
                }
            writer.write(images, stamp(i), store.serialize_cdr(types[kind](**fields), kind))
    return out


@pytest.mark.parametrize("kind", [FFMPEG, FOXGLOVE, COMPRESSED])
@pytest.mark.parametrize("options", [{"tune": "zerolatency"}, {"bf": "0"}], ids=["at once", "delayed"])
def test_images_of_a_video_are_read_with_their_stamps_and_poses(
    tmp_path: Path, kind: str, options: dict[str, str]
) -> None:
    av = pytest.importorskip("av")
    bag = write_video(tmp_path, kind, packets(av, options))
    frames = list(open_traversal(bag).frames())
    assert [frame.stamp_ns for frame in frames] == [stamp(i) for i in range(COUNT)]
    assert all(frame.camera == CAMERA and frame.T_map_camera is not None for frame in frames)
    for i, frame in enumerate(frames):
        assert np.abs(frame.image[20, 30].astype(int) - colour(i)).max() <= 12
    some = list(open_traversal(bag, every=3).frames())
    assert [frame.stamp_ns for frame in some] == [stamp(0), stamp(3), stamp(6)]
    np.testing.assert_array_equal(some[1].image, frames[3].image)


def test_packets_before_the_first_whole_image_and_damaged_ones_are_counted(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    data = packets(av, {"tune": "zerolatency", "g": "4", "x264-params": "repeat-headers=1"})
    traversal = open_traversal(write_video(tmp_path, FFMPEG, [b"", b"no video", *data[2:]]))
    stamps = [frame.stamp_ns for frame in traversal.frames()]
    assert stamp(4) in stamps
    assert stamp(0) not in stamps
    assert traversal.skipped.counts["images that cannot be decoded"] == COUNT - len(stamps)


def test_without_pyav_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bag = write_video(tmp_path, FFMPEG, [b"x"] * COUNT, "libx264")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(TraversalError, match=r"/camera/image_raw/ffmpeg are h264 video: .*install `av`"):
        open_traversal(bag)
    assert stamp(0) == START_NS
