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

"""Writes a map with its index elsewhere: in a database that many robots ask, or in a file of the map."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.core.errors import MapError
from scene_geo_loc.core.progress import ProgressCallback, ignore_progress
from scene_geo_loc.mapping.map_info import (
    FORMAT,
    INDEX,
    INDEX_DATABASE,
    INDEX_FILES,
    record_of,
    write_info,
)
from scene_geo_loc.mapping.map_output import link_or_copy, writing_map
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.mapping.search.database_index import BLOCK_ROWS, DatabaseIndex
from scene_geo_loc.mapping.search.stored_index import write_index
from scene_geo_loc.visual_words.inverted_file import InvertedFile


def write_map_with_index(
    reference_map: ReferenceMap,
    out: Path,
    database: str | None,
    *,
    overwrite: bool = False,
    on_progress: ProgressCallback = ignore_progress,
) -> ReferenceMap:
    """Writes a map whose descriptors are in a database, or in its own folder, and opens it.

    All other files are the same ones under a second name where the file system allows that.

    Args:
        reference_map: the map.
        out: folder of the new map; it may be that of the old one.
        database: see `DatabaseIndex.write`; None: the index is written to the folder.
        overwrite: whether a map at `out` is replaced.
        on_progress: receives the descriptors written and their total.

    Raises MapError where the map has visual words, where `out` exists and may not be replaced, or where the
    index or the map cannot be written.
    """
    index, info = reference_map.index, reference_map.info
    if isinstance(index, InvertedFile):
        raise MapError(
            f"{reference_map.path} is searched by visual words, whose index is always a file of the map."
        )
    count = len(index)

    def blocks() -> Iterator[NDArray[np.float32]]:
        for first in range(0, count, BLOCK_ROWS):
            end = min(first + BLOCK_ROWS, count)
            yield np.stack([index.descriptor(keyframe) for keyframe in range(first, end)])
            on_progress(end, count)

    with writing_map(out, "writing the index of a map", overwrite=overwrite) as folder:
        if database is None:
            write_index(folder, blocks(), index.size, count)
        else:
            written = DatabaseIndex.write(database, _table_name(reference_map), blocks(), index.size, count)
            write_aside(folder / INDEX_DATABASE, written.table.model_dump_json(indent=1).encode())
        kept = {name: record for name, record in info.files.items() if name not in INDEX_FILES}
        for name in kept:
            link_or_copy(reference_map.path / name, folder / name)
        new = [name for name in INDEX_FILES if (folder / name).exists()]
        files = {**kept, **{name: record_of(folder / name) for name in new}}
        is_file = new == [INDEX]
        version = info.format_version if is_file else FORMAT.version
        write_info(folder, info.model_copy(update={"files": files, "format_version": version}))
    return ReferenceMap.open(out)


def _table_name(reference_map: ReferenceMap) -> str:
    """Returns a name that maps with the same descriptors share."""
    if isinstance(reference_map.index, DatabaseIndex):
        return reference_map.index.table.table
    files = sorted(name for name in reference_map.info.files if name in INDEX_FILES)
    sums = "".join(reference_map.info.files[name].sha256 for name in files)
    return f"map_{hashlib.sha256(sums.encode()).hexdigest()[:16]}"
