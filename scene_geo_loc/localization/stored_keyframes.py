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

"""Keyframes of a map as a query needs them: features as vectors, and their points in the map."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import transform
from scene_geo_loc.localization.pnp import UNKNOWN_DEPTH_M
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.matchers.features import LocalFeatures
from scene_geo_loc.matchers.storage import FeatureStorage

CACHED = 64
"""Number of keyframes that are kept in memory: consecutive images are matched with the same ones."""


class StoredKeyframe(NamedTuple):
    """Features of a keyframe, lifted by their depth (eq. 2).

    Attributes:
        features: the features.
        points_map: (F, 3) metres.  Where the depth is unknown it is 1 m in maps that keep such features, and
            the points of other maps are NaN.
        points_sigma: (F, 3) metres, see `Matches`.
    """

    features: LocalFeatures
    points_map: NDArray[np.float64]
    points_sigma: NDArray[np.float64]


class StoredKeyframes:
    """Reads the keyframes of a map, the last ones of which stay in memory.

    Args:
        cameras: cameras of the map at the size of the network's input.
    """

    def __init__(
        self, reference_map: ReferenceMap, storage: FeatureStorage, cameras: Sequence[Camera]
    ) -> None:
        self._map, self._storage, self._cameras = reference_map, storage, cameras
        self.all_features = lru_cache(CACHED)(lambda k: self._read(k, is_subset=False))
        self.subset = lru_cache(CACHED)(lambda k: self._read(k, is_subset=True))

    def _read(self, k: int, *, is_subset: bool) -> StoredKeyframe:
        """Returns a keyframe with all of its features, or with those that candidates are re-ranked by."""
        rows = self._storage.rerank_rows if is_subset else slice(None)
        features = self._storage.read(self._map.features_of(k), is_subset)
        count, T = len(features.pixels), self._map.T_map_camera[k]
        depth = self._map.depth[k][rows][:count].astype(np.float64)
        without_depth = np.zeros(count, bool)
        if self._map.info.has_rays:
            is_stored = self._map.features["keypoints"][k][rows][:count].any(axis=1)
            without_depth = is_stored & np.isnan(depth)
            depth[without_depth] = 1.0
        lifted = self._cameras[self._map.camera_index[k]].back_project(features.pixels, depth)
        sigma = np.zeros_like(lifted)
        if self._map.depth_sigma is not None:
            relative = self._map.depth_sigma[k][rows][:count].astype(np.float64)
            sigma = (relative[:, None] * lifted) @ T[:3, :3].T
        sigma[without_depth] = UNKNOWN_DEPTH_M * lifted[without_depth] @ T[:3, :3].T
        return StoredKeyframe(features, transform(T, lifted), sigma)
