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

"""Messages and requests with values that their types allow and nobody means, drawn at random."""

from __future__ import annotations

import struct
import zlib
from array import array
from functools import cache
from importlib import import_module
from random import Random
from typing import Any

import cv2
import numpy as np
from fuzz.mutations import CONTENTS
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image, PointCloud2, PointField
from tf2_msgs.msg import TFMessage

from scene_geo_loc.ros.common.messages import ns_to_stamp, transform_message
from scene_geo_loc.traversals.frame import Frame

NUMBERS = (float("nan"), float("inf"), -float("inf"), 0.0, -0.0, -1.0, 1e-320, 1e-9, 1e9, 3e38, 1.5, 1e12)
HUGE = (1e308, -1e308)
"""Numbers of 64 bits only."""
FRAMES = ("", "/", "map", "odom", "base_link", "camera_optical_frame", "nowhere", "Ω", "a b", "x" * 3000)
TEXTS = (*FRAMES, "rgb8", "plumb_bob", "equidistant", "fisheye", "/camera/image_raw", "../..", "%s{0}", "nan")
ENCODINGS = (
    "rgb8", "bgr8", "rgba8", "mono8", "mono16", "rgb16", "16UC1", "32FC1", "8UC4", "bayer_rggb8", "yuv422",
    "yuyv", "nv12", "nv21", "nv24", "i420", "bayer_grbg12", "64FC1", "", "rgb8\n", "RGB8",
)  # fmt: skip
SIZES = (0, 1, 2, 3, 119, 120, 159, 160, 640, 65535, 2**31 - 1, 2**32 - 1)
SECONDS = (-(2**31), -5, 0, 1, 3600, 2**31 - 1)
INTEGERS = {
    f"{sign}int{bits}": (0, 2**bits - 1) if sign else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    for bits in (8, 16, 32, 64)
    for sign in ("", "u")
}
"""Least and greatest value of each type."""
BOMB_SIDE = 12_000


def change(message: Any, random: Random) -> Any:
    """Changes one to five fields of a message, at any depth, and returns it."""
    for _ in range(random.choice((1, 1, 2, 5))):
        _change_field(message, random)
    return message


def _change_field(message: Any, random: Random) -> None:
    kinds = message.get_fields_and_field_types()
    if kinds:
        name = random.choice(sorted(kinds))
        setattr(message, name, _value(kinds[name], getattr(message, name), random))


def _value(kind: str, value: Any, random: Random) -> Any:
    if hasattr(value, "get_fields_and_field_types"):
        _change_field(value, random)
        return value
    if kind.endswith("]"):
        return _of_fixed_length(kind.partition("[")[0], value, random)
    if kind.startswith("sequence<"):
        return _sequence(kind[len("sequence<") : -1].partition(",")[0], value, random)
    return _primitive(kind, random)


def _primitive(kind: str, random: Random) -> Any:
    if kind in ("double", "float"):
        return random.choice((*NUMBERS, *HUGE) if kind == "double" else NUMBERS)
    if kind in INTEGERS:
        low, high = INTEGERS[kind]
        return min(max(random.choice((low, high, 0, 1, -1, random.randint(low, high))), low), high)
    if kind == "boolean":
        return random.random() < 0.5
    if kind in ("octet", "char"):
        return bytes([random.randrange(256)]) if kind == "octet" else random.randrange(256)
    assert kind.startswith("string"), f"an unknown type {kind}"
    return random.choice(TEXTS)


def _of_fixed_length(kind: str, values: Any, random: Random) -> Any:
    changed = values.copy()
    places = range(len(changed)) if random.random() < 0.2 else [random.randrange(len(changed))]
    for i in places:
        if "/" in kind:
            _change_field(changed[i], random)
        else:
            changed[i] = _primitive(kind, random)
    return changed


def _sequence(kind: str, values: Any, random: Random) -> Any:
    items, end = list(values), random.choice(("empty", "shorter", "twice", "longer", "other", "other"))
    if end == "empty":
        del items[:]
    elif end == "shorter" and items:
        del items[random.randrange(len(items)) :]
    elif end == "twice" and len(items) < 10**6:
        items *= 2
    elif end == "longer" or not items:
        items += [_new_item(kind, random) for _ in range(random.choice((1, 3, 50)))]
    elif "/" in kind:
        _change_field(random.choice(items), random)
    else:
        for _ in range(random.choice((1, 10))):
            items[random.randrange(len(items))] = _primitive(kind, random)
    return array(values.typecode, items) if isinstance(values, array) else items


def _new_item(kind: str, random: Random) -> Any:
    if "/" not in kind:
        return _primitive(kind, random)
    package, name = kind.split("/")
    return change(getattr(import_module(f"{package}.msg"), name)(), random)


def request_of(kind: str, random: Random) -> Any:
    """Returns the class of a service of a type `package/srv/Name`, and a request with any values."""
    package, _, name = kind.split("/")
    service = getattr(import_module(f"{package}.srv"), name)
    return service, change(service.Request(), random)


# Messages of sensors.


def image(random: Random, frame: Frame, stamp_ns: int, frame_id: str) -> Image:
    """An image of any encoding, size, row length and amount of data."""
    width, height = (random.choice((*SIZES, 120, 160)) for _ in range(2))
    if random.random() < 0.5:
        height, width = frame.image.shape[:2]
    step = random.choice((0, width, 3 * width, 4 * width, 6 * width, 2**32 - 1)) % 2**32
    length = min(step * height, 3 << 20)
    data = array("B", frame.image.tobytes())[:length]
    if len(data) < length:
        data.frombytes(bytes(length - len(data)) if random.random() < 0.5 else random.randbytes(length))
    if random.random() < 0.4:
        del data[random.randrange(len(data) + 1) :]
    message = Image(width=width, height=height, step=step, encoding=random.choice(ENCODINGS), data=data)
    message.is_bigendian = random.randrange(3)
    return _headed(message, random, stamp_ns, frame_id)


def compressed(random: Random, frame: Frame, stamp_ns: int, frame_id: str) -> CompressedImage:
    """A compressed image that is damaged, of another kind or size, or a bomb."""
    deep = frame.image.astype(np.uint16) << 4
    pixels = random.choice((frame.image, frame.image[:33], frame.image[..., 0], deep))
    ending = random.choice((".jpg", ".png", ".tiff", ".bmp", ".webp") if pixels is not deep else (".png",))
    data = bytearray(cv2.imencode(ending, pixels)[1].tobytes())
    kind = random.random()
    if kind < 0.1:
        data = bytearray(random.randbytes(random.choice((0, 1, 1000))))
    elif kind < 0.15:
        data = bytearray(_bomb(random.choice((BOMB_SIDE, 2**31 - 1))))
    elif kind < 0.7:
        for _ in range(random.choice((1, 3))):
            if data:
                random.choice(CONTENTS)(data, random)
    formats = ("jpeg", "png", "", "rgb8; jpeg compressed bgr8", "bayer_rggb8; png", "16UC1; png", "h264", "Ω")
    message = CompressedImage(format=random.choice(formats), data=array("B", data))
    return _headed(message, random, stamp_ns, frame_id)


@cache
def _bomb(side: int) -> bytes:
    """A small PNG of many grey pixels; of more than OpenCV allows the data end early."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes((side + 1) * min(side, BOMB_SIDE) % 2**28), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def cloud(random: Random, stamp_ns: int, frame_id: str) -> PointCloud2:
    """A cloud with fields of any type and place, and any size."""
    names = ("x", "y", "z", "time", "t", "intensity", "ring", "timestamp", "")
    count = random.choice((0, 1, 100, 5000))
    point_step = random.choice((0, 1, 12, 16, 24, 2**32 - 1))
    fields = [
        PointField(
            name=random.choice(names) if random.random() < 0.3 else names[i],
            offset=random.choice((4 * i, 4 * i, 4 * i, 0, 2**32 - 1)),
            datatype=random.choice((7, 7, 7, 8, 2, 6, 0, 200)),
            count=random.choice((1, 1, 1, 0, 2**32 - 1)),
        )
        for i in range(random.randrange(7))
    ]
    length = min(count * point_step, 200_000)
    data = random.choice((bytes(length), random.randbytes(length), b"", random.randbytes(length // 2)))
    if random.random() < 0.5:
        data = np.random.default_rng(count).normal(0, 5, (length // 4,)).astype("<f4").tobytes()
    message = PointCloud2(
        height=random.choice((1, 1, 0, count, 2**32 - 1)),
        width=random.choice((count, count, 0, 2**32 - 1)),
        fields=fields,
        point_step=point_step,
        row_step=random.choice((length, 0, 2**32 - 1)),
        data=array("B", data),
        is_bigendian=random.random() < 0.2,
        is_dense=random.random() < 0.5,
    )
    return _headed(message, random, stamp_ns, frame_id)


def transforms(random: Random, stamp_ns: int) -> TFMessage:
    """Transforms with any numbers and times between the robot's frames, in loops too."""
    message = TFMessage()
    for _ in range(random.choice((0, 1, 1, 2, 20))):
        parent, child = random.choice(FRAMES), random.choice(FRAMES)
        when_ns = stamp_ns + random.choice((0, 0, 10**9, -(10**9), 7200 * 10**9, 10**18))
        T = np.eye(4)
        T[:3, 3] = [random.choice((0.0, 1.0, random.gauss(0, 5), 1e7)) for _ in range(3)]
        item = transform_message(when_ns % (2**31 * 10**9), parent, child, T)
        if random.random() < 0.4:
            change(item, random)
        message.transforms.append(item)
    return message


def clock(random: Random, stamp_ns: int) -> Clock:
    """A time that jumps back or ahead, a little or much."""
    jump_ns = random.choice((0, -1, -(10**8), -(10**10), 10**8, 10**11, 10**17))
    message = Clock(clock=ns_to_stamp(max(0, stamp_ns + jump_ns)))
    if random.random() < 0.3:
        change(message, random)
    return message


def _headed(message: Any, random: Random, stamp_ns: int, frame_id: str) -> Any:
    message.header.stamp, message.header.frame_id = ns_to_stamp(stamp_ns), frame_id
    if random.random() < 0.1:
        message.header.stamp.sec = random.choice(SECONDS)
    if random.random() < 0.1:
        message.header.frame_id = random.choice(FRAMES)
    return message
