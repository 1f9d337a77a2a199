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

"""Measurements of a map by localizing its own keyframes, when it is built.

Keyframes are localized by the features that the map keeps of them, from other keyframes:

* From their neighbours.  Their poses differ from those of the map by the error of localization, which its
  covariance states, and by the errors of poses and depth in the map, which the residuals of a single image do
  not show.  A pose in the map cannot be better than these.
* From keyframes elsewhere, the most similar ones.  A pose that is accepted there is wrong: the map has places
  that look alike, and poses in it need more confidence than such a pose has.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.lie import difference
from scene_geo_loc.geometry.pose import position_error_m, rotation_error_deg
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.uncertainty.covariance import BEST_MAP_STD
from scene_geo_loc.localization.uncertainty.geo_tag_errors import GeoTagErrors
from scene_geo_loc.mapping.map_info import LookAlikes, MapAccuracy
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.matchers.pair_network import PairNetworkMatcher
from scene_geo_loc.matchers.storage import KeypointStorage
from scene_geo_loc.networks.runtime.extractor import Extractor, evenly_spread

ASKED = 40
"""Most keyframes that are localized, of either kind."""
MIN_LOCALIZED = 20
"""Fewest localized keyframes that an accuracy is taken from."""
CANDIDATES = 5
"""Number of keyframes that a keyframe is matched with."""
DEG_PER_M = 10.0
"""Angle between two keyframes that counts as a distance of one metre when neighbours are chosen."""
ELSEWHERE_M, ELSEWHERE_DEG = 25.0, 70.0
"""Keyframes farther apart, or turned by more, are elsewhere."""
HELD, CHI2_HELD = 90, 6.25
"""Share of the keyframes, in per cent, that the ellipsoids are to hold, and that quantile of chi-squared with
three degrees of freedom.  The rest may be wrong poses."""
STEP, STEPS = 1.1, 60
"""Ratio of the standard deviations that are tried, and their number."""


def measure_map(
    reference_map: ReferenceMap, extractor: Extractor | None = None
) -> tuple[MapAccuracy | None, LookAlikes | None]:
    """Returns how well the keyframes of a map agree, and how alike its places look.

    Returns None for what too few keyframes tell, and for features that cannot be matched with each other as
    they are stored, or only slowly, by a network pair by pair.

    Args:
        extractor: of the map's network; it is not run.  None: it is opened from the map.
    """
    localizer = Localizer(reference_map, extractor=extractor, device="cpu")
    is_fast = not isinstance(localizer.matcher, PairNetworkMatcher)
    if not is_fast or not isinstance(localizer.matcher.storage, KeypointStorage):
        return None, None
    return _accuracy(localizer), _look_alikes(localizer)


def _accuracy(localizer: Localizer) -> MapAccuracy | None:
    T_map_camera = localizer.map.T_map_camera
    geo_tags = GeoTagErrors(localizer.map)
    errors, covariances = [], []
    for keyframe in evenly_spread(len(localizer.map), ASKED):
        neighbours = _neighbours(localizer.map, keyframe)
        if not neighbours:
            continue
        estimate = localizer.localize_keyframe(keyframe, neighbours)
        if estimate.covariance is not None and estimate.T_map_base is not None:
            errors.append(difference(T_map_camera[keyframe], estimate.T_map_base))
            covariances.append(estimate.covariance + geo_tags.of(keyframe))
    if len(errors) < MIN_LOCALIZED:
        return None
    return accuracy_of(np.array(errors), np.array(covariances))


def accuracy_of(errors: NDArray[np.float64], covariances: NDArray[np.float64]) -> MapAccuracy:
    """Returns the accuracy of a map from the errors of poses in it and their covariances.

    Args:
        errors: (N, 6), see `difference`.
        covariances: (N, 6, 6) by the residuals.
    """
    stds = [
        _missing_std(errors[:, part], covariances[:, part, part], least)
        for part, least in ((slice(3), BEST_MAP_STD[0]), (slice(3, 6), BEST_MAP_STD[3]))
    ]
    return MapAccuracy(
        position_std_m=stds[0], rotation_std_deg=float(np.degrees(stds[1])), keyframes=len(errors)
    )


def _look_alikes(localizer: Localizer) -> LookAlikes | None:
    wrong: list[float] = []
    asked = 0
    T_map_camera = localizer.map.T_map_camera
    for keyframe, candidates in _pairs_elsewhere(localizer.map):
        asked += 1
        estimate = localizer.localize_keyframe(keyframe, candidates)
        T = estimate.T_map_base
        if estimate.covariance is None or T is None or _is_right(T, T_map_camera, keyframe, candidates):
            continue
        wrong.append(estimate.confidence or 0.0)
    return LookAlikes(asked=asked, found=len(wrong), confidence=max(wrong, default=0.0)) if asked else None


def _neighbours(reference_map: ReferenceMap, keyframe: int) -> list[int]:
    """Returns the keyframes with the most similar poses, nearest first.

    Those with the keyframe's own geo-tag are left out, as they share its error: the other views of a
    panorama agree with it, wherever it says that it is.
    """
    distance_m, angle_deg = _apart(reference_map.T_map_camera, keyframe)
    apart = distance_m + angle_deg / DEG_PER_M
    own = reference_map.tag_number == reference_map.tag_number[keyframe]
    return [int(k) for k in np.argsort(apart) if not own[k]][:CANDIDATES]


def _pairs_elsewhere(reference_map: ReferenceMap) -> Iterator[tuple[int, list[int]]]:
    """Yields keyframes, each with the most similar ones elsewhere."""
    index, T_map_camera = reference_map.index, reference_map.T_map_camera
    for keyframe in evenly_spread(len(reference_map), ASKED):
        distance_m, angle_deg = _apart(T_map_camera, keyframe)
        elsewhere = np.flatnonzero((distance_m > ELSEWHERE_M) | (angle_deg > ELSEWHERE_DEG))
        if len(elsewhere) == 0:
            continue
        best, _ = index.search(index.descriptor(keyframe), CANDIDATES, elsewhere)
        if len(best):
            yield keyframe, [int(k) for k in best]


def _is_right(
    T: NDArray[np.float64], T_map_camera: NDArray[np.float64], keyframe: int, candidates: list[int]
) -> bool:
    """Returns whether a pose from keyframes elsewhere is nearer to the true one than to theirs.

    It is where they show the same things from afar.
    """

    def apart(other: int) -> float:
        return float(
            position_error_m(T_map_camera[other], T) + rotation_error_deg(T_map_camera[other], T) / DEG_PER_M
        )

    return apart(keyframe) < min(apart(candidate) for candidate in candidates)


def _apart(
    T_map_camera: NDArray[np.float64], keyframe: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns distances (N,) in metres and angles (N,) in degrees of all keyframes from one."""
    T = T_map_camera[keyframe]
    distance_m = np.linalg.norm(T_map_camera[:, :3, 3] - T[:3, 3], axis=1)
    cosine = (np.einsum("nij,ij->n", T_map_camera[:, :3, :3], T[:3, :3]) - 1) / 2
    return distance_m, np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def _missing_std(errors: NDArray[np.float64], covariances: NDArray[np.float64], least: float) -> float:
    """Returns the standard deviation that errors (N, 3) have beyond their covariances (N, 3, 3).

    It is the least one, from `least` on, with which the ellipsoids hold the errors of `HELD` per cent.
    """
    for std in least * STEP ** np.arange(STEPS):
        whole = covariances + std**2 * np.eye(3)
        squared = np.einsum("ni,ni->n", errors, np.linalg.solve(whole, errors[:, :, None])[:, :, 0])
        if np.percentile(squared, HELD) <= CHI2_HELD:
            break
    return float(std)
