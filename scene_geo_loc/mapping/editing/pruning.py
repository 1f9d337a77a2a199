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

"""Which keyframes of a map to keep within a budget, so that no place is lost."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.mapping.editing.splitting import rows_of_drives
from scene_geo_loc.mapping.map_info import CO_SIMILARITY, INDEX_FILES, KEYFRAMES, LARGE_TABLES, THUMBNAILS
from scene_geo_loc.mapping.reference_map import ReferenceMap

DEG_PER_M = 10.0
"""Angle between two keyframes that counts as a distance of one metre."""
USELESS_SPACING = 4.0
"""Keyframes of no use are thinned to this multiple of the spacing of the others."""
UNKNOWN = 0.5
"""Usefulness of a keyframe of which nothing is known: below one that helped, above one of no use."""
_STEPS = 40
"""Halvings of the spacing that is looked for."""


def keyframes_within(
    reference_map: ReferenceMap, budget: int, usefulness: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.intp], float]:
    """Returns the keyframes (M,) to keep, at most `budget`, and the spacing in metres between them.

    The keyframes of each drive are thinned to the same spacing, the least one that suffices: drives in other
    light keep their own keyframes of each place.  An angle counts as a distance, see `DEG_PER_M`.

    With a usefulness the most useful keyframe of each neighbourhood stays.  One of no use (0 or less) is left
    out where a kept one of any drive is within `USELESS_SPACING` times the spacing, so those go first, and
    the last keyframe of a place stays.

    Args:
        reference_map: the map.
        budget: most keyframes to keep.
        usefulness: (N,) of each keyframe, see `KeyframeCounts.usefulness`; NaN where nothing is known.

    Raises MapError where the budget is smaller than the number of drives.
    """
    drives = list(rows_of_drives(reference_map).values())
    if budget < len(drives):
        raise MapError(
            f"{budget} keyframes are fewer than the {len(drives)} drives of {reference_map.path}: allow more."
        )
    if budget >= len(reference_map):
        return np.arange(len(reference_map)), 0.0
    known = np.zeros(len(reference_map)) if usefulness is None else np.nan_to_num(usefulness, nan=UNKNOWN)
    is_useless = np.zeros(len(reference_map), bool) if usefulness is None else known <= 0
    T_map_camera = reference_map.T_map_camera
    groups = [_most_useful_first(rows[~is_useless[rows]], known) for rows in drives]
    useless = _most_useful_first(np.flatnonzero(is_useless), known)
    positions = T_map_camera[:, :3, 3]
    low, high = 0.0, float(np.linalg.norm(np.ptp(positions, axis=0))) + 360.0 / DEG_PER_M
    kept = np.array([rows[0] for rows in drives])
    for _ in range(_STEPS):
        spacing = (low + high) / 2
        found = np.concatenate([rows[_thinned(T_map_camera[rows], spacing)] for rows in groups])
        rest = np.append(found, useless)
        found = rest[_thinned(T_map_camera[rest], USELESS_SPACING * spacing, len(found))]
        if len(found) > budget:
            low = spacing
        else:
            kept, high = found, spacing
    return np.sort(kept), high


def _most_useful_first(rows: NDArray[np.intp], usefulness: NDArray[np.float64]) -> NDArray[np.intp]:
    """Returns rows by usefulness; equally useful ones in the order of the drive."""
    return rows[np.argsort(-usefulness[rows], kind="stable")]


def keyframes_in_bytes(reference_map: ReferenceMap, size_bytes: int) -> int:
    """Returns how many keyframes a map of a size can have.

    Raises MapError where the networks of the map alone are larger.
    """
    files = reference_map.info.files
    by_keyframe = {
        *reference_map.array_files,
        KEYFRAMES,
        THUMBNAILS,
        CO_SIMILARITY,
        *INDEX_FILES,
        *LARGE_TABLES,
    }
    fixed = sum(record.bytes for name, record in files.items() if name not in by_keyframe)
    each = (sum(record.bytes for record in files.values()) - fixed) / len(reference_map)
    budget = int((size_bytes - fixed) / each)
    if budget < 1:
        raise MapError(
            f"The networks of {reference_map.path} take {fixed / 1e6:.1f} MB and a keyframe "
            f"{each / 1e6:.3f} MB > {size_bytes / 1e6:.1f} MB: allow more."
        )
    return budget


def _thinned(T_map_camera: NDArray[np.float64], spacing: float, kept_first: int = 0) -> NDArray[np.intp]:
    """Returns rows of poses (N, 4, 4), in order, that are at least a spacing apart from those before.

    The first `kept_first` stay whatever is near them.
    """
    kept: list[int] = []
    if not len(T_map_camera):
        return np.zeros(0, np.intp)
    positions = T_map_camera[:, :3, 3]
    tree = cKDTree(positions)
    is_covered = np.zeros(len(positions), bool)
    for row, T in enumerate(T_map_camera):
        if is_covered[row] and row >= kept_first:
            continue
        kept.append(row)
        near = np.asarray(tree.query_ball_point(T[:3, 3], spacing), np.intp)
        cosine = (np.einsum("nij,ij->n", T_map_camera[near, :3, :3], T[:3, :3]) - 1) / 2
        angle_m = np.degrees(np.arccos(np.clip(cosine, -1, 1))) / DEG_PER_M
        is_covered[near[np.linalg.norm(positions[near] - T[:3, 3], axis=1) + angle_m < spacing]] = True
    return np.array(kept, np.intp)
