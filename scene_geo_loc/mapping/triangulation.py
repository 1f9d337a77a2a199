"""Depth of a keyframe's features from the neighbouring keyframes that show them: all poses are known.

Depth that a network infers from one image has the scale of the places that it learned from.  Keyframes a way
apart tell the place's own: a feature lies where its rays meet.  Each neighbour in which a feature is matched
gives an inverse depth, whose error is normal as a pixel's is; those that agree count together, and tell how
far what the network infers can be believed.  Of a simulated street, matches stay behind a little, and depth
came out about 10 % too far; poses came out as good as with lidar all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose, inverse
from scene_geo_loc.mapping.keyframe_depth import MAX_DEPTH_ERROR
from scene_geo_loc.matchers.base import LocalFeatures, Matched, Matcher

NEIGHBOURS = 6
"""Keyframes that a keyframe is matched with, the nearest."""
MAX_TURN_DEG = 30.0
"""They look the same way but for so much."""
MATCH_SIGMA_PX = 2.0
"""Standard deviation of a match along either side, in pixels of the network's input: a quarter of a cell.

About as far as matches lie from the images of their rays; with half of it poses came out alike.
"""
GATE_SIGMAS = 2.5
"""Measurements agree that are no more of their standard deviations apart."""
FIT_ERROR = 0.1
"""What is known to this part of itself tells how far the network's depth can be believed..."""
FIT_FEATURES = 50
"""...where there are so many of it."""


class PosedFeatures(NamedTuple):
    """A keyframe's features, where it is, and its camera at the size of the network's input."""

    features: LocalFeatures
    camera: Camera
    T_map_camera: Pose


class InverseDepth(NamedTuple):
    """Inverse depths (..., F) of features and their standard deviations, 1/m; NaN where unknown."""

    value: NDArray[np.float64]
    sigma: NDArray[np.float64]


def neighbours_of(T_map_camera: NDArray[np.float64], k: int) -> NDArray[np.intp]:
    """The keyframes nearest to keyframe `k` that look the same way; `T_map_camera` is (N, 4, 4)."""
    away = np.linalg.norm(T_map_camera[:, :3, 3] - T_map_camera[k, :3, 3], axis=1)
    same_way = T_map_camera[:, :3, 2] @ T_map_camera[k, :3, 2] >= np.cos(np.radians(MAX_TURN_DEG))
    found = np.flatnonzero(same_way & (away > 0))
    return found[np.argsort(away[found], kind="stable")][:NEIGHBOURS]


def triangulate(one: PosedFeatures, others: Sequence[PosedFeatures], matcher: Matcher) -> InverseDepth:
    """Inverse depth (F,) of a keyframe's features that two or more of its neighbours agree on."""
    found = [parallax(one, other, matcher.match(other.features, one.features)) for other in others]
    if not found:
        nothing = np.full(len(one.features.pixels), np.nan)
        return InverseDepth(nothing, nothing)
    return consensus(InverseDepth(*(np.stack(rows) for rows in zip(*found, strict=True))))


def parallax(one: PosedFeatures, other: PosedFeatures, matched: Matched) -> InverseDepth:
    """Inverse depth (F,) of a keyframe's features by their matches in another one.

    With the pose known, the match must lie on the ray's image, and its place along it is the inverse depth:
    a feature at inverse depth w on the ray r projects as R r + w t does.
    """
    camera, rows = other.camera, matched.reference
    focal = np.array([camera.fx, camera.fy])
    T_other_one = inverse(other.T_map_camera) @ one.T_map_camera
    far = one.camera.rays(one.features.pixels[rows]) @ T_other_one[:3, :3].T
    near, seen = T_other_one[:3, 3], camera.rays(matched.query_pixels)[:, :2]
    # In pixels, times the depth in the other camera: what the match is off by with w = 0, and what w adds.
    off = focal * (far[:, :2] - seen * far[:, 2:])
    along = focal * (near[:2] - seen * near[2])
    with np.errstate(invalid="ignore", divide="ignore"):
        squared = (along**2).sum(axis=1)
        value = -(off * along).sum(axis=1) / squared
        z = far[:, 2] + value * near[2]
        sigma = MATCH_SIGMA_PX * z / np.sqrt(squared)
        error_px = np.linalg.norm(off + value[:, None] * along, axis=1) / z
        agrees = (z > 0) & (error_px <= GATE_SIGMAS * MATCH_SIGMA_PX) & (value > -GATE_SIGMAS * sigma)
    found = InverseDepth(*(np.full(len(one.features.pixels), np.nan) for _ in range(2)))
    found.value[rows[agrees]], found.sigma[rows[agrees]] = value[agrees], sigma[agrees]
    return found


def consensus(found: InverseDepth) -> InverseDepth:
    """The weighed mean (F,) of what most of the measurements (M, F) of a feature agree on, two at least."""
    value, sigma = found
    with np.errstate(invalid="ignore"):
        apart = np.abs(value[:, None] - value) / np.hypot(sigma[:, None], sigma)
        agree = apart <= GATE_SIGMAS
        information = np.where(np.isnan(sigma), 0.0, sigma**-2)
    supporters = agree.sum(axis=1)
    told = np.where(agree, information, 0.0).sum(axis=1)
    best = np.lexsort((told, supporters), axis=0)[-1]
    features = np.arange(value.shape[1])
    weights = np.where(agree[best, :, features].T, information, 0.0)
    total = np.where(supporters[best, features] >= 2, weights.sum(axis=0), np.nan)
    return InverseDepth((weights * np.nan_to_num(value)).sum(axis=0) / total, total**-0.5)


class LearnedScale(NamedTuple):
    """How a network's depth compares with what is triangulated in a place.

    Attributes:
        factor: what its depth is to be multiplied by.
        spread: its standard deviation then, as a part of it.
    """

    factor: float
    spread: float

    @classmethod
    def of(cls, depth: NDArray[np.float64], triangulated: InverseDepth) -> LearnedScale:
        """That of depths (..., F) in metres; 1 and no spread where there is too little to compare with."""
        with np.errstate(invalid="ignore", divide="ignore"):
            sure = (triangulated.sigma < FIT_ERROR * triangulated.value) & np.isfinite(depth)
            ratio = -np.log(triangulated.value[sure] * depth[sure])
        if len(ratio) < FIT_FEATURES:
            return cls(1.0, 0.0)
        median = np.median(ratio)
        return cls(float(np.exp(median)), float(1.4826 * np.median(np.abs(ratio - median))))


def fused(
    triangulated: InverseDepth,
    depth: NDArray[np.float64],
    sigma: NDArray[np.float64],
    scale: LearnedScale,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Depth (F,) in metres and its error as a part of it, of what was triangulated and what was inferred.

    Where both are known and agree they are weighed by their errors; where they do not, what was triangulated
    counts.  What is then uncertain by more than `MAX_DEPTH_ERROR` of itself is NaN.

    Args:
        triangulated: (F,).
        depth: (F,) metres as the network infers it, NaN where unknown.
        sigma: (F,) its error as a part of it, as the network says.
        scale: how it compares with what is triangulated.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.maximum(np.maximum(sigma, scale.spread), 1e-3)
        learned = 1 / (depth * scale.factor)
        learned_sigma = part * learned
        is_learned = np.isfinite(learned) & (part < MAX_DEPTH_ERROR)
        is_seen = np.isfinite(triangulated.value)
        apart = np.abs(triangulated.value - learned) / np.hypot(triangulated.sigma, learned_sigma)
        counts = is_learned & (~is_seen | (apart <= GATE_SIGMAS))
        by_sight = np.where(is_seen, triangulated.sigma**-2, 0.0)
        by_network = np.where(counts, learned_sigma**-2, 0.0)
        total = by_sight + by_network
        both = by_sight * np.nan_to_num(triangulated.value) + by_network * np.nan_to_num(learned, posinf=0.0)
        value = both / total
        error = total**-0.5 / value
        known = (value > 0) & (error < MAX_DEPTH_ERROR)
        return np.where(known, 1 / value, np.nan), np.where(known, error, np.nan)
