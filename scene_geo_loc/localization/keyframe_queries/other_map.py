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

"""Localizes the keyframes of a map in another map, by the features that the map stores of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from scene_geo_loc.core.progress import ProgressCallback, ignore_progress, tracked
from scene_geo_loc.geometry.pose import position_error_m, rotation_error_deg
from scene_geo_loc.localization.estimate import PoseEstimate, Status
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.stored_keyframes import StoredKeyframes
from scene_geo_loc.mapping.alignment.joint_adjustment import Sighting
from scene_geo_loc.mapping.editing.compatibility import check_same_features
from scene_geo_loc.mapping.reference_map import ReferenceMap

CANDIDATES = 5
"""Number of keyframes that a keyframe is matched with: the most similar ones."""
DEG_A_METRE = 10.0
"""Degrees that count as a metre where the nearest keyframe is looked for."""
LEAST_CONFIDENCE = 0.9
"""Probability of a pose below which the keyframe counts as not found; of matchers that state one."""


def localize_other_map(
    localizer: Localizer,
    other: ReferenceMap,
    keyframes: Sequence[int],
    on_progress: ProgressCallback = ignore_progress,
) -> dict[int, PoseEstimate]:
    """Returns the poses, in the map of a localizer, of those keyframes of another map that are found there.

    No image is needed: both maps have descriptors and features of one network.

    Args:
        localizer: of the map to search in.
        other: the other map, in any frame.
        keyframes: keyframes of it.

    Raises MapError where the two maps have descriptors or features of different networks.
    """
    check_same_features(localizer.map, other)
    size = localizer.extractor.input_size
    stored = StoredKeyframes(
        other, localizer.matcher.storage, [camera.resized(*size) for camera in other.cameras]
    )
    found = {}
    for keyframe in tracked(keyframes, len(keyframes), on_progress):
        best, _ = localizer.map.index.search(other.index.descriptor(keyframe), CANDIDATES)
        features = stored.all_features(keyframe).features
        estimate = localizer.localize_features(
            features, other.camera_of(keyframe), [int(candidate) for candidate in best]
        )
        is_sure = estimate.confidence is None or estimate.confidence >= LEAST_CONFIDENCE
        if estimate.status is Status.LOCALIZED and is_sure:
            found[keyframe] = estimate
    return found


def sightings_of(found: Mapping[int, PoseEstimate], reference_map: ReferenceMap) -> dict[int, Sighting]:
    """Returns where localized keyframes of another map are, with the nearest keyframe of the map."""
    T_map_camera, sightings = np.asarray(reference_map.T_map_camera), {}
    for keyframe, estimate in found.items():
        T, covariance = estimate.T_map_base, estimate.covariance
        if T is None or covariance is None:
            continue
        apart = position_error_m(T_map_camera, T) + rotation_error_deg(T_map_camera, T) / DEG_A_METRE
        sightings[keyframe] = Sighting(int(np.argmin(apart)), T, covariance)
    return sightings
