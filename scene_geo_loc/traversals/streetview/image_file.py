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

"""Image files of panoramas: their headers, and decoding of large ones at a fraction of their size."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.core.regular_file import regular
from scene_geo_loc.traversals.folder import decoded, read_image

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff")

MAX_PIXELS = 2**28
"""Most pixels of a decoded panorama: 0.8 GB."""

_REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}
"""OpenCV's flags that decode a JPEG at a fraction of its size, in less time and memory."""

_JPEG, _PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
_XMP, _EXIF = b"http://ns.adobe.com/xap/1.0/\0", b"Exif\0\0"
_PNG_XMP = b"XML:com.adobe.xmp\0\0\0\0\0"
_APP1, _START_OF_SCAN = 0xE1, 0xDA
_NO_LENGTH = {0x01, *range(0xD0, 0xD8)}
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
"""Markers of JPEG: those without a length, and those of a frame, which say the size."""

_LONGEST_CHUNK = 2**20
"""Bytes of the largest chunk of a PNG that is read for its metadata."""


class TooLarge(TraversalError):
    """An image has too many pixels to decode it."""


@dataclass
class ImageHeader:
    """Header of an image file.

    Attributes:
        size: width and height; None where the file is no JPEG or PNG, or damaged.
        xmp: XMP packet.
        exif: EXIF as TIFF.
        is_jpeg: whether the file is a JPEG.
    """

    size: tuple[int, int] | None = None
    xmp: bytes | None = None
    exif: bytes | None = None
    is_jpeg: bool = False


def read_header(path: Path) -> ImageHeader:
    """Reads the header of a JPEG or PNG; what cannot be read remains None."""
    header = ImageHeader()
    try:
        with regular(path).open("rb") as file:
            start = file.read(8)
            if start.startswith(_JPEG):
                file.seek(2)
                header.is_jpeg = True
                for marker, segment in _segments(file):
                    if marker in _FRAMES:
                        height, width = struct.unpack(">HH", segment[1:5])
                        header.size = width, height
                    elif segment.startswith(_XMP):
                        header.xmp = segment[len(_XMP) :]
                    elif segment.startswith(_EXIF):
                        header.exif = segment[len(_EXIF) :]
            elif start == _PNG:
                for kind, chunk in _chunks(file):
                    if kind == b"IHDR":
                        header.size = struct.unpack(">II", chunk[:8])
                    elif kind == b"iTXt" and chunk.startswith(_PNG_XMP):
                        header.xmp = chunk[len(_PNG_XMP) :]
                    elif kind == b"eXIf":
                        header.exif = chunk
    except (OSError, ValueError, struct.error):
        pass
    return header


def read_reduced(path: Path, needed_width: int, full_by_image: float = 1.0) -> NDArray[np.uint8]:
    """Reads an image as (H, W, 3) uint8 RGB; of a JPEG a half, quarter or eighth if that is enough.

    Args:
        path: the file.
        needed_width: columns of the whole panorama that are needed at least.
        full_by_image: columns of the whole panorama for each one of the image.

    Raises:
        TraversalError: the image cannot be read.
        TooLarge: it has too many pixels.
    """
    header = read_header(path)
    divisor = 1
    if header.size is not None:
        width, height = header.size
        if header.is_jpeg:
            ratio = width * full_by_image / needed_width
            divisor = max((divisor for divisor in _REDUCED if divisor <= ratio), default=1)
        pixels = width * height // divisor**2
        if pixels > MAX_PIXELS:
            raise TooLarge(
                f"{path}: {width} x {height} pixels, {pixels / 1e6:.0f} million of which would be decoded > "
                f"{MAX_PIXELS / 1e6:.0f} million; store a smaller panorama, or a JPEG."
            )
    if divisor == 1:
        return read_image(path)
    bgr = decoded(path, _REDUCED[divisor] | cv2.IMREAD_IGNORE_ORIENTATION)
    if bgr is None:
        raise TraversalError(f"{path}: the image is missing or damaged.")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def images_below(folder: Path) -> Iterator[str]:
    """Yields the paths of the images below a folder relative to it, with `/`, in order of their names."""
    for root, folders, names in os.walk(folder):
        folders.sort()
        below = Path(root).relative_to(folder)
        for name in sorted(names):
            if Path(name).suffix.lower() in IMAGE_SUFFIXES:
                yield (below / name).as_posix()


def _segments(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yields marker and content of the segments of a JPEG before its pixels that say size or metadata."""
    while len(marker := file.read(2)) == 2 and marker[0] == 0xFF and marker[1] != _START_OF_SCAN:
        if marker[1] == 0xFF:  # padding
            file.seek(-1, os.SEEK_CUR)
        elif marker[1] not in _NO_LENGTH:
            length = struct.unpack(">H", file.read(2))[0] - 2
            if marker[1] == _APP1 or marker[1] in _FRAMES:
                yield marker[1], file.read(max(length, 0))
            else:
                file.seek(max(length, 0), os.SEEK_CUR)


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Yields type and content of the chunks of a PNG before its pixels that say size or metadata."""
    while len(start := file.read(8)) == 8 and start[4:] != b"IDAT":
        length = struct.unpack(">I", start[:4])[0]
        if start[4:] in (b"IHDR", b"iTXt", b"eXIf") and length <= _LONGEST_CHUNK:
            yield start[4:], file.read(length)
            file.seek(4, os.SEEK_CUR)
        else:
            file.seek(length + 4, os.SEEK_CUR)
