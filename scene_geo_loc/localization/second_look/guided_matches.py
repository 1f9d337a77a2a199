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
from scene_geo_loc.matchers.features import LocalFeatures, mutual_nearest


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
        in_front = np.flatnonzero(transform(T_camera_map, stored.points_map)[:, 2] > 0)
        pixels = query.camera.project(transform(T_camera_map, stored.points_map[in_front]))
        similarity = stored.features.descriptors[in_front] @ features.descriptors.T
        is_near = _squared_distances(pixels, features.pixels) <= reach_px**2
        in_keyframe, in_query = mutual_nearest(np.where(is_near, similarity, -np.inf))
        similar = similarity[in_keyframe, in_query] >= min_similarity
        similar &= is_near[in_keyframe, in_query]
        rows, in_query = in_front[in_keyframe[similar]], in_query[similar]
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


def _squared_distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the squared distances (N, M) of points (N, 2) from others (M, 2)."""
    squared: NDArray[np.float64] = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return squared
