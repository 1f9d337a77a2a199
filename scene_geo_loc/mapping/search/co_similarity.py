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

"""Co-similarity of a map's keyframes: which of them look alike and are near each other.

A query's right keyframes are several: the views around the best one.  A keyframe that looks like the query by
chance stands alone.  The filter by distance keeps look-alikes elsewhere from supporting each other (the
topological filter of L. Yu, PhD thesis, MINES ParisTech, 2018).
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.core.errors import MapError, reason_of
from scene_geo_loc.core.regular_file import regular
from scene_geo_loc.mapping.search.vector_index import VectorIndex
from scene_geo_loc.networks.runtime.extractor import evenly_spread

MOST_NEIGHBOURS = 8
"""Most keyframes that one is co-similar to: the most similar ones near it."""
NEAR_SPACINGS = 3.0
"""Keyframes are near each other within this multiple of the usual distance between places of the map."""
NEAREST_M, FARTHEST_M = 5.0, 100.0
"""Limits of that distance."""
SAME_PLACE_M = 0.1
"""Keyframes nearer than this are views of one place, such as those of a panorama."""
LEAST_SIMILARITY = 0.01
"""Keyframes that are less similar do not look alike, even where no others are known."""
CHANCE, CHANCE_KEYFRAMES, CHANCE_OTHERS = 0.95, 50, 20_000
"""Keyframes look alike if they are more similar than this share of pairs that are not near each other, as
measured on so many keyframes with at most so many others."""
MOST_HEADER_BYTES = 1 << 20
"""Bytes of the header of a safetensors file; a longer one is damaged."""


class CoSimilarity:
    """The co-similar keyframes of each keyframe, the most similar first.

    Attributes:
        starts: (N + 1,) int64, first entry of each keyframe, and the number of entries.
        keyframes: (E,) uint32, keyframe of each entry.
        similarities: (E,) float16, cosine of the descriptors.
    """

    def __init__(
        self, starts: NDArray[np.int64], keyframes: NDArray[np.uint32], similarities: NDArray[np.float16]
    ) -> None:
        self.starts, self.keyframes, self.similarities = starts, keyframes, similarities

    @classmethod
    def of(cls, index: VectorIndex, T_map_camera: NDArray[np.float64]) -> CoSimilarity:
        """Returns the co-similarity of keyframes (N, 4, 4) with their descriptors in an index."""
        from scipy.spatial import cKDTree

        positions = T_map_camera[:, :3, 3]
        tree = cKDTree(positions)
        radius_m = near_m(positions)
        limit = _chance_similarity(index, positions, radius_m)
        found, similarities, starts = [], [], [0]
        for keyframe, position in enumerate(positions):
            near = np.asarray(tree.query_ball_point(position, radius_m), np.int64)
            near = near[near != keyframe]
            neighbours, cosines = np.zeros(0, np.int64), np.zeros(0, np.float32)
            if len(near):
                neighbours, cosines = index.search(index.descriptor(keyframe), MOST_NEIGHBOURS, near)
            is_alike = cosines > max(limit, LEAST_SIMILARITY)
            found.append(neighbours[is_alike].astype(np.uint32))
            similarities.append(cosines[is_alike].astype(np.float16))
            starts.append(starts[-1] + int(is_alike.sum()))
        return cls(np.array(starts, np.int64), np.concatenate(found), np.concatenate(similarities))

    @classmethod
    def read(cls, path: Path, count: int, is_large: bool = False) -> CoSimilarity:
        """Reads the file of a map with a number of keyframes. Raises MapError where it is damaged.

        Args:
            is_large: whether the file stays on the disk, memory-mapped; then its values are not looked at.
        """
        names = ("starts", "keyframes", "similarities")
        try:
            if is_large:
                starts, keyframes, similarities = map(mapped_tensors(path).__getitem__, names)
            else:
                with safe_open(regular(path), framework="numpy") as file:
                    starts, keyframes, similarities = map(file.get_tensor, names)
            kinds = [(starts, np.int64), (keyframes, np.uint32), (similarities, np.float16)]
            if any(array.ndim != 1 or array.dtype != kind for array, kind in kinds):
                raise ValueError("its arrays have other shapes or types")
            is_whole = len(starts) == count + 1 and starts[0] == 0 and starts[-1] == len(keyframes)
            if not is_whole or len(similarities) != len(keyframes):
                raise ValueError(f"it is not of {count} keyframes")
            if is_large:
                return cls(starts, keyframes, similarities)
            if (np.diff(starts) < 0).any():
                raise ValueError(f"it is not of {count} keyframes")
            if len(keyframes) and keyframes.max() >= count:
                raise ValueError(f"it names keyframe {keyframes.max()} of {count}")
            if not ((similarities > 0) & (similarities < np.inf)).all():
                raise ValueError("it has similarities that are not positive numbers")
        except (SafetensorError, OSError, KeyError, ValueError, TypeError, IndexError, struct.error) as error:
            raise MapError(
                f"{path} is not the co-similarity of this map ({reason_of(error)}): copy the map again, or "
                "build it again."
            ) from error
        return cls(starts, keyframes, similarities)

    def save(self, path: Path) -> None:
        """Writes the file of a map."""
        write_aside(path, save({name: np.ascontiguousarray(array) for name, array in vars(self).items()}))

    def __len__(self) -> int:
        return len(self.starts) - 1

    def neighbours(self, keyframe: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Returns the keyframes co-similar to one, and the cosines of their descriptors with it."""
        entries = slice(int(self.starts[keyframe]), int(self.starts[keyframe + 1]))
        return self.keyframes[entries].astype(np.int64), self.similarities[entries].astype(np.float64)

    def support(
        self, keyframes: NDArray[np.int64], voters: NDArray[np.int64], votes: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Returns the support (K,) of keyframes by votes for those that are co-similar to them.

        It is the mean of these votes, weighted by the similarities; 0 for a keyframe without neighbours.

        Args:
            keyframes: (K,).
            voters: (V,) keyframes that there are votes for.
            votes: (V,) not negative.
        """
        support = np.zeros(len(keyframes))
        if not len(voters):
            return support
        order = np.argsort(voters)
        voter, vote = voters[order], votes[order]
        for i, keyframe in enumerate(keyframes):
            neighbours, similarities = self.neighbours(int(keyframe))
            if len(neighbours):
                at = np.searchsorted(voter, neighbours).clip(max=len(voter) - 1)
                own = np.where(voter[at] == neighbours, vote[at], 0.0)
                support[i] = similarities @ own / similarities.sum()
        return support


def mapped_tensors(path: Path) -> dict[str, NDArray]:
    """Returns the tensors of a safetensors file, memory-mapped. Raises ValueError where it is damaged."""
    kinds = {"I64": np.int64, "U32": np.uint32, "F16": np.float16}
    with regular(path).open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        if size > MOST_HEADER_BYTES:
            raise ValueError("its header is too long")
        header = json.loads(file.read(size))
    tensors = {}
    for name, record in header.items():
        if name != "__metadata__":
            shape, kind, begin = record["shape"], kinds[record["dtype"]], 8 + size + record["data_offsets"][0]
            is_empty = 0 in shape  # which cannot be mapped
            mapped = np.zeros(shape, kind) if is_empty else np.memmap(path, kind, "r", begin, tuple(shape))
            tensors[name] = np.asarray(mapped)
    return tensors


def near_m(positions: NDArray[np.float64]) -> float:
    """Returns the distance within which keyframes at positions (N, 3) are near each other."""
    from scipy.spatial import cKDTree

    places = np.unique(np.round(positions / SAME_PLACE_M).astype(np.int64), axis=0) * SAME_PLACE_M
    if len(places) < 2:
        return NEAREST_M
    distances, _ = cKDTree(places).query(places, k=2)
    return float(np.clip(NEAR_SPACINGS * np.median(distances[:, 1]), NEAREST_M, FARTHEST_M))


def _chance_similarity(index: VectorIndex, positions: NDArray[np.float64], radius_m: float) -> float:
    """Returns the similarity that pairs away from each other seldom exceed; 0 where there are none."""
    by_chance = []
    others = np.asarray(evenly_spread(len(positions), CHANCE_OTHERS), np.int64)
    for keyframe in evenly_spread(len(positions), CHANCE_KEYFRAMES):
        away = np.linalg.norm(positions[others] - positions[keyframe], axis=1)
        elsewhere = others[away > radius_m]
        if len(elsewhere):
            _, cosines = index.search(index.descriptor(int(keyframe)), len(elsewhere), elsewhere)
            by_chance.append(np.pad(cosines, (0, len(elsewhere) - len(cosines))))
    return max(0.0, float(np.quantile(np.concatenate(by_chance), CHANCE))) if by_chance else 0.0
