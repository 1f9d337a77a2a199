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

"""Which keyframes of a map to keep within a budget, so that most of what it shows stays supported.

Pruning is maximum coverage.  A kept keyframe supports those around it, in its own light more than in another,
and each keyframe of the map is to be supported once.  Keyframes that stand close together in a drive share
one place, so that each place counts once in each drive, however many keyframes it has there.  The choice is
greedy (Nemhauser, Wolsey and Fisher, Mathematical Programming 14, 1978) and lazy: a gain only falls, so that
most of them need no second look (Minoux, 1978).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from enum import Enum

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.mapping.map_info import CO_SIMILARITY, INDEX_FILES, KEYFRAMES, LARGE_TABLES, THUMBNAILS
from scene_geo_loc.mapping.reference_map import ReferenceMap

DEG_PER_M = 10.0
"""Angle between two keyframes that counts as a distance of one metre."""
SAME_DRIVE, OTHER_DRIVE = 0.5, 0.15
"""Support of a keyframe for one beside it, of its own drive and of another; it fully supports itself.

It falls to 0 at the reach.  In a street in four lights a keyframe 1 m away had 0.55 of the inliers that an
image needs to be localized in a thin map, one of another light 0.2, and those 10 m away no more than by
chance.
"""
FARTHEST = 3.0
"""Multiple of the spacing within which each keyframe has a kept one."""
LEAST_SUPPORT = 0.02
"""Support of a keyframe of no use, as a multiple of its support without statistics."""
SATURATION = 2.0
"""A keyframe with a support s counts 1 - exp(-s `SATURATION`): the first support counts most, and more still
counts a little, so that what a large budget has left is spread as well."""
_STEPS = 40
"""Most halvings of the spacing that is looked for."""
_PRECISION = 1.01
"""Ratio of the limits of that spacing at which it is known well enough."""
_CHUNK = 256
"""Keyframes whose surroundings are looked up at once."""


def keyframes_within(
    reference_map: ReferenceMap,
    budget: int,
    usefulness: NDArray[np.float64] | None = None,
    reach_m: float = 0.0,
) -> tuple[NDArray[np.intp], float]:
    """Returns the keyframes (M,) to keep, at most `budget`, and the farthest distance of another to one.

    Distances are in metres, and an angle counts as one, see `DEG_PER_M`.  The spacing is the least one at
    which the budget has a keyframe for every place, in whatever light.  First, so many are kept that every
    keyframe has a kept one within `FARTHEST` times the spacing; then those that add most, and those of no use
    last.

    Args:
        reference_map: the map.
        budget: most keyframes to keep.
        usefulness: (N,) of each keyframe, see `KeyframeCounts.usefulness`; NaN where nothing is known.  The
            support of a useful one is up to 1.5 times that of others; one of no use (0 or less) is kept
            where it is the only one of a place, or where there is room.
        reach_m: distance at which a keyframe stops to help, see `reach_of`; at least the spacing is taken.
    """
    count = len(reference_map)
    if budget >= count:
        return np.arange(count), 0.0
    places = _Surroundings(reference_map)
    spacing = places.spacing(budget)
    coverage = _Coverage(places, max(reach_m, spacing), _strengths(count, usefulness))
    is_useless = np.zeros(count, bool) if usefulness is None else usefulness <= 0
    away = np.full(count, np.inf)
    kept: list[int] = []
    bounds = [(-gain, row) for row, gain in enumerate(coverage.first_gains())]
    for turn in _Turn:
        heapq.heapify(bounds)
        later = []
        while bounds and len(kept) < budget:
            bound, row = heapq.heappop(bounds)
            is_covered = away[row] <= FARTHEST * spacing
            if (turn is _Turn.PLACES and is_covered) or (turn is _Turn.USEFUL and is_useless[row]):
                later.append((bound, row))
                continue
            gain = coverage.gain(row)
            if bounds and -gain > bounds[0][0]:
                heapq.heappush(bounds, (-gain, row))
                continue
            kept.append(row)
            coverage.add(row)
            near, distances = places.around(row, FARTHEST * spacing)
            away[near] = np.minimum(away[near], distances)
        bounds = later
    return np.sort(np.array(kept, np.intp)), float(away.max())


class _Turn(Enum):
    """Turns in which keyframes are chosen."""

    PLACES = "places"
    """Those that have no kept one near them, until all have."""
    USEFUL = "useful"
    """Others, but for those of no use."""
    REST = "rest"


def _strengths(count: int, usefulness: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Returns the factor (N,) of each keyframe's support: 1 where nothing is known, else 0.5 to 1.5."""
    strengths = np.ones(count)
    if usefulness is None:
        return strengths
    is_useful = usefulness > 0
    if is_useful.any():
        usual = np.median(usefulness[is_useful])
        strengths[is_useful] = 0.5 + usefulness[is_useful] / (usefulness[is_useful] + usual)
    strengths[usefulness <= 0] = LEAST_SUPPORT
    return strengths


class _Surroundings:
    """Distances between the keyframes of a map that are near each other, in metres with `DEG_PER_M`."""

    def __init__(self, reference_map: ReferenceMap) -> None:
        T_map_camera = np.asarray(reference_map.T_map_camera[:])
        self._rotations = np.ascontiguousarray(T_map_camera[:, :3, :3])
        self._positions = np.ascontiguousarray(T_map_camera[:, :3, 3])
        self._tree = cKDTree(self._positions)
        ends = np.cumsum([drive.keyframes for drive in reference_map.info.all_drives])
        self.drives = np.searchsorted(ends, np.arange(len(T_map_camera)), side="right")

    def __len__(self) -> int:
        return len(self._positions)

    def around(self, row: int, radius: float) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Returns the keyframes (K,) within a distance of one, itself among them, and their distances."""
        near = np.asarray(self._tree.query_ball_point(self._positions[row], radius), np.intp)
        return self._within(np.full(len(near), row), near, radius)[1:]

    def around_many(
        self, rows: NDArray[np.intp], radius: float
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
        """Returns the pairs (P,) of keyframes and those within a distance of each, and their distances."""
        found = self._tree.query_ball_point(self._positions[rows], radius)
        centres = np.repeat(rows, [len(near) for near in found])
        return self._within(centres, np.concatenate([np.asarray(near, np.intp) for near in found]), radius)

    def _within(
        self, centres: NDArray[np.intp], near: NDArray[np.intp], radius: float
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
        cosines = (np.einsum("nij,nij->n", self._rotations[near], self._rotations[centres]) - 1) / 2
        distances = np.linalg.norm(self._positions[near] - self._positions[centres], axis=1)
        distances += np.degrees(np.arccos(np.clip(cosines, -1, 1))) / DEG_PER_M
        distances[near == centres] = 0.0  # the arc cosine of nearly 1 is off by more
        is_near = distances <= radius
        return centres[is_near], near[is_near], distances[is_near]

    def spacing(self, budget: int) -> float:
        """Returns the least spacing at which no more keyframes than the budget are that far apart."""
        low, high = 0.0, float(np.linalg.norm(np.ptp(self._positions, axis=0))) + 360.0 / DEG_PER_M
        for _ in range(_STEPS):
            spacing = (low + high) / 2
            if self._fits(spacing, budget):
                high = spacing
            else:
                low = spacing
            if high < _PRECISION * low:
                break
        return high

    def _fits(self, spacing: float, budget: int) -> bool:
        """Returns whether keyframes in their order, each that is not near one before, are within a budget."""
        is_near = np.zeros(len(self), bool)
        taken = 0
        for row in range(len(self)):
            if is_near[row]:
                continue
            taken += 1
            if taken > budget:
                return False
            is_near[self.around(row, spacing)[0]] = True
        return True


def _worth(support: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns what support of keyframes (N,) counts."""
    return np.asarray(1 - np.exp(-SATURATION * support))


class _Coverage:
    """Support of a map's keyframes by those that are kept.

    Args:
        places: the keyframes.
        reach: distance at which support ends.
        strengths: (N,) factors of the keyframes' support.
    """

    def __init__(self, places: _Surroundings, reach: float, strengths: NDArray[np.float64]) -> None:
        self._places, self._reach, self._strengths = places, reach, strengths
        self._support = np.zeros(len(places))
        self._weights = np.zeros(len(places))
        for centres, near, _ in self._chunks():
            is_same = places.drives[near] == places.drives[centres]
            self._weights += np.bincount(centres[is_same], minlength=len(places))
        self._weights = 1 / self._weights

    def _chunks(self) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]]:
        """Yields the pairs of keyframes within the reach, see `_Surroundings.around_many`."""
        rows = np.arange(len(self._places))
        for first in range(0, len(rows), _CHUNK):
            yield self._places.around_many(rows[first : first + _CHUNK], self._reach)

    def _given(
        self, centres: NDArray[np.intp], near: NDArray[np.intp], distances: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Returns the support (P,) that keyframes give those near them."""
        is_same = self._places.drives[near] == self._places.drives[centres]
        given = np.where(is_same, SAME_DRIVE, OTHER_DRIVE) * (1 - distances / self._reach)
        given[near == centres] = 1.0
        return np.asarray(given * self._strengths[centres])

    def first_gains(self) -> NDArray[np.float64]:
        """Returns what each keyframe (N,) adds while none is kept."""
        gains = np.zeros(len(self._places))
        for centres, near, distances in self._chunks():
            added = _worth(self._given(centres, near, distances)) * self._weights[near]
            gains += np.bincount(centres, added, len(gains))
        return gains

    def gain(self, row: int) -> float:
        """Returns what a keyframe adds to those that are kept."""
        near, distances = self._places.around(row, self._reach)
        given = self._given(np.full(len(near), row), near, distances)
        before = self._support[near]
        return float((_worth(before + given) - _worth(before)) @ self._weights[near])

    def add(self, row: int) -> None:
        """Keeps a keyframe."""
        near, distances = self._places.around(row, self._reach)
        self._support[near] += self._given(np.full(len(near), row), near, distances)


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
