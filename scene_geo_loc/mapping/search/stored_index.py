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

from scene_geo_loc.mapping.map_info import INDEX, WORD_INDEX
from scene_geo_loc.mapping.search.index import DescriptorIndex
from scene_geo_loc.mapping.search.vector_index import VectorIndex
from scene_geo_loc.visual_words.inverted_file import InvertedFile


def write_index(folder: Path, rows: Iterable[NDArray[np.floating]], size: int) -> VectorIndex:
    """Writes the index of descriptors to the folder of a map, and returns it.

    Args:
        folder: of the map.
        rows: unit descriptors in blocks (B, D), one after the other.
        size: their length D.

    Raises MapError where it cannot be written.
    """
    index = DescriptorIndex.of_blocks(rows, size)
    index.write(folder / INDEX)
    return index


def read_index(folder: Path, files: Collection[str]) -> VectorIndex:
    """Reads the index of a map.

    Args:
        folder: of the map.
        files: names of the map's files.

    Raises MapError where it is damaged.
    """
    if WORD_INDEX in files:
        return InvertedFile.read(folder / WORD_INDEX)
    return DescriptorIndex.read(folder / INDEX)
