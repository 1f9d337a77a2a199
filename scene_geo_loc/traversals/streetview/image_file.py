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

"""Image files: their size by the header, and decoding of large ones at a fraction of it."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.core.regular_file import regular
from scene_geo_loc.traversals.folder import read_image

_REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}
"""OpenCV's flags that decode a JPEG at a fraction of its size, in less time and memory."""

_PNG = b"\x89PNG\r\n\x1a\n"
_NO_LENGTH = {0x01, *range(0xD0, 0xD8)}
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
"""Markers of JPEG: those without a length, and those of a frame, which say the size."""


def image_size(path: Path) -> tuple[int, int] | None:
    """Returns width and height of a JPEG or PNG by its header; None where it is neither, or damaged."""
    try:
        with regular(path).open("rb") as file:
            start = file.read(24)
            if start.startswith(_PNG) and len(start) == 24:
                return struct.unpack(">II", start[16:24])
            if not start.startswith(b"\xff\xd8"):
                return None
            file.seek(2)
            while len(marker := file.read(2)) == 2 and marker[0] == 0xFF:
                if marker[1] == 0xFF:  # padding
                    file.seek(-1, 1)
                    continue
                if marker[1] in _NO_LENGTH:
                    continue
                length = file.read(2)
                if marker[1] in _FRAMES:
                    height, width = struct.unpack(">HH", file.read(5)[1:])
                    return width, height
                file.seek(struct.unpack(">H", length)[0] - 2, 1)
    except (OSError, struct.error):
        pass
    return None


def read_reduced(path: Path, ratio: float) -> NDArray[np.uint8]:
    """Reads an image as (H, W, 3) uint8 RGB; a JPEG is decoded at a half, quarter or eighth of its size.

    Args:
        path: the file.
        ratio: size of the image by the size that is needed; the result is not smaller than that.

    Raises TraversalError where it cannot be read.
    """
    divisor = max((divisor for divisor in _REDUCED if divisor <= ratio), default=1)
    if divisor == 1 or path.suffix.lower() not in (".jpg", ".jpeg"):
        return read_image(path)
    bgr = cv2.imread(str(path), _REDUCED[divisor] | cv2.IMREAD_IGNORE_ORIENTATION)
    if bgr is None:
        raise TraversalError(f"{path}: the image is missing or damaged.")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
