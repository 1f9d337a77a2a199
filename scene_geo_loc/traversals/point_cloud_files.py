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

"""Reads point clouds in blocks: PCD, PLY, LAS and LAZ files, of any number of points.

PCD and PLY are read here, since the libraries for them hold a whole cloud in memory; LAS and LAZ are read by
laspy.  Only x, y and z are taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import TraversalError, reason_of

SUFFIXES = (".pcd", ".ply", ".las", ".laz")
BLOCK_POINTS = 1_000_000
"""Points that are read at a time."""
_LONGEST_HEADER = 1 << 16
_PCD_TYPES = {"F": "f", "I": "i", "U": "u"}
_PLY_TYPES = {
    **dict.fromkeys(("char", "int8"), "i1"),
    **dict.fromkeys(("uchar", "uint8"), "u1"),
    **dict.fromkeys(("short", "int16"), "i2"),
    **dict.fromkeys(("ushort", "uint16"), "u2"),
    **dict.fromkeys(("int", "int32"), "i4"),
    **dict.fromkeys(("uint", "uint32"), "u4"),
    **dict.fromkeys(("float", "float32"), "f4"),
    **dict.fromkeys(("double", "float64"), "f8"),
}


def read_points(path: Path) -> Iterator[NDArray[np.float64]]:
    """Yields the points of a cloud in blocks (M, 3), metres; points that are not finite are left out.

    Raises TraversalError where the file is missing, of another format, cut short or damaged.
    """
    readers = {".pcd": _read_pcd, ".ply": _read_ply, ".las": _read_las, ".laz": _read_las}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise TraversalError(f"{path} is no point cloud that can be read: name a {', '.join(SUFFIXES)} file.")
    if not path.is_file():
        raise TraversalError(f"There is no point cloud at {path}: name an existing file.")
    try:
        for block in reader(path):
            yield block[np.isfinite(block).all(axis=1)]
    except TraversalError:
        raise
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise TraversalError(f"{path} is damaged ({reason_of(error)}): copy or export it again.") from error


def _read_pcd(path: Path) -> Iterator[NDArray[np.float64]]:
    with path.open("rb") as file:
        header: dict[str, list[str]] = {}
        for line in _header_lines(file):
            words = line.split("#")[0].split()
            if words:
                header[words[0].upper()] = words[1:]
            if words and words[0].upper() == "DATA":
                break
        names = header["FIELDS"]
        counts = [int(count) for count in header.get("COUNT", ["1"] * len(names))]
        kinds = zip(names, header["TYPE"], header["SIZE"], counts, strict=True)
        row = np.dtype([(f"{i} {n}", f"<{_PCD_TYPES[t]}{s}", (c,)) for i, (n, t, s, c) in enumerate(kinds)])
        columns = [f"{names.index(axis)} {axis}" for axis in "xyz"]
        total, data = int(header["POINTS"][0]), header["DATA"][0].lower()
        if data == "ascii":
            first = [sum(counts[: names.index(axis)]) for axis in "xyz"]
            yield from _read_text(path, file, total, first)
        elif data == "binary":
            yield from _read_binary(path, file, row, columns, total)
        else:
            raise TraversalError(
                f"{path} is a PCD file with the data {data!r}: save it as binary, as "
                "pcl_convert_pcd_ascii_binary does."
            )


def _read_ply(path: Path) -> Iterator[NDArray[np.float64]]:
    with path.open("rb") as file:
        lines = _header_lines(file)
        if next(lines, "").strip() != "ply":
            raise ValueError("it does not begin with the line `ply`")
        encoding, total, is_vertex, fields = "", -1, False, []
        for line in lines:
            words = line.split()
            if words[:1] == ["format"]:
                encoding = words[1]
            elif words[:1] == ["element"]:
                if total < 0 and words[1] != "vertex":
                    raise TraversalError(f"{path} has {words[1]} before its points: export the points alone.")
                is_vertex = words[1] == "vertex"
                total = int(words[2]) if is_vertex else total
            elif words[:1] == ["property"] and is_vertex:
                fields.append((words[2], _PLY_TYPES[words[1]]))
            elif words[:1] == ["end_header"]:
                break
        names = [name for name, _ in fields]
        if encoding == "ascii":
            yield from _read_text(path, file, total, [names.index(axis) for axis in "xyz"])
            return
        order = {"binary_little_endian": "<", "binary_big_endian": ">"}[encoding]
        row = np.dtype([(name, order + kind) for name, kind in fields])
        yield from _read_binary(path, file, row, list("xyz"), total)


def _read_las(path: Path) -> Iterator[NDArray[np.float64]]:
    try:
        import laspy
    except ImportError as error:
        raise TraversalError(
            f"{path} is read by laspy, which is not installed: install the extra `clouds`."
        ) from error
    try:
        with laspy.open(path) as file:
            for block in file.chunk_iterator(BLOCK_POINTS):
                yield np.stack([np.asarray(axis, np.float64) for axis in (block.x, block.y, block.z)], axis=1)
    except laspy.errors.LaspyException as error:
        raise ValueError(str(error)) from error


def _header_lines(file: BinaryIO) -> Iterator[str]:
    """Yields the lines of a header, the data after which stay unread."""
    while file.tell() < _LONGEST_HEADER:
        line = file.readline(_LONGEST_HEADER)
        if not line:
            break
        yield line.decode("ascii", "replace").strip()
    raise ValueError("its header has no end")


def _read_binary(
    path: Path, file: BinaryIO, row: np.dtype, columns: Sequence[str], total: int
) -> Iterator[NDArray[np.float64]]:
    """Yields points of rows that follow the header."""
    start, size = file.tell(), path.stat().st_size
    if total < 0 or start + total * row.itemsize > size:
        raise ValueError(f"{total} points of {row.itemsize} bytes do not fit into {size} bytes")
    for done in range(0, total, BLOCK_POINTS):
        rows = np.fromfile(file, row, min(BLOCK_POINTS, total - done))
        yield np.stack(
            [rows[name].reshape(len(rows), -1)[:, 0].astype(np.float64) for name in columns], axis=1
        )


def _read_text(
    path: Path, file: BinaryIO, total: int, columns: Sequence[int]
) -> Iterator[NDArray[np.float64]]:
    """Yields points of lines that follow the header."""
    done = 0
    while done < total:
        lines = list(islice(file, min(BLOCK_POINTS, total - done)))
        if not lines:
            raise ValueError(f"{done} points < {total}")
        yield np.array([[float(words[c]) for c in columns] for words in map(bytes.split, lines)], np.float64)
        done += len(lines)
