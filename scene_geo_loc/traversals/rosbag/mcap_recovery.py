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

"""Reads MCAP files that are truncated, such as those of a recorder that was killed, or have another profile.

An MCAP file has its index at its end (https://mcap.dev/spec). Where the end is missing, the records
before are scanned and an index of them is appended in memory. The profile is a name in the file's first
record; files with another one than `ros2`, or none, often have the messages of ROS 2 all the same. The file
stays unchanged.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import BinaryIO

from scene_geo_loc.core.errors import TraversalError

_MAGIC = b"\x89MCAP0\r\n"
_ROS2 = struct.pack("<I", 4) + b"ros2"
_HEADER, _LONGEST_HEADER = 0x01, 1 << 16
_FOOTER, _CHUNK, _MESSAGE_INDEX, _CHUNK_INDEX, _STATISTICS, _DATA_END = 0x02, 0x06, 0x07, 0x08, 0x0B, 0x0F
_LAST_OPCODE = 0x7F
"""Opcodes from 0x80 are for applications; zero is invalid."""


class RecoveredMcap:
    """Stand-in for the path of an MCAP file, with the methods that rosbags uses.

    Args:
        is_cut: whether the file has no end.
        head: bytes that replace the first ones of the file.
    """

    def __init__(self, path: Path, *, is_cut: bool = True, head: bytes = b"") -> None:
        self.path = path
        self.suffix = path.suffix
        self.head = head
        self.end, self.tail = _index(path) if is_cut else (path.stat().st_size, b"")

    def __str__(self) -> str:
        return str(self.path)

    def exists(self) -> bool:
        """Returns whether the file exists."""
        return self.path.exists()

    def is_dir(self) -> bool:
        """Returns False: it is a file."""
        return False

    def open(self, mode: str = "rb") -> BinaryIO:
        """Opens the complete records of the file, followed by their index; always read-only."""
        file = self.path.open("rb", buffering=0)
        return io.BufferedReader(_PatchedFile(file, self.head, self.end, self.tail))


def ros2_head(path: Path) -> bytes:
    """Returns the first bytes of an MCAP file with the profile `ros2`; empty where it has that profile.

    The length stays, since the index counts from the start of the file: the name of the library gives way.

    Raises:
        TraversalError: it is a recording of ROS 1.
    """
    with path.open("rb") as file:
        start = file.read(len(_MAGIC) + 9)
        if len(start) < len(_MAGIC) + 9 or not start.startswith(_MAGIC + bytes([_HEADER])):
            return b""
        (length,) = struct.unpack_from("<Q", start, len(_MAGIC) + 1)
        body = file.read(min(length, _LONGEST_HEADER))
    if len(body) < len(_ROS2) + 4 or body.startswith(_ROS2) or length > _LONGEST_HEADER:
        return b""
    profile = body[4 : 4 + struct.unpack_from("<I", body)[0]].decode(errors="replace")
    if profile == "ros1":
        raise TraversalError(f"{path}: an MCAP file of ROS 1; convert it to a .bag, or to ROS 2.")
    library = b" " * (length - len(_ROS2) - 4)
    return start + _ROS2 + struct.pack("<I", len(library)) + library


def ends_early(path: Path) -> bool:
    """Returns whether a file is an MCAP file without its end."""
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            return False
        file.seek(-len(_MAGIC), io.SEEK_END)
        return file.read() != _MAGIC or path.stat().st_size < 2 * len(_MAGIC)


class _PatchedFile(io.RawIOBase):
    """File made of a head, the bytes after it up to `end` of a file, and a tail."""

    def __init__(self, file: io.RawIOBase, head: bytes, end: int, tail: bytes) -> None:
        self._file = file
        self._head = head
        self._end = end
        self._tail = tail
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._end + len(self._tail)}[
            whence
        ]
        self._position = start + offset
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._position < len(self._head):
            data = self._head[self._position : self._position + len(buffer)]
        elif self._position < self._end:
            self._file.seek(self._position)
            data = self._file.read(min(len(buffer), self._end - self._position)) or b""
        else:
            start = self._position - self._end
            data = self._tail[start : start + len(buffer)]
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def _index(path: Path) -> tuple[int, bytes]:
    """Returns where the last complete record ends, and the records that complete the file there."""
    chunk_indexes: list[_ChunkIndex] = []
    size = path.stat().st_size
    position = len(_MAGIC)
    with path.open("rb") as file:
        while position + 9 <= size:
            file.seek(position)
            opcode, length = struct.unpack("<BQ", file.read(9))
            following = position + 9 + length
            if following > size or opcode in (0, _DATA_END, _FOOTER) or opcode > _LAST_OPCODE:
                break
            if opcode == _CHUNK:
                chunk_indexes.append(_ChunkIndex(position, following, file.read(min(length, 256))))
            elif opcode == _MESSAGE_INDEX and chunk_indexes:
                (channel,) = struct.unpack("<H", file.read(2))
                chunk_indexes[-1].message_indexes[channel] = position
                chunk_indexes[-1].indexes_end = following
            position = following
    if position == len(_MAGIC):
        raise TraversalError(f"{path}: the file ends within its first record, so there is nothing to read.")
    data_end = _record(_DATA_END, struct.pack("<I", 0))
    # Without chunks there is nothing to index: readers then scan the messages from the start.
    summary = b"".join(_record(_CHUNK_INDEX, index.body()) for index in chunk_indexes)
    summary_start = position + len(data_end) if chunk_indexes else 0
    if chunk_indexes:
        first = min(index.start_time for index in chunk_indexes)
        last = max(index.end_time for index in chunk_indexes)
        # Counts are unknown without reading the chunks; without schemas, readers count themselves.
        summary += _record(
            _STATISTICS, struct.pack("<QHIIIIQQI", 0, 0, 0, 0, 0, len(chunk_indexes), first, last, 0)
        )
    footer = _record(_FOOTER, struct.pack("<QQI", summary_start, 0, 0))
    return position, data_end + summary + footer + _MAGIC


class _ChunkIndex:
    """Index entry of a chunk, made of the chunk's header."""

    def __init__(self, start: int, end: int, header: bytes) -> None:
        self.start, self.end = start, end
        self.start_time, self.end_time, self.uncompressed_size, _, length = struct.unpack_from(
            "<QQQII", header
        )
        self.compression = header[32 : 32 + length]
        (self.compressed_size,) = struct.unpack_from("<Q", header, 32 + length)
        self.message_indexes: dict[int, int] = {}
        self.indexes_end = end

    def body(self) -> bytes:
        offsets = b"".join(struct.pack("<HQ", *entry) for entry in self.message_indexes.items())
        return (
            struct.pack("<QQQQ", self.start_time, self.end_time, self.start, self.end - self.start)
            + struct.pack("<I", len(offsets))
            + offsets
            + struct.pack("<QI", self.indexes_end - self.end, len(self.compression))
            + self.compression
            + struct.pack("<QQ", self.compressed_size, self.uncompressed_size)
        )


def _record(opcode: int, body: bytes) -> bytes:
    return struct.pack("<BQ", opcode, len(body)) + body
