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

"""Makes image packs (`scene_geo_loc.packs.image_pack`) in parallel; an interrupted pack is resumed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from scene_geo_loc.core.atomic import write_json
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.core.journal import Journal
from scene_geo_loc.core.parallel import ordered_map
from scene_geo_loc.core.partial import PartialFolder, check_replaceable
from scene_geo_loc.core.progress import ProgressCallback, ignore_progress
from scene_geo_loc.packs.chunks import ChunkJob, PackedChunk, Picture, Reader, pack_chunk
from scene_geo_loc.packs.image_pack import (
    FORMAT,
    INFO,
    KIND,
    ImagePack,
    PackedImage,
    PackInfo,
    Stack,
    packed_size,
)
from scene_geo_loc.traversals.skipped import Skipped

JOURNAL = "journal.jsonl"
"""Journal of an unfinished pack: the digest of its sources, and a line for each chunk that is on the disk."""

_CHUNK = 32
"""Images of a chunk."""


def make_pack(
    folder: Path,
    pictures: Sequence[Picture],
    readers: Callable[[], Sequence[Reader]],
    *,
    source: str,
    squashed: bool = False,
    workers: int | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> ImagePack:
    """Opens the pack of these pictures, and makes it first if it is missing or of other files.

    An interrupted pack is resumed.  If two processes want the same pack, one makes it and the other waits.

    Args:
        folder: of the pack; an old pack there is replaced when the new one is complete.
        pictures: pictures of the same name are packed once.
        readers: returns the reader of each picture; called only if a pack is made.
        source: description of the pictures.
        squashed: resize images to 224 x 224 instead of a short side of 280 pixels.
        workers: processes; by default one for each core.
        on_progress: receives the images done and their total.

    Raises:
        SceneGeoLocError: the folder holds something else or cannot be written, no image can be read, or more
            than half of the depth maps are unusable.
    """
    folder = Path(folder)
    digest = _digest(pictures, squashed)
    if pack := _if_sound(folder, digest):
        return pack
    _check_replaceable(folder)
    output = PartialFolder(folder, KIND, wait=True)
    output.begin()
    try:
        if pack := _if_sound(folder, digest):  # made by the process that this one waited for
            output.discard()
            return pack
        partial = _Partial(output, pictures, readers(), digest, squashed)
        info = partial.fill(source, workers, on_progress)
        write_json(output.folder / INFO, info.model_dump())
        partial.journal.remove()
        output.publish(_check_replaceable)
    except OSError as error:
        raise SceneGeoLocError(
            f"{folder} cannot be written: {error.strerror}; name another folder."
        ) from error
    finally:
        output.release()
    return ImagePack.open(folder)


def _if_sound(folder: Path, digest: str) -> ImagePack | None:
    try:
        pack = ImagePack.open(folder)
    except SceneGeoLocError:
        return None
    return pack if pack.info.digest == digest else None


def _check_replaceable(folder: Path) -> None:
    if os.path.lexists(folder):
        names = (INFO, JOURNAL, "images_*.npy", "depth_*.npy")
        check_replaceable(folder, KIND, lambda path: (path / INFO).is_file(), names)


def _digest(pictures: Sequence[Picture], squashed: bool) -> str:
    """Returns the digest of the names, sizes and times of the files."""
    digest = hashlib.sha256(json.dumps([FORMAT.version, squashed]).encode())
    for picture in pictures:
        digest.update(
            json.dumps([picture.name, _state(picture.image), _state(picture.depth)]).encode() + b"\n"
        )
    return digest.hexdigest()


def _state(path: Path | None) -> list[int] | None:
    try:
        found = path.stat() if path else None
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns] if found else None


@dataclass(frozen=True)
class _Chunk:
    """Pictures of one camera in consecutive rows.

    Attributes:
        reader: of their images.
        pictures: numbers of the pictures.
        stack: number of their stack.
        row: of the first.
    """

    reader: Reader
    pictures: Sequence[int]
    stack: int
    row: int


class _Partial:
    """The folder `<pack>.partial`, while a pack is made."""

    def __init__(
        self,
        output: PartialFolder,
        pictures: Sequence[Picture],
        readers: Sequence[Reader],
        digest: str,
        squashed: bool,
    ) -> None:
        self._output, self.folder = output, output.folder
        self._digest, self._squashed = digest, squashed
        first = {picture.name: i for i, picture in reversed(list(enumerate(pictures)))}
        self._pictures = [pictures[i] for i in sorted(first.values())]
        self._with_depth = any(picture.depth is not None for picture in pictures)
        self._stacks, self._chunks = _arrange([readers[i] for i in sorted(first.values())], squashed)
        self.journal = Journal(self.folder / JOURNAL, lambda values: PackedChunk(*values))
        if self.journal.head != digest:
            self.journal.records.clear()
            self._begin()
        self._done = {done.number: done for done in self.journal.records}

    def fill(self, source: str, workers: int | None, on_progress: ProgressCallback) -> PackInfo:
        """Packs the missing chunks."""
        jobs = [self._job(number) for number in range(len(self._chunks)) if number not in self._done]
        count = sum(len(done.known) for done in self._done.values())
        self.journal.open(self._digest, lambda done: [done.number, done.known, done.left_out])
        with closing(self.journal), ordered_map(pack_chunk, jobs, workers) as results:
            for done in results:
                self.journal.append(done)
                self._done[done.number] = done
                count += len(done.known)
                on_progress(count, len(self._pictures))
        return self._info(source)

    def _info(self, source: str) -> PackInfo:
        images: list[PackedImage] = []
        left_out = Skipped()
        for number, chunk in enumerate(self._chunks):
            done = self._done[number]
            for k, (i, known) in enumerate(zip(chunk.pictures, done.known, strict=True)):
                if known is not None:
                    name = self._pictures[i].name
                    images.append(PackedImage(name=name, stack=chunk.stack, row=chunk.row + k, known=known))
            for reason, count in done.left_out.items():
                left_out.add(reason, count)
        with_map = sum(picture.depth is not None for picture in self._pictures)
        useful = sum(image.known > 0 for image in images)
        if not images or 2 * useful < with_map:
            self._output.discard()
            wrong = (
                f"only {useful} of {with_map} depth maps are usable"
                if images
                else f"none of {len(self._pictures)} images can be packed"
            )
            raise SceneGeoLocError(f"{source}: {wrong} ({left_out}); check them, or make them again.")
        return PackInfo(
            source=source,
            digest=self._digest,
            squashed=self._squashed,
            with_depth=self._with_depth,
            stacks=self._stacks,
            images=images,
            left_out=left_out.counts,
        )

    def _job(self, number: int) -> ChunkJob:
        chunk = self._chunks[number]
        return ChunkJob(
            number,
            self.folder,
            chunk.reader,
            [self._pictures[i] for i in chunk.pictures],
            self._stacks[chunk.stack],
            chunk.row,
            self._squashed,
            self._with_depth,
        )

    def _begin(self) -> None:
        self._output.restart()
        for stack in self._stacks:
            shape = (stack.rows, stack.height, stack.width)
            np.lib.format.open_memmap(self.folder / stack.images_file, "w+", np.uint8, (*shape, 3))
            if self._with_depth:
                np.lib.format.open_memmap(self.folder / stack.depth_file, "w+", np.uint16, shape)


def _arrange(readers: Sequence[Reader], squashed: bool) -> tuple[list[Stack], list[_Chunk]]:
    """Arranges the pictures of each reader in chunks, and all chunks in stacks."""
    rows: dict[tuple[int, int], int] = {}
    chunks: list[_Chunk] = []
    order = {id(reader): k for k, reader in reversed(list(enumerate(readers)))}
    numbers = sorted(range(len(readers)), key=lambda i: order[id(readers[i])])
    for _, group in groupby(numbers, key=lambda i: id(readers[i])):
        of_reader = list(group)
        reader = readers[of_reader[0]]
        size = packed_size(reader.height, reader.width, squashed)
        for begin in range(0, len(of_reader), _CHUNK):
            part = of_reader[begin : begin + _CHUNK]
            row = rows.setdefault(size, 0)
            chunks.append(_Chunk(reader, part, list(rows).index(size), row))
            rows[size] = row + len(part)
    stacks = [Stack(height=height, width=width, rows=count) for (height, width), count in rows.items()]
    return stacks, chunks
