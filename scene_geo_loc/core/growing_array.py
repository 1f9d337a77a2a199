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

"""Files .npy that are written in parts: row by row, where rows outlive a killed writer, or block by block."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import ArrayLike, DTypeLike, NDArray


def write_blocks(path: Path, shape: tuple[int, ...], dtype: DTypeLike, blocks: Iterable[NDArray]) -> None:
    """Writes a .npy file of rows that come in blocks.

    An array that is memory-mapped for writing would end the process by a signal where the disk is full.

    Args:
        path: the file.
        shape: of the array, (N, ...).
        dtype: type of its numbers.
        blocks: (B, ...) consecutive rows, N in all.

    Raises OSError where the file cannot be written, ValueError where there are not N rows.
    """
    header = {"descr": npy.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    rows = 0
    with path.open("wb") as file:
        npy.write_array_header_1_0(file, header)
        for block in blocks:
            file.write(np.ascontiguousarray(block, dtype).reshape(-1, *shape[1:]).tobytes())
            rows += len(block)
    if rows != shape[0]:
        raise ValueError(f"{path} got {rows} of {shape[0]} rows")


class GrowingArray:
    """Appends rows to a .npy file.

    NumPy's headers leave room for a longer first axis, so that the header can be rewritten in place when
    the array is complete.  Until then the number of rows follows from the size of the file.

    Attributes:
        path: the file.
        row_shape: shape of a row.
        dtype: type of the numbers.
        row_bytes: size of a row.
    """

    def __init__(self, path: Path, row_shape: tuple[int, ...], dtype: DTypeLike) -> None:
        """Opens the file at `path`, or creates it."""
        self.path = path
        self.row_shape = row_shape
        self.dtype = np.dtype(dtype)
        self.row_bytes = int(np.prod(row_shape)) * self.dtype.itemsize
        if not path.exists():
            path.write_bytes(self._header(0))
        self._header_bytes = len(self._header(0))
        self._file = path.open("r+b")
        self._file.seek(0, 2)

    def _header(self, rows: int) -> bytes:
        from io import BytesIO

        out = BytesIO()
        description = npy.dtype_to_descr(self.dtype)
        npy.write_array_header_1_0(
            out, {"descr": description, "fortran_order": False, "shape": (rows, *self.row_shape)}
        )
        return out.getvalue()

    def __len__(self) -> int:
        return (self._file.tell() - self._header_bytes) // self.row_bytes

    def append(self, row: ArrayLike) -> None:
        """Appends one row of `row_shape`."""
        self._file.write(np.ascontiguousarray(row, self.dtype).reshape(self.row_shape).tobytes())

    def flush(self) -> None:
        """Hands the appended rows to the operating system."""
        self._file.flush()

    def truncate(self, rows: int) -> None:
        """Keeps the first `rows` rows only."""
        self._file.flush()
        self._file.truncate(self._header_bytes + rows * self.row_bytes)
        self._file.seek(0, 2)

    def rows(self) -> np.ndarray:
        """Returns the rows written so far, memory-mapped and read-only."""
        self._file.flush()
        shape = (len(self), *self.row_shape)
        if shape[0] == 0:
            return np.zeros(shape, self.dtype)
        return np.memmap(self.path, self.dtype, "r", self._header_bytes, shape)

    def close(self) -> None:
        """Writes the final header and closes the file, which is then a plain .npy file."""
        rows = len(self)
        self._file.seek(0)
        self._file.write(self._header(rows))
        self._file.close()
