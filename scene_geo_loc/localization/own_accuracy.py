"""How well the keyframes of a map agree with each other, which a pose in it cannot be better than.

Keyframes are localized by the features that the map keeps of them, from the other keyframes.  Their poses
differ from those of the map by the error of localization, which its covariance states, and by the errors of
poses and depth in the map, which the residuals of a single image do not show.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.lie import difference
from scene_geo_loc.localization.covariance import BEST_MAP_STD
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.mapping.map_info import MapAccuracy
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.matchers.pair_network import PairNetworkMatcher
from scene_geo_loc.matchers.storage import KeypointStorage
from scene_geo_loc.networks.runtime.extractor import Extractor, evenly_spread

ASKED = 40
"""Most keyframes that are localized."""
MIN_LOCALIZED = 20
"""Fewest localized keyframes that an accuracy is taken from."""
NEIGHBOURS = 5
"""Number of keyframes that a keyframe is matched with."""
DEG_PER_M = 10.0
"""Angle between two keyframes that counts as a distance of one metre when neighbours are chosen."""
HELD, CHI2_HELD = 90, 6.25
"""Share of the keyframes, in per cent, that the ellipsoids are to hold, and that quantile of chi-squared with
three degrees of freedom.  The rest may be wrong poses."""
STEP, STEPS = 1.1, 60
"""Ratio of the standard deviations that are tried, and their number."""


def measure_accuracy(reference_map: ReferenceMap, extractor: Extractor) -> MapAccuracy | None:
    """Returns how well the keyframes of a map agree, or None where too few of them are localized.

    Returns None also for features that only describe keyframes, or that a network matches pair by pair.

    Args:
        extractor: of the map's network; it is not run.
    """
    localizer = Localizer(reference_map, extractor=extractor, device="cpu")
    is_fast = not isinstance(localizer.matcher, PairNetworkMatcher)
    if not is_fast or not isinstance(localizer.matcher.storage, KeypointStorage):
        return None
    errors, covariances = [], []
    for error, covariance in _answers(localizer):
        errors.append(error)
        covariances.append(covariance)
    if len(errors) < MIN_LOCALIZED:
        return None
    stds = [
        _missing_std(np.array(errors)[:, part], np.array(covariances)[:, part, part], least)
        for part, least in ((slice(3), BEST_MAP_STD[0]), (slice(3, 6), BEST_MAP_STD[3]))
    ]
    return MapAccuracy(
        position_std_m=stds[0], rotation_std_deg=float(np.degrees(stds[1])), keyframes=len(errors)
    )


def _answers(localizer: Localizer) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Yields error (6,) and covariance (6, 6), without the map's, of the keyframes that are localized."""
    T_map_camera = localizer.map.T_map_camera
    for keyframe in evenly_spread(len(localizer.map), ASKED):
        estimate = localizer.localize_keyframe(keyframe, _neighbours(T_map_camera, keyframe))
        if estimate.covariance is not None and estimate.T_map_base is not None:
            yield difference(T_map_camera[keyframe], estimate.T_map_base), estimate.covariance


def _neighbours(T_map_camera: NDArray[np.float64], keyframe: int) -> list[int]:
    """Returns the keyframes with the most similar poses, nearest first, without the keyframe itself."""
    T = T_map_camera[keyframe]
    distance_m = np.linalg.norm(T_map_camera[:, :3, 3] - T[:3, 3], axis=1)
    cosine = (np.einsum("nij,ij->n", T_map_camera[:, :3, :3], T[:3, :3]) - 1) / 2
    distance_m += np.degrees(np.arccos(np.clip(cosine, -1, 1))) / DEG_PER_M
    distance_m[keyframe] = np.inf
    return [int(k) for k in np.argsort(distance_m)[:NEIGHBOURS] if k != keyframe]


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
