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

"""Depth as street-view services give it: planes, and for each direction the number of its plane.

The text is base64, by the URL's alphabet or the usual one, with or without padding, of bytes that may be
compressed by zlib.  They are a header of 8 bytes (its length, the number of planes, width and height, and the
place of what follows), a plane's number of one byte for each pixel, of which 0 is the sky, and for each plane
normal and distance as four floats, all little-endian.  Columns are those of the panorama.  A plane has points
X with normal . X = distance in axes x right, y towards the centre column, z up; decoders differ in the signs.

Sources: GSVPanoDepth.js and ofxStreetView (layout and geometry), and ProjectSidewalk/sidewalk-panorama-tools,
issue 58, which finds the columns to be the image's where decoders of mirrored panoramas mirror them.
"""

from __future__ import annotations

import base64
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import TraversalError, reason_of
from scene_geo_loc.geometry.equirectangular import Equirectangular
from scene_geo_loc.traversals.text import read_text

SUFFIXES = (".json", ".txt")

_HEADER_BYTES = 8
_PLANE_BYTES = 16
_MOST_BYTES = 2**23
"""Most bytes that are decoded: 64 times as many as services give."""

_FARTHEST_M = 500.0
"""Distances beyond this are unknown: they are of planes that are almost parallel to the ray."""


def read_depth_planes(path: Path) -> NDArray[np.float32]:
    """Returns distances along the rays, (H, W) float32 metres, NaN where unknown, of a file with planes.

    A JSON file has the text under `depth_map`, alone or under `model`.  Raises TraversalError.
    """
    text = read_text(path, "depth map")
    try:
        if path.suffix.lower() == ".json":
            text = _depth_map_in(json.loads(text))
        return distances_of_planes(text)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TraversalError(f"{path}: no depth map of planes and indices ({reason_of(error)}).") from error


def distances_of_planes(text: str) -> NDArray[np.float32]:
    """Returns distances along the rays (H, W) of a text in base64. Raises ValueError."""
    data = _decompressed(text)
    if len(data) < _HEADER_BYTES or data[0] != _HEADER_BYTES:
        raise ValueError("it does not begin with a header of 8 bytes")
    _, count, width, height, offset = struct.unpack("<BHHHB", data[:_HEADER_BYTES])
    end = offset + width * height
    if end > _MOST_BYTES:
        raise ValueError(f"{width} x {height} pixels are more than {_MOST_BYTES}")
    if not width * height or len(data) < end + _PLANE_BYTES * count:
        raise ValueError(f"{len(data)} bytes are too few for {count} planes of {width} x {height} pixels")
    indices = np.frombuffer(data, np.uint8, width * height, offset).reshape(height, width)
    planes = np.frombuffer(data, "<f4", 4 * count, end).reshape(count, 4).astype(np.float64)
    v, u = np.mgrid[:height, :width]
    right, down, forward = np.moveaxis(Equirectangular(width, height).rays(np.stack([u, v], axis=-1)), -1, 0)
    is_known = (indices > 0) & (indices < count)
    normal = planes[np.where(is_known, indices, 0)] if count else np.zeros((height, width, 4))
    with np.errstate(all="ignore"):
        along = normal[..., 0] * right + normal[..., 1] * forward - normal[..., 2] * down
        distance = np.abs(normal[..., 3] / along)
        is_known &= np.isfinite(distance) & (distance > 0) & (distance <= _FARTHEST_M)
    return np.where(is_known, distance, np.nan).astype(np.float32)


def _depth_map_in(content: Any) -> str:
    if isinstance(content, dict):
        content = content.get("model", content)["depth_map"]
    if not isinstance(content, str):
        raise TypeError("`depth_map` is no text")
    return content


def _decompressed(text: str) -> bytes:
    text = "".join(text.split()).rstrip("=").replace("+", "-").replace("/", "_")
    data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if data[:1] != b"\x78":  # of zlib, where a header's first byte is 8
        return data
    try:
        unpacker = zlib.decompressobj()
        plain = unpacker.decompress(data, _MOST_BYTES)
    except zlib.error as error:
        raise ValueError(reason_of(error)) from error
    if unpacker.unconsumed_tail:
        raise ValueError(f"more than {_MOST_BYTES} bytes when decompressed")
    return plain
