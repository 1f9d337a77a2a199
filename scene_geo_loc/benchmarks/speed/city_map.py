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
"""Maps of a city of up to ten million keyframes, whose cost is measured: real but for what is seen.

The descriptors are drawn as `DescriptorModel` says. The keyframes stand 1.5 m apart along parallel streets of
1.5 km, each driven four times. Features, depth and place keypoints are empty (sparse files of the right size,
which use no room), and all thumbnails are the same picture.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.lib import format as npy
from numpy.typing import NDArray

from scene_geo_loc.benchmarks.speed.descriptor_model import PLACES, VISITS, DescriptorModel
from scene_geo_loc.mapping.keyframe_table import write_large_tables
from scene_geo_loc.mapping.map_info import (
    CODES,
    FILES,
    FORMAT,
    GLOBAL_DESCRIPTORS,
    KEYFRAME_SCHEMA,
    KEYFRAMES,
    OPTIONAL_FILES,
    THUMBNAILS,
    FileRecord,
    write_info,
)
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.mapping.search.compressed_index import widened
from scene_geo_loc.mapping.search.stored_index import write_index

SPACING_M, STREET_M, VISIT_M = 1.5, 30.0, 0.3
"""Distances between keyframes along a street, between streets, and between the drives of a street."""
STREETS_A_ROW = 60
"""Streets side by side before the next ones begin beyond their ends."""
NOT_SUMMED = "not computed: the features are not real"
"""Checksum of the files of such a map."""
_GROUP_ROWS = 1 << 16


def write_city(source: ReferenceMap, model: DescriptorModel, count: int, out: Path) -> None:
    """Writes the map of a city with `count` keyframes, in blocks.

    Args:
        source: map whose networks, cameras and shapes of features it gets.
        model: of the descriptors.
        count: number of keyframes.
        out: folder of the map, replaced where it exists.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    write_index(out, model.keyframes(count, np.random.default_rng(0)), source.index.size, count)
    for name in source.array_files:
        array = np.load(source.path / name, mmap_mode="r", allow_pickle=False)
        _write_sparse(out / name, array.dtype, (count, *array.shape[1:]))
    for name in source.info.files:
        if name.endswith(".safetensors") and not name.startswith("co_similarity"):
            shutil.copyfile(source.path / name, out / name)
    size = _first_thumbnail(source, out / THUMBNAILS)
    with pq.ParquetWriter(out / KEYFRAMES, KEYFRAME_SCHEMA) as writer:
        for start in range(0, count, _GROUP_ROWS):
            writer.write_table(_keyframes(np.arange(start, min(count, start + _GROUP_ROWS)), size))
    if (out / CODES).exists():
        write_large_tables(out)
    names = [name for name in (*FILES, *OPTIONAL_FILES) if (out / name).exists()]
    files = {name: FileRecord(bytes=(out / name).stat().st_size, sha256=NOT_SUMMED) for name in names}
    changes = {"keyframes": count, "files": files, "drives": [], "accuracy": None, "look_alikes": None}
    changes |= {"format_version": FORMAT.version, "built": datetime.now(timezone.utc)}
    write_info(out, source.info.model_copy(update=changes))


def descriptors_of(folder: Path, count: int) -> Iterator[NDArray[np.float32]]:
    """Yields the descriptors of a city's keyframes in blocks, as its index holds them."""
    block = _GROUP_ROWS // 8
    if (folder / GLOBAL_DESCRIPTORS).exists():
        stored = np.load(folder / GLOBAL_DESCRIPTORS, mmap_mode="r", allow_pickle=False)
        yield from (widened(stored[start : start + block]) for start in range(0, count, block))
        return
    index = ReferenceMap.open(folder).index
    for start in range(0, count, block):
        yield np.stack([index.descriptor(row) for row in range(start, min(count, start + block))])


def disk_bytes(folder: Path) -> int:
    """Returns the bytes that the files of a folder use on the disk, without the holes of sparse files."""
    return sum(512 * file.stat().st_blocks for file in folder.iterdir())


def positions_of(rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Returns the positions (K, 3) of keyframes (K,)."""
    street, within = np.divmod(rows, VISITS * PLACES)
    visit, place = np.divmod(within, PLACES)
    line, side = np.divmod(street, STREETS_A_ROW)
    x = line * (PLACES * SPACING_M + STREET_M) + place * SPACING_M
    return np.stack([x, side * STREET_M + visit * VISIT_M, np.full(len(rows), 1.5)], axis=1)


def _keyframes(rows: NDArray[np.int64], thumbnail_bytes: int) -> pa.Table:
    zeros, count = np.zeros(len(rows)), len(rows)
    # The optical axis along x: z of the camera is x of the map.
    quaternion = [zeros - 0.5, zeros + 0.5, zeros - 0.5, zeros + 0.5]
    columns = [
        rows * 100_000_000,
        *positions_of(rows).T,
        *quaternion,
        np.zeros(count, np.int32),
        [f"{row:08d}.png" for row in rows.tolist()],
        ["synthetic"] * count,
        np.zeros(count, np.int64),
        np.full(count, thumbnail_bytes, np.int32),
    ]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, KEYFRAME_SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=KEYFRAME_SCHEMA)


def _first_thumbnail(source: ReferenceMap, target: Path) -> int:
    """Copies the first thumbnail of a map, and returns its size in bytes."""
    size = int(source._thumbnail_bytes[0])
    with (source.path / THUMBNAILS).open("rb") as file:
        file.seek(int(source._thumbnail_offset[0]))
        target.write_bytes(file.read(size))
    return size


def _write_sparse(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> None:
    """Writes an array of zeros as a sparse file, which uses no room on the disk."""
    with path.open("wb") as file:
        header = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        npy.write_array_header_2_0(file, header)
        os.truncate(file.fileno(), file.tell() + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
