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

"""Depth maps of ROS image messages: raw, as PNG, and of compressed_depth_image_transport.

Messages are read by their fields, as in `images`.
"""

from __future__ import annotations

import logging
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.traversals.messages.pixels import fields_of, imdecode, pixels_of

logger = logging.getLogger(__name__)

DEPTH_ENCODINGS = ("16UC1", "32FC1")
"""Encodings of depth images, REP-118: millimetres and metres."""

_HEADER_BYTES = 12
"""Of compressed_depth_image_transport: a number of the format, and A and B of the quantization."""
_PNG = b"\x89PNG"

FAR_M = 100.0
"""Floating-point depths of which 95 % are larger are millimetres: no sensor measures nothing within 100 m."""
_NEAR_PERCENT = 5.0
_MIN_KNOWN = 0.01
"""Share of known pixels from which the unit is told."""

_MAX_PIXELS = 1 << 26
_MAX_NIBBLES = 11
"""Nibbles of a number of 32 bits in the RVL format, three bits each."""


class DepthDecoder:
    """Decodes the depth images of one topic, raw or compressed.

    32FC1 is metres (REP-118), but of some drivers millimetres: the first image with enough known pixels
    tells, by its size.

    Args:
        topic: name for the log.
    """

    def __init__(self, topic: str = "") -> None:
        self._topic = topic
        self._metres_per_unit: float | None = None

    def __call__(self, message: Any) -> NDArray[np.float32]:
        """Returns (H, W) float32 metres along the optical axis, NaN where unknown. Raises ValueError."""
        if not hasattr(message, "encoding"):
            return decode_compressed_depth(message.data, message.format)
        depth = decode_depth(*fields_of(message))
        if message.encoding != "32FC1":
            return depth
        if self._metres_per_unit is None:
            known = depth[np.isfinite(depth)]
            if len(known) < _MIN_KNOWN * depth.size:
                return depth
            near = float(np.percentile(known, _NEAR_PERCENT))
            self._metres_per_unit = 0.001 if near > FAR_M else 1.0
            if near > FAR_M:
                logger.warning(
                    "%s: 95 %% of the depths in 32FC1 are above %.0f > %g, so they are taken as millimetres",
                    self._topic or "depth",
                    near,
                    FAR_M,
                )
        return depth if self._metres_per_unit == 1.0 else depth * np.float32(self._metres_per_unit)


def depth_of(message: Any) -> NDArray[np.float32]:
    """Returns the (H, W) float32 metres of a single depth image, raw or compressed. Raises ValueError."""
    return DepthDecoder()(message)


def decode_depth(
    encoding: str, width: int, height: int, step: int, is_bigendian: bool, data: Any
) -> NDArray[np.float32]:
    """Decodes an (H, W) float32 depth map in metres, NaN where unknown, from sensor_msgs/Image fields.

    16UC1 (also called mono16) is millimetres with 0 for unknown, 32FC1 is metres (REP-118).

    Raises:
        ValueError: another encoding, or the data do not have the message's size.
    """
    if encoding not in (*DEPTH_ENCODINGS, "mono16"):
        raise ValueError(
            f"depth image encoding {encoding!r} is neither 16UC1 (millimetres) nor 32FC1 (metres)"
        )
    kind = "f4" if encoding == "32FC1" else "u2"
    return _metres(pixels_of(encoding, kind, 1, width, height, step, is_bigendian, data))


def decode_compressed_depth(data: Any, format: str) -> NDArray[np.float32]:
    """Decodes an (H, W) float32 depth map in metres from a sensor_msgs/CompressedImage, NaN where unknown.

    Of compressed_depth_image_transport the data are 12 bytes of header and a PNG, or rows, columns and RVL:
    millimetres for 16UC1, and for 32FC1 quantized inverse depth, `depth = A / (value - B)`, with A and B in
    the header.  Of compressed_image_transport they are a PNG of millimetres, or a TIFF of metres.

    Raises:
        ValueError: the data are no such image, for example a JPEG, which has lost the depth.
    """
    raw = np.frombuffer(data, np.uint8)
    if "compressedDepth" not in format or raw[:4].tobytes() == _PNG:
        values = imdecode(raw, cv2.IMREAD_UNCHANGED, format)
        if values.ndim == 2 and values.dtype in (np.uint16, np.float32):
            return _metres(values)
        raise ValueError(
            f"a depth image as {format!r} has {values.dtype} values: its depth is lost; record the topic of "
            "compressedDepth, or the raw one"
        )
    body = raw[_HEADER_BYTES:]
    values = _decode_rvl(body) if "rvl" in format.lower() else imdecode(body, cv2.IMREAD_UNCHANGED, format)
    if values.ndim != 2 or values.dtype != np.uint16:
        raise ValueError(f"the PNG of a compressed depth image ({format!r}) should be grey with 16 bits")
    if not format.startswith("32FC1"):
        return _metres(values)
    A, B = np.frombuffer(data, "<f4", count=2, offset=4)
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = (A / (values.astype(np.float32) - B)).astype(np.float32)
    depth[(values == 0) | ~np.isfinite(depth) | (depth <= 0)] = np.nan
    return depth


def _metres(values: NDArray[Any]) -> NDArray[np.float32]:
    """Returns metres of integer millimetres or floating-point metres, NaN where unknown."""
    depth = values.astype(np.float32)
    if np.issubdtype(values.dtype, np.integer):
        depth /= 1000.0
    depth[~(np.isfinite(depth) & (depth > 0))] = np.nan
    return depth


def _decode_rvl(data: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Decodes rows, columns and an image in RVL (Wilson, Fast Lossless Depth Image Compression, ISS 2017).

    Runs of zeros and of other pixels alternate; the latter are differences to the pixel before.  Numbers are
    nibbles of three bits, the lowest first, with a bit that says whether another follows; eight nibbles are a
    word of 32 bits, the first one highest.

    Raises:
        ValueError: the data are no such image.
    """
    broken = f"{len(data)} bytes of a compressed depth image are no RVL"
    if len(data) < 8:
        raise ValueError(broken)
    width, height = (int(value) for value in data[:8].view("<u4"))
    if not 0 < width * height <= _MAX_PIXELS:
        raise ValueError(f"{broken}: it would have {width} x {height} pixels")
    words = data[8 : len(data) // 4 * 4].copy().view("<u4").astype(">u4").view(np.uint8)
    nibbles = np.stack([words >> 4, words & 15], axis=1).reshape(-1)
    ends = np.flatnonzero(nibbles < 8)
    starts = np.concatenate([[0], ends[:-1] + 1]).astype(np.int64)
    if len(ends) == 0 or (ends - starts).max() >= _MAX_NIBBLES:
        raise ValueError(broken)
    place = np.arange(ends[-1] + 1) - np.repeat(starts, ends - starts + 1)
    parts = (nibbles[: ends[-1] + 1] & 7).astype(np.int64) << (3 * place)
    numbers = np.add.reduceat(parts, starts)
    pixels = np.zeros(width * height, np.int64)
    known: list[NDArray[np.int64]] = []
    spans: list[slice] = []
    at = done = 0
    while done < len(pixels):
        if at + 1 >= len(numbers):
            raise ValueError(f"{broken}: it ends after {done} of {len(pixels)} pixels")
        first = done + int(numbers[at])
        done = first + int(numbers[at + 1])
        known.append(numbers[at + 2 : at + 2 + done - first])
        spans.append(slice(first, done))
        at += 2 + done - first
        if done > len(pixels) or len(known[-1]) != done - first:
            raise ValueError(f"{broken}: its runs do not make {width} x {height} pixels")
    zigzag = np.concatenate(known)
    values = np.cumsum((zigzag >> 1) ^ -(zigzag & 1))
    taken = 0
    for span in spans:
        count = span.stop - span.start
        pixels[span] = values[taken : taken + count]
        taken += count
    return pixels.astype(np.uint16).reshape(height, width)
