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

"""Chunks of an image pack: a worker packs a few images of one camera with their depth maps."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.depth.depth_maps import decode_depth
from scene_geo_loc.depth.lidar import MAX_DEPTH_M
from scene_geo_loc.packs.image_pack import Stack, resize_depth, resize_image, squash
from scene_geo_loc.traversals.skipped import Skipped, SkipReason

MIN_MEDIAN_M = 0.1
"""Smallest plausible median of a depth map; below it, or beyond `MAX_DEPTH_M`, its unit is not
centimetres.
"""


@dataclass(frozen=True)
class Picture:
    """An image to pack.

    Attributes:
        name: its name in the pack.
        image: its file.
        depth: the file of its depth map (16-bit PNG in centimetres), if there is one.
    """

    name: str
    image: Path
    depth: Path | None = None


@dataclass(frozen=True, eq=False)
class Reader:
    """Reads the images of one camera.

    Attributes:
        height, width: of the images.
        read: returns the RGB image (H, W, 3) of a file, or raises TraversalError.
    """

    height: int
    width: int
    read: Callable[[Path], NDArray[np.uint8]]


@dataclass(frozen=True)
class ChunkJob:
    """The input of a worker: the pictures of a chunk, and where to write them."""

    number: int
    folder: Path
    reader: Reader
    pictures: Sequence[Picture]
    stack: Stack
    row: int
    squashed: bool
    with_depth: bool


@dataclass(frozen=True)
class PackedChunk:
    """The result of a chunk.

    Attributes:
        number: of the chunk.
        known: share of known depth of each picture; None if the image could not be packed.
        left_out: images and depth maps that were left out, by reason.
    """

    number: int
    known: Sequence[float | None]
    left_out: dict[str, int]


def pack_chunk(job: ChunkJob) -> PackedChunk:
    """Reads, resizes and writes a chunk. Raises OSError if it cannot be written."""
    left_out = Skipped()
    count, height, width = len(job.pictures), job.stack.height, job.stack.width
    images = np.zeros((count, height, width, 3), np.uint8)
    depth = np.zeros((count, height, width), np.uint16)
    known: list[float | None] = []
    for k, picture in enumerate(job.pictures):
        image = _image(job.reader, picture, left_out)
        if image is None:
            known.append(None)
            continue
        images[k] = squash(image) if job.squashed else resize_image(image, height, width)
        if picture.depth is not None and (full := _depth(job.reader, picture.depth, left_out)) is not None:
            depth[k] = resize_depth(full, height, width)
        known.append(round(float((depth[k] > 0).mean()), 4))
    write_rows(job.folder / job.stack.images_file, job.row, images)
    if job.with_depth:
        write_rows(job.folder / job.stack.depth_file, job.row, depth)
    return PackedChunk(job.number, known, left_out.counts)


def _image(reader: Reader, picture: Picture, left_out: Skipped) -> NDArray[np.uint8] | None:
    try:
        image = reader.read(picture.image)
    except TraversalError:
        left_out.add(SkipReason.IMAGE_UNREADABLE)
        return None
    if image.shape[:2] != (reader.height, reader.width):
        left_out.add(SkipReason.IMAGE_SIZE)
        return None
    return image


def _depth(reader: Reader, path: Path, left_out: Skipped) -> NDArray[np.float32] | None:
    """Returns a depth map in metres, or None, counted, if it is unusable."""
    depth = decode_depth(path.read_bytes() if path.is_file() else b"")
    if depth is None:
        left_out.add("depth maps that are missing or no grey PNG of 16 bits")
        return None
    if depth.shape != (reader.height, reader.width):
        left_out.add("depth maps of another size than the image")
        return None
    known = depth[np.isfinite(depth)]
    if known.size == 0:
        left_out.add("depth maps without a known pixel")
        return None
    if not MIN_MEDIAN_M <= float(np.median(known)) <= MAX_DEPTH_M:
        left_out.add(
            f"depth maps with a median under {MIN_MEDIAN_M:g} m or beyond {MAX_DEPTH_M:g} m, so of another "
            "unit than centimetres"
        )
        return None
    return depth


def write_rows(path: Path, row: int, rows: NDArray) -> None:
    """Writes rows of an array file by plain writes: on a full disk, a memory map would end the process."""
    offset = np.load(path, mmap_mode="r").offset
    with path.open("r+b") as file:
        file.seek(offset + row * rows[0].nbytes)
        file.write(rows.tobytes())
        file.flush()
        os.fsync(file.fileno())
