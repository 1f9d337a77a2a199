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
from scene_geo_loc.mapping.reference_map import ReferenceMap

DEG_PER_M = 10.0
"""Angle between two keyframes that counts as a distance of one metre."""
_STEPS = 40
"""Halvings of the spacing that is looked for."""


def keyframes_within(reference_map: ReferenceMap, budget: int) -> tuple[NDArray[np.intp], float]:
    """Returns the keyframes (M,) to keep, at most `budget`, and the spacing in metres between them.

    The keyframes of each drive are thinned to the same spacing, the least one that suffices: drives in other
    light keep their own keyframes of each place.  An angle counts as a distance, see `DEG_PER_M`.

    Raises MapError where the budget is smaller than the number of drives.
    """
    drives = list(rows_of_drives(reference_map).values())
    if budget < len(drives):
        raise MapError(
            f"{budget} keyframes are fewer than the {len(drives)} drives of {reference_map.path}: allow more."
        )
    if budget >= len(reference_map):
        return np.arange(len(reference_map)), 0.0
    positions = reference_map.T_map_camera[:, :3, 3]
    low, high = 0.0, float(np.linalg.norm(np.ptp(positions, axis=0))) + 360.0 / DEG_PER_M
    kept = np.array([rows[0] for rows in drives])
    for _ in range(_STEPS):
        spacing = (low + high) / 2
        found = np.concatenate([rows[_thinned(reference_map.T_map_camera[rows], spacing)] for rows in drives])
        if len(found) > budget:
            low = spacing
        else:
            kept, high = found, spacing
    return np.sort(kept), high


def keyframes_in_bytes(reference_map: ReferenceMap, size_bytes: int) -> int:
    """Returns how many keyframes a map of a size can have.

    Raises MapError where the networks of the map alone are larger.
    """
    files = reference_map.info.files
    by_keyframe = {*reference_map.array_files, "keyframes.parquet", "thumbnails.bin", "index.faiss"}
    by_keyframe |= {"word_index.safetensors", "co_similarity.safetensors"}
    fixed = sum(record.bytes for name, record in files.items() if name not in by_keyframe)
    each = (sum(record.bytes for record in files.values()) - fixed) / len(reference_map)
    budget = int((size_bytes - fixed) / each)
    if budget < 1:
        raise MapError(
            f"The networks of {reference_map.path} take {fixed / 1e6:.1f} MB and a keyframe "
            f"{each / 1e6:.3f} MB > {size_bytes / 1e6:.1f} MB: allow more."
        )
    return budget


def _thinned(T_map_camera: NDArray[np.float64], spacing: float) -> NDArray[np.intp]:
    """Returns rows of poses (N, 4, 4), in order, that are at least a spacing apart from those before."""
    positions = T_map_camera[:, :3, 3]
    tree = cKDTree(positions)
    is_covered = np.zeros(len(positions), bool)
    kept = []
    for row, T in enumerate(T_map_camera):
        if is_covered[row]:
            continue
        kept.append(row)
        near = np.asarray(tree.query_ball_point(T[:3, 3], spacing), np.intp)
        cosine = (np.einsum("nij,ij->n", T_map_camera[near, :3, :3], T[:3, :3]) - 1) / 2
        angle_m = np.degrees(np.arccos(np.clip(cosine, -1, 1))) / DEG_PER_M
        is_covered[near[np.linalg.norm(positions[near] - T[:3, 3], axis=1) + angle_m < spacing]] = True
    return np.array(kept, np.intp)
