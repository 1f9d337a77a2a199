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
"""Poses, cameras and other short columns of a map's keyframes, of which single rows can be read.

A small map has them in keyframes.parquet alone, which is read whole. A large map has them in
keyframe_rows.npy too, memory-mapped, and its names stay in the other file until one is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.geometry.rotation import matrix_of_quaternion
from scene_geo_loc.mapping.map_info import (
    FORMAT,
    KEYFRAME_ROWS,
    KEYFRAME_SCHEMA,
    KEYFRAMES,
    TAGGED_KEYFRAME_SCHEMA,
    TILE_KEYFRAMES,
    TILES,
)
from scene_geo_loc.mapping.search.tiles import Tiles

ROW = np.dtype(
    [
        ("pose", np.float64, 7),
        ("stamp_ns", np.int64),
        ("thumbnail_offset", np.int64),
        ("first_of_tag", np.int64),
        ("tag_std", np.float64, 2),
        ("thumbnail_bytes", np.int32),
        ("camera", np.int32),
    ]
)
"""A row: position and quaternion x, y, z, w; first keyframe of the same geo-tag, its own number without."""

ASSUMED_TAG_STD = (1.0, np.radians(1.0))
"""Standard deviations of geo-tags that state none, metres and radians; street view's err by 0 to 2 m."""

_POSE = ("x", "y", "z", "qx", "qy", "qz", "qw")
_BLOCK_ROWS = 100_000


class KeyframePoses:
    """Poses T_map_camera (N, 4, 4) of a large map, which are computed for the rows that are asked for.

    It is used like an array: `poses[rows]`, `poses[rows, :3]`, `poses[:, :3, 3]`. What asks for more than the
    positions of all rows gets an array of the whole.
    """

    def __init__(self, rows: NDArray[np.void]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of all poses."""
        return len(self), 4, 4

    def __getitem__(self, key: Any) -> NDArray[np.float64]:
        rows, rest = (key[0], key[1:]) if isinstance(key, tuple) else (key, ())
        if rest == (slice(None, 3), 3):
            return np.asarray(self._rows["pose"][rows][..., :3])
        poses = poses_of(self._rows["pose"][rows])
        return np.asarray(poses[rest if poses.ndim == 2 else (slice(None), *rest)])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.float64]:
        return self[:] if dtype is None else self[:].astype(dtype)

    def __iter__(self) -> Iterator[NDArray[np.float64]]:
        return (self[row] for row in range(len(self)))


def poses_of(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns poses (..., 4, 4) by positions and quaternions (..., 7)."""
    poses = np.tile(np.eye(4), (*values.shape[:-1], 1, 1))
    if values.size:
        poses[..., :3, :3] = matrix_of_quaternion(values[..., 3:])
    poses[..., :3, 3] = values[..., :3]
    return poses


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Reads keyframes.parquet of a map: the named columns, or all."""
    # `read_table` would load Arrow's data sets as well, 14 MB that a node does not need.
    with pq.ParquetFile(path / KEYFRAMES) as file:
        return file.read(columns)


def check_schema(path: Path, schema: pa.Schema) -> None:
    """Raises MapError where keyframes.parquet has other columns than a map of this format."""
    if not schema.equals(KEYFRAME_SCHEMA) and not schema.equals(TAGGED_KEYFRAME_SCHEMA):
        raise MapError(f"{path / KEYFRAMES} has other columns than a map of this format: build it again.")


def rows_of(table: pa.Table) -> NDArray[np.void]:
    """Returns the short columns of a table of keyframes (N,) of `ROW`."""
    rows = np.zeros(len(table), ROW)
    for column, name in enumerate(_POSE):
        rows["pose"][:, column] = table[name].to_numpy()
    for name in ("stamp_ns", "thumbnail_offset", "thumbnail_bytes", "camera"):
        rows[name] = table[name].to_numpy()
    rows["first_of_tag"] = np.arange(len(table))
    if "geo_tag" in table.column_names and len(table):
        tags = table["geo_tag"].dictionary_encode().combine_chunks().indices.to_numpy(zero_copy_only=False)
        _, first, number = np.unique(tags, return_index=True, return_inverse=True)
        rows["first_of_tag"] = first[number.ravel()]
        stated = [table["position_std_m"].to_numpy(), np.radians(table["heading_std_deg"].to_numpy())]
        std = np.stack(stated, axis=1).astype(np.float64)
        rows["tag_std"] = np.where(np.isnan(std), ASSUMED_TAG_STD, std)
    return rows


def write_large_tables(folder: Path) -> None:
    """Writes the files of a large map that single rows of keyframes.parquet are read from."""
    rows = rows_of(read_table(folder))
    np.save(folder / KEYFRAME_ROWS, rows)
    Tiles.of(rows["pose"][:, :2]).save(folder / TILES, folder / TILE_KEYFRAMES)


def map_rows(path: Path) -> NDArray[np.void]:
    """Returns the rows (N,) of a large map, memory-mapped. Raises MapError where it has other columns."""
    rows = np.load(path / KEYFRAME_ROWS, mmap_mode="r", allow_pickle=False)
    if rows.dtype != ROW or rows.ndim != 1:
        raise MapError(f"{path / KEYFRAME_ROWS} has other columns than a map of this format: {FORMAT.again}.")
    return np.asarray(rows)


def text_of(path: Path, column: str, keyframe: int) -> str:
    """Returns a text of a keyframe from keyframes.parquet, of which one group of rows is read."""
    with pq.ParquetFile(path / KEYFRAMES) as file:
        first = 0
        for group in range(file.num_row_groups):
            count = file.metadata.row_group(group).num_rows
            if keyframe < first + count:
                return str(file.read_row_group(group, [column])[column][keyframe - first])
            first += count
    raise IndexError(f"{path} has no keyframe {keyframe}")
