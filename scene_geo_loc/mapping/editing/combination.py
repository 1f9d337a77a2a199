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

"""Writes a map of chosen keyframes of other maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from scene_geo_loc import __version__
from scene_geo_loc.core.errors import MapError
from scene_geo_loc.core.growing_array import write_blocks
from scene_geo_loc.core.progress import ProgressCallback, ignore_progress
from scene_geo_loc.mapping.editing.compatibility import check_combinable
from scene_geo_loc.mapping.keyframe_table import read_table, write_large_tables
from scene_geo_loc.mapping.map_info import (
    CO_SIMILARITY,
    CODES,
    FILES,
    FORMAT,
    GEO_TAG_FIELDS,
    INDEX_FILES,
    KEYFRAME_SCHEMA,
    KEYFRAMES,
    LARGE_TABLES,
    NO_LONGER_READ,
    OPTIONAL_FILES,
    PLACE_KEYPOINTS,
    TAGGED_KEYFRAME_SCHEMA,
    THUMBNAILS,
    WORD_INDEX,
    DriveRecord,
    LookAlikes,
    MapAccuracy,
    record_of,
    write_info,
)
from scene_geo_loc.mapping.map_output import link_or_copy, writing_map
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.mapping.search.co_similarity import CoSimilarity
from scene_geo_loc.mapping.search.stored_index import write_index
from scene_geo_loc.mapping.search.vector_index import VectorIndex
from scene_geo_loc.visual_words.inverted_file import InvertedFile

MeasureCombination = Callable[[ReferenceMap], tuple[MapAccuracy | None, LookAlikes | None]]
"""Measures how well the keyframes of a map agree, and which look alike."""

_BLOCK_ROWS = 256
"""Rows of a large array that are copied at a time."""


@dataclass(frozen=True)
class MapPart:
    """Keyframes of a map that go into another.

    Attributes:
        map: the map.
        keyframes: (M,) rows of it, ascending.
    """

    map: ReferenceMap
    keyframes: NDArray[np.intp]

    @classmethod
    def whole(cls, reference_map: ReferenceMap) -> MapPart:
        """Returns all keyframes of a map."""
        return cls(reference_map, np.arange(len(reference_map)))

    @property
    def drives(self) -> list[DriveRecord]:
        """The drives of the keyframes, in their order, with the number of keyframes taken of each."""
        drives, first = [], 0
        for drive in self.map.info.all_drives:
            end = first + drive.keyframes
            taken = int(((self.keyframes >= first) & (self.keyframes < end)).sum())
            if taken:
                drives.append(drive.model_copy(update={"keyframes": taken}))
            first = end
        return drives


def write_combination(
    parts: Sequence[MapPart],
    out: Path,
    *,
    overwrite: bool = False,
    measure: MeasureCombination | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> ReferenceMap:
    """Writes a map of the keyframes of some parts, one part after the other, and opens it.

    It is written beside `out`, which is complete or not there at any time; a process that has an older map of
    that name open goes on with it.

    Args:
        parts: at least one, with at least one keyframe in all.
        out: folder of the map; it may be that of one of the parts.
        overwrite: whether a map at `out` is replaced.
        measure: measures the new map, for covariance and acceptance of poses in it.
        on_progress: receives the keyframes written and their total.

    Raises MapError where the keyframes cannot stand in one map, where `out` exists and may not be replaced,
    where another process changes it, or where it cannot be written.
    """
    total = sum(len(part.keyframes) for part in parts)
    check_combinable([part.map for part in parts])
    if total == 0:
        raise MapError("No keyframe is left for the map: choose more of them.")
    with writing_map(out, "writing a map", overwrite=overwrite) as folder:
        _write_arrays(parts, folder, total, on_progress)
        T_map_camera = np.concatenate([part.map.T_map_camera[part.keyframes] for part in parts])
        index = _write_index(parts, folder)
        CoSimilarity.of(index, T_map_camera).save(folder / CO_SIMILARITY)
        cameras = _write_keyframes(parts, folder)
        if (folder / CODES).exists():
            write_large_tables(folder)
        _copy_networks(parts[0].map, folder)
        _write_description(parts, folder, cameras)
        if measure is not None:
            opened = ReferenceMap.open(folder)
            accuracy, look_alikes = measure(opened)
            write_info(
                folder, opened.info.model_copy(update={"accuracy": accuracy, "look_alikes": look_alikes})
            )
    return ReferenceMap.open(out)


def _write_arrays(parts: Sequence[MapPart], folder: Path, total: int, on_progress: ProgressCallback) -> None:
    """Writes the arrays with a row for each keyframe; relative errors of exact depth are zero."""
    names = list(dict.fromkeys(name for part in parts for name in part.map.array_files))
    if any(part.map.place_keypoints is None for part in parts):  # then they would favour the other keyframes
        names = [name for name in names if name != PLACE_KEYPOINTS]
    for i, name in enumerate(names):
        loaded = [_rows_of(part.map, name) for part in parts]
        like = next(rows for rows in loaded if rows is not None)
        write_blocks(
            folder / name, (total, *like.shape[1:]), like.dtype, _blocks(parts, loaded, like.shape[1:])
        )
        on_progress((i + 1) * total, len(names) * total)


def _blocks(
    parts: Sequence[MapPart], loaded: Sequence[NDArray | None], row_shape: tuple[int, ...]
) -> Iterator[NDArray]:
    """Yields the rows of the keyframes of parts in blocks; zeros where a part has none."""
    for part, rows in zip(parts, loaded, strict=True):
        for start in range(0, len(part.keyframes), _BLOCK_ROWS):
            chosen = part.keyframes[start : start + _BLOCK_ROWS]
            yield np.zeros((len(chosen), *row_shape), np.int8) if rows is None else rows[chosen]


def _rows_of(reference_map: ReferenceMap, name: str) -> NDArray | None:
    """Returns the rows of a file, memory-mapped; None where a map has no such file."""
    if name not in reference_map.array_files:
        return None
    return np.asarray(np.load(reference_map.path / name, mmap_mode="r", allow_pickle=False))


def _write_index(parts: Sequence[MapPart], folder: Path) -> VectorIndex:
    """Writes the index of the descriptors of all keyframes, and returns it."""

    def descriptors() -> Iterator[NDArray[np.float32]]:
        return (part.map.index.descriptor(int(k)) for part in parts for k in part.keyframes)

    first = parts[0].map.index
    if isinstance(first, InvertedFile):
        index = InvertedFile.build(descriptors(), first.size)
        index.write(folder / WORD_INDEX)
        return index
    count = sum(len(part.keyframes) for part in parts)
    return write_index(folder, (row[None] for row in descriptors()), first.size, count)


def _write_keyframes(parts: Sequence[MapPart], folder: Path) -> list[dict[str, object]]:
    """Writes keyframes.parquet and thumbnails.bin; returns the cameras."""
    cameras: list[dict[str, object]] = []
    is_tagged = any("geo_tag" in _table_of(part.map).column_names for part in parts)
    schema = TAGGED_KEYFRAME_SCHEMA if is_tagged else KEYFRAME_SCHEMA
    tables, offset = [], 0
    with (folder / THUMBNAILS).open("wb") as thumbnails:
        for part in parts:
            table = _table_of(part.map).take(pa.array(part.keyframes))
            numbers = []
            for camera in part.map.info.cameras:
                if camera not in cameras:
                    cameras.append(camera)
                numbers.append(cameras.index(camera))
            offsets = []
            with (part.map.path / THUMBNAILS).open("rb") as file:
                for at, size in zip(
                    table["thumbnail_offset"].to_pylist(), table["thumbnail_bytes"].to_pylist(), strict=True
                ):
                    file.seek(at)
                    thumbnails.write(file.read(size))
                    offsets.append(offset)
                    offset += size
            columns = {name: table[name] for name in table.column_names}
            columns["camera"] = pa.array(np.array(numbers)[table["camera"].to_numpy()], pa.int32())
            columns["thumbnail_offset"] = pa.array(offsets, pa.int64())
            for field in GEO_TAG_FIELDS if is_tagged else ():
                if field.name not in columns:  # poses of their own
                    empty = "" if field.type == pa.string() else None
                    columns[field.name] = pa.array([empty] * len(table), field.type)
            tables.append(pa.table([columns[field.name] for field in schema], schema=schema))
    pq.write_table(pa.concat_tables(tables), folder / KEYFRAMES)
    return cameras


def _table_of(reference_map: ReferenceMap) -> pa.Table:
    return read_table(reference_map.path)


def _copy_networks(first: ReferenceMap, folder: Path) -> None:
    """Copies the files that all parts share, under a second name where the file system allows that."""
    made = {*first.array_files, *INDEX_FILES, *LARGE_TABLES, CO_SIMILARITY, *NO_LONGER_READ}
    for name in first.info.files:
        if (folder / name).exists() or name in made:
            continue
        link_or_copy(first.path / name, folder / name)


def _write_description(parts: Sequence[MapPart], folder: Path, cameras: list[dict[str, object]]) -> None:
    """Writes `map.json`."""
    first = parts[0].map.info
    drives = _joined([drive for part in parts for drive in part.drives])
    skipped: dict[str, int] = {}
    for part in parts:
        for reason, count in part.map.info.skipped.items():
            skipped[reason] = skipped.get(reason, 0) + count
    sources = [source for part in parts for source in part.map.info.sources]
    datums = [part.map.info.georeference for part in parts if part.map.info.georeference is not None]
    files = [folder / name for name in (*FILES, *OPTIONAL_FILES) if (folder / name).exists()]
    info = first.model_copy(
        update={
            "format_version": FORMAT.version
            if (folder / CODES).exists()
            else max(part.map.info.format_version for part in parts),
            "keyframes": sum(len(part.keyframes) for part in parts),
            "cameras": cameras,
            "built": datetime.now(timezone.utc),
            "package_version": __version__,
            "source": ", ".join(dict.fromkeys(drive.source for drive in drives)),
            "sources": [source for i, source in enumerate(sources) if source not in sources[:i]],
            "skipped": skipped,
            "drives": drives,
            "georeference": datums[0] if datums else None,
            "accuracy": None,
            "look_alikes": None,
            "files": {file.name: record_of(file) for file in files},
        }
    )
    write_info(folder, info)


def _joined(drives: Sequence[DriveRecord]) -> list[DriveRecord]:
    """Returns the drives, where parts of one that follow each other are one."""
    joined: list[DriveRecord] = []
    for drive in drives:
        if joined and joined[-1].source == drive.source:
            keyframes = joined[-1].keyframes + drive.keyframes
            joined[-1] = joined[-1].model_copy(update={"keyframes": keyframes})
        else:
            joined.append(drive)
    return joined
