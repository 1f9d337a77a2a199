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

"""Candidates of several drives: a place may be in the map in another light only.

Images taken in one light look like each other before they look like a place: where a map has a place by day
and other places by night, most keyframes that look like an image by night show other places.  Some candidates
are therefore of other drives than the one that most of them are of.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.mapping.reference_map import ReferenceMap

LARGEST_MAP = 100_000
"""Keyframes of a map up to which the other drives are searched where the whole map gives too few of them."""


class DriveSpread:
    """Chooses candidates of a map so that some are of other drives than the most frequent one.

    Args:
        reference_map: the map; one of a single drive has nothing to choose.
    """

    def __init__(self, reference_map: ReferenceMap) -> None:
        self._map = reference_map
        self._ends = np.cumsum([drive.keyframes for drive in reference_map.info.all_drives])

    def search(
        self,
        descriptor: NDArray[np.float32],
        count: int,
        among: NDArray[np.int64] | None,
        best: int,
        share: float,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Returns keyframes that look like an image, best first, and their cosine similarities.

        Where the most frequent drive among the first takes more than its part, other drives are searched too.

        Args:
            descriptor: (D,) of the image.
            count: number of keyframes.
            among: restricts the search to these keyframes; None: all.
            best: number of the first keyframes that are candidates in the end.
            share: least share of other drives.
        """
        index = self._map.index
        keyframes, cosines = index.search(descriptor, count, among)
        if len(self._ends) < 2 or share == 0 or len(keyframes) == 0 or len(self._map) > LARGEST_MAP:
            return keyframes, cosines
        is_main = self._is_main(keyframes, best)
        wanted = round(share * count)
        if (~is_main).sum() >= wanted or wanted == 0:
            return keyframes, cosines
        rows = np.arange(len(self._map)) if among is None else among
        main = self._drives(keyframes[is_main][:1])[0]
        others = rows[self._drives(rows) != main]
        if not len(others):
            return keyframes, cosines
        more, more_cosines = index.search(descriptor, wanted, others)
        kept = np.flatnonzero(is_main)[: count - len(more)]
        keyframes, cosines = np.append(keyframes[kept], more), np.append(cosines[kept], more_cosines)
        order = np.argsort(-cosines, kind="stable")
        return keyframes[order], cosines[order]

    def choose(self, ranked: NDArray[np.int64], count: int, share: float) -> NDArray[np.intp]:
        """Returns the places (count,) of the candidates among ranked keyframes, best first.

        Args:
            ranked: keyframes, best first.
            count: number of candidates.
            share: least share of other drives than the most frequent one among the first `count`.
        """
        first = np.arange(min(count, len(ranked)))
        wanted = int(share * count)
        if len(self._ends) < 2 or wanted == 0 or len(ranked) <= count:
            return first
        is_main = self._is_main(ranked, count)
        others = np.flatnonzero(~is_main)[: max(wanted, int((~is_main[:count]).sum()))]
        return np.sort(np.append(np.flatnonzero(is_main)[: count - len(others)], others))

    def _drives(self, keyframes: NDArray[np.int64]) -> NDArray[np.intp]:
        return np.searchsorted(self._ends, keyframes, side="right")

    def _is_main(self, keyframes: NDArray[np.int64], first: int) -> NDArray[np.bool_]:
        """Returns which keyframes are of the drive that is the most frequent one among the first."""
        drives = self._drives(keyframes)
        is_main: NDArray[np.bool_] = drives == np.bincount(drives[:first]).argmax()
        return is_main
