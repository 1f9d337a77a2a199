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

"""Prioritised matching of features with points in the manner of Active Search.

Sattler, Leibe and Kobbelt, Efficient & Effective Prioritized Matching for Large-Scale Image-Based
Localization, TPAMI 2017.  Features are matched with the points of their visual word, those of words with few
points first, until enough are found.  Then points that were seen together with those are matched with all
features of the image, which finds the matches that the words have separated.

Unlike the paper, which takes the points nearest in space, the second step takes those of the keyframes that
saw most of the matched points, and matches them all at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.mapping.structure_from_motion.point_map import PointMap
from scene_geo_loc.visual_words.words import root_sift

ENOUGH = 100
"""Matches after which the search by words ends, as in the paper."""
MAX_RATIO, MAX_RATIO_BACK = 0.7, 0.7
"""Largest distance of a match as a multiple of that of the second nearest, of points and of features.

The paper has 0.6 for the second, where points are compared with the features of a coarse word only.
"""
KEYFRAMES_BACK = 8
"""Keyframes whose points are matched with all features."""
MOST_BACK = 2500
"""Largest number of points that are matched with all features, those that most of these keyframes saw."""


class PointMatches(NamedTuple):
    """Matches of features of an image with points of the map; each feature and each point occurs once.

    Attributes:
        features: (M,) numbers of the features.
        points: (M,) numbers of the points.
    """

    features: NDArray[np.int64]
    points: NDArray[np.int64]


class ActiveSearch:
    """Matches the features of images with the points of a map."""

    def __init__(self, point_map: PointMap, keyframes: int) -> None:
        """Prepares the search in a map with a number of keyframes."""
        self._map, self._keyframes = point_map, keyframes
        self._point_of_seen = np.repeat(np.arange(len(point_map)), np.diff(point_map.first_seen))
        self._costs = np.diff(point_map.first_entry)
        # Made now, not by the first query.
        self._entries, self._first_of_point = point_map.entry_of_point

    def search(self, histograms: NDArray[np.uint8], allowed: NDArray[np.bool_] | None = None) -> PointMatches:
        """Returns the matches of an image's SIFT histograms (N, 128).

        Args:
            histograms: of the features.
            allowed: (P,) points that are searched; None: all.
        """
        if len(histograms) < 2:
            return PointMatches(np.zeros(0, np.int64), np.zeros(0, np.int64))
        descriptors = root_sift(histograms)
        by_words = self._by_words(descriptors, allowed)
        if len(by_words.points) == 0:
            return by_words
        return self._back(descriptors, by_words, allowed)

    def visible_from(self, keyframes: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Returns the points (P,) that any of some keyframes (K,) saw."""
        visible = np.zeros(len(self._map), bool)
        visible[self._point_of_seen[keyframes[self._map.seen_by]]] = True
        return visible

    def votes(self, points: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns how many of some points each keyframe (K,) saw."""
        return np.bincount(self._map.seen_by[self._rows_of(points)[0]], minlength=self._keyframes)

    def keyframes_of(self, points: NDArray[np.int64], votes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns the keyframe (M,) with most votes (K,) that saw each of some points (M,)."""
        rows, owner = self._rows_of(points)
        seen_by = self._map.seen_by[rows]
        # Of each point the last row is the one with most votes.
        order = np.lexsort((-seen_by, votes[seen_by], owner))
        chosen = np.zeros(len(points), np.int64)
        chosen[owner[order]] = seen_by[order]
        return chosen

    def _rows_of(self, points: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns the rows of `seen_by` of some points, and the place of each row's point among them."""
        return _ranges(self._map.first_seen[points], self._map.first_seen[points + 1])

    def _by_words(self, descriptors: NDArray[np.float32], allowed: NDArray[np.bool_] | None) -> PointMatches:
        words = self._map.words.nearest(descriptors)
        order = np.argsort(words, kind="stable")
        shown, first = np.unique(words[order], return_index=True)
        features_of = np.split(order, first[1:])
        best: dict[int, tuple[float, int]] = {}
        for place in np.argsort(self._costs[shown], kind="stable"):
            entries = slice(*self._map.first_entry[shown[place] : shown[place] + 2])
            points, histograms = self._map.entry_point[entries], self._map.descriptors[entries]
            if allowed is not None:
                points, histograms = points[allowed[points]], histograms[allowed[points]]
            if len(points) < 2:
                continue
            features = features_of[place]
            cosines = descriptors[features] @ root_sift(histograms).T
            rows, nearest = np.arange(len(features)), cosines.argmax(axis=1)
            similarity = cosines[rows, nearest]
            cosines[rows, nearest] = -1.0
            for row in np.flatnonzero(1 - similarity < MAX_RATIO**2 * (1 - cosines.max(axis=1))):
                point = int(points[nearest[row]])
                if similarity[row] > best.get(point, (-1.0, 0))[0]:
                    best[point] = float(similarity[row]), int(features[row])
            if len(best) >= ENOUGH:
                break
        found = np.array([(feature, point) for point, (_, feature) in best.items()], np.int64).reshape(-1, 2)
        return PointMatches(found[:, 0], found[:, 1])

    def _back(
        self, descriptors: NDArray[np.float32], found: PointMatches, allowed: NDArray[np.bool_] | None
    ) -> PointMatches:
        """Returns the matches with those added of points seen together with the matched ones."""
        votes = self.votes(found.points)
        keyframes = np.zeros(self._keyframes, bool)
        keyframes[np.argsort(-votes, kind="stable")[:KEYFRAMES_BACK]] = True
        seen = np.bincount(self._point_of_seen[keyframes[self._map.seen_by]], minlength=len(self._map))
        seen[found.points] = 0
        if allowed is not None:
            seen[~allowed] = 0
        points = np.argsort(-seen, kind="stable")[: min(MOST_BACK, int((seen > 0).sum()))]
        if len(points) == 0:
            return found
        rows, owner = _ranges(self._first_of_point[points], self._first_of_point[points + 1])
        cosines = root_sift(self._map.descriptors[self._entries[rows]]) @ descriptors.T
        numbers, nearest = np.arange(len(rows)), cosines.argmax(axis=1)
        similarity = cosines[numbers, nearest]
        cosines[numbers, nearest] = -1.0
        kept = np.flatnonzero(1 - similarity < MAX_RATIO_BACK**2 * (1 - cosines.max(axis=1)))
        cosines[numbers, nearest] = similarity
        # Only of those that are left: a search along the columns of them all takes longer than the rest.
        kept = kept[cosines[:, nearest[kept]].argmax(axis=0) == kept]
        kept = kept[~np.isin(nearest[kept], found.features)]
        # A point has several descriptors; the most similar one counts.
        kept = kept[np.argsort(-similarity[kept], kind="stable")]
        kept = kept[np.unique(owner[kept], return_index=True)[1]]
        return PointMatches(
            np.concatenate([found.features, nearest[kept]]),
            np.concatenate([found.points, points[owner[kept]]]),
        )


def _ranges(
    starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the numbers in all ranges, one after the other, and the range of each."""
    lengths = ends - starts
    owner = np.repeat(np.arange(len(starts)), lengths)
    offset = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return starts[owner] + offset, owner
