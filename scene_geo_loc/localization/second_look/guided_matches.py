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

"""Matches of an image's features with those of the map that a pose has near to them.

At night few features are nearest neighbours of their own among all of a keyframe's, and many more among those
that a roughly known pose has within a few pixels.  By chance the matches of a wrong pose are spread evenly
over the reach; those of a right one are mostly inliers.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.pose import Pose, inverse, transform
from scene_geo_loc.localization.estimate import Matches
from scene_geo_loc.localization.query import QueryMatches
from scene_geo_loc.localization.stored_keyframes import StoredKeyframe
from scene_geo_loc.matchers.features import LocalFeatures


def guided_matches(
    query: QueryMatches,
    features: LocalFeatures,
    keyframes: Mapping[int, StoredKeyframe],
    T_map_base: Pose,
    reach_px: float,
    min_similarity: float,
) -> Matches:
    """Returns the mutual nearest neighbours, by cosine, among features that a pose has near each other.

    Args:
        query: the image.
        features: its features, in pixels of the network's input for it.
        keyframes: features of keyframes by their number.
        T_map_base: pose of the base.
        reach_px: largest distance of a feature from where the pose has the keyframe's.
        min_similarity: least cosine of a match.
    """
    T_camera_map = inverse(T_map_base @ query.T_base_camera)
    found = [Matches.none()]
    for keyframe, stored in keyframes.items():
        points = transform(T_camera_map, stored.points_map)
        in_front = np.flatnonzero(points[:, 2] > 0)
        pixels = query.camera.project(points[in_front])
        near, in_query = _near_pairs(pixels, features.pixels, reach_px)
        rows = in_front[near]
        similarity = np.einsum("pc,pc->p", stored.features.descriptors[rows], features.descriptors[in_query])
        best = _are_mutual_best(rows, in_query, similarity) & (similarity >= min_similarity)
        rows, in_query = rows[best], in_query[best]
        found.append(
            Matches(
                query_pixels=features.pixels[in_query],
                keyframe=np.full(len(rows), keyframe),
                keyframe_pixels=stored.features.pixels[rows],
                points_map=stored.points_map[rows],
                points_sigma=stored.points_sigma[rows],
                inlier=np.zeros(len(rows), bool),
            )
        )
    return Matches.concatenate(found)


def _near_pairs(
    a: NDArray[np.float64], b: NDArray[np.float64], reach: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Returns the rows of points (N, 2) and of others (M, 2) that are within a distance of each other."""
    (ax, ay), (bx, by) = np.ascontiguousarray(a.T), np.ascontiguousarray(b.T)
    order = np.argsort(bx)
    bx, by = bx[order], by[order]
    first = np.searchsorted(bx, ax - reach)
    count = np.searchsorted(bx, ax + reach, side="right") - first
    of_a = np.repeat(np.arange(len(a)), count)
    of_b = np.arange(len(of_a)) + np.repeat(first - (np.cumsum(count) - count), count)
    is_near = (ax[of_a] - bx[of_b]) ** 2 + (ay[of_a] - by[of_b]) ** 2 <= reach**2
    return of_a[is_near], order[of_b[is_near]]


def _are_mutual_best(
    rows: NDArray[np.intp], columns: NDArray[np.intp], similarity: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Returns which pairs of a row and a column (P,) are the most similar ones of both."""
    is_best = np.ones(len(similarity), bool)
    for side in (rows, columns):
        greatest = np.full(side.max(initial=-1) + 1, -np.inf, np.float32)
        np.maximum.at(greatest, side, similarity)
        is_best &= similarity == greatest[side]
    return is_best
