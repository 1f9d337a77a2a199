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

"""Parts of a map: its drives, and the squares of its area."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.mapping.reference_map import AnyMap, ReferenceMap


def rows_of_drives(reference_map: AnyMap) -> dict[str, NDArray[np.intp]]:
    """Returns the keyframes of each drive of a map, by a name for the folder of its map."""
    rows, first = {}, 0
    for number, drive in enumerate(reference_map.info.all_drives, start=1):
        words = re.sub(r"[^\w.-]+", "_", drive.source).strip("_.")[-60:]
        rows[f"{number}_{words}".rstrip("_")] = np.arange(first, first + drive.keyframes)
        first += drive.keyframes
    return rows


def rows_of_tiles(reference_map: ReferenceMap, side_m: float) -> dict[str, NDArray[np.intp]]:
    """Returns the keyframes of each square of x and y that has any, by its lower corner in metres."""
    corners = np.floor(reference_map.T_map_camera[:, :2, 3] / side_m).astype(np.int64)
    rows = {}
    for corner in np.unique(corners, axis=0):
        x, y = (f"{side_m * number:g}" for number in corner)
        rows[f"tile_{x}_{y}"] = np.flatnonzero((corners == corner).all(axis=1))
    return rows
