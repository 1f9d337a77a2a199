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
"""The index of a map in its folder: writes the kind that fits the number of keyframes, and reads any kind."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.mapping.map_info import (
    CODES,
    GLOBAL_DESCRIPTORS,
    INDEX,
    INDEX_DATABASE,
    INDEX_FILES,
    WORD_INDEX,
)
from scene_geo_loc.mapping.search.compressed_index import CompressedIndex
from scene_geo_loc.mapping.search.database_index import DatabaseIndex
from scene_geo_loc.mapping.search.index import DescriptorIndex
from scene_geo_loc.mapping.search.vector_index import VectorIndex
from scene_geo_loc.visual_words.inverted_file import InvertedFile

EXACT_BELOW = 100_000
"""Number of keyframes from which on a map is a large one, with an index that is approximate and on the disk.

Below, all descriptors are compared: that takes less time than the network, about 10 ms, and 100 MB of memory.
"""


def write_index(
    folder: Path,
    rows: Iterable[NDArray[np.floating]],
    size: int,
    count: int,
    exact_below: int | None = None,
) -> VectorIndex:
    """Writes the index of descriptors to the folder of a map, and returns it.

    Args:
        folder: of the map.
        rows: unit descriptors in blocks (B, D), one after the other.
        size: their length D.
        count: number of them.
        exact_below: number of keyframes from which on the index is approximate; None: `EXACT_BELOW`.

    Raises MapError where it cannot be written.
    """
    for name in INDEX_FILES:  # of a build that was interrupted here
        (folder / name).unlink(missing_ok=True)
    if count >= (EXACT_BELOW if exact_below is None else exact_below):
        CompressedIndex.write(rows, size, count, folder / CODES, folder / GLOBAL_DESCRIPTORS)
        return CompressedIndex.read(folder / CODES, folder / GLOBAL_DESCRIPTORS)
    index = DescriptorIndex.of_blocks(rows, size)
    index.write(folder / INDEX)
    return index


def read_index(folder: Path, files: Collection[str]) -> VectorIndex:
    """Reads the index of a map.

    Args:
        folder: of the map.
        files: names of the map's files.

    Raises MapError where it is damaged, or in a database that cannot be opened.
    """
    if WORD_INDEX in files:
        return InvertedFile.read(folder / WORD_INDEX)
    if INDEX_DATABASE in files:
        return DatabaseIndex.open(folder / INDEX_DATABASE)
    if CODES in files:
        return CompressedIndex.read(folder / CODES, folder / GLOBAL_DESCRIPTORS)
    return DescriptorIndex.read(folder / INDEX)
