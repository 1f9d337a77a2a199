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

"""Triangulates the depth of a keyframe's features from neighbouring keyframes with known poses.

Depth that a network infers from one image has the scale of the places that it was trained on.  Keyframes
some distance apart give the true scale: a feature lies where its rays meet.  Each neighbour in which a
feature is matched gives an inverse depth, whose error is normally distributed like a pixel's.  Measurements
that agree are averaged, and calibrate the network's depth.  In a simulated street, matches were biased
towards too little motion and depth was about 10 % too large; poses were still as accurate as with lidar.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose, inverse
from scene_geo_loc.mapping.keyframe_depth.keyframe_depth import MAX_DEPTH_ERROR
from scene_geo_loc.matchers.base import Matcher
from scene_geo_loc.matchers.features import LocalFeatures, Matched

NEIGHBOURS = 6
"""Number of nearest keyframes that a keyframe is matched with."""
MAX_TURN_DEG = 30.0
"""Largest angle between the viewing directions of two keyframes that are matched."""
MATCH_SIGMA_PX = 2.0
"""Standard deviation of a match in x and y, in pixels of the network's input: a quarter of a cell.

About the distance of matches from their epipolar lines; half of it gave the same poses.
"""
GATE_SIGMAS = 2.5
"""Two measurements agree if they are at most this many standard deviations apart."""
FIT_ERROR = 0.1
"""Largest relative error of triangulated depth that the network's depth is compared with..."""
FIT_FEATURES = 50
"""...if at least this many features have it."""


class PosedFeatures(NamedTuple):
    """A keyframe's features, its camera at the size of the network's input, and its pose."""

    features: LocalFeatures
    camera: Camera
    T_map_camera: Pose


class InverseDepth(NamedTuple):
    """Inverse depths (..., F) of features and their standard deviations, 1/m; NaN where unknown."""

    value: NDArray[np.float64]
    sigma: NDArray[np.float64]


def neighbours_of(T_map_camera: NDArray[np.float64], k: int) -> NDArray[np.intp]:
    """Returns the keyframes nearest to keyframe `k` that look the same way, nearest first.

    Args:
        T_map_camera: (N, 4, 4) poses of all keyframes.
        k: number of the keyframe.
    """
    away = np.linalg.norm(T_map_camera[:, :3, 3] - T_map_camera[k, :3, 3], axis=1)
    same_way = T_map_camera[:, :3, 2] @ T_map_camera[k, :3, 2] >= np.cos(np.radians(MAX_TURN_DEG))
    found = np.flatnonzero(same_way & (away > 0))
    return found[np.argsort(away[found], kind="stable")][:NEIGHBOURS]


def triangulate(
    keyframe: PosedFeatures, neighbours: Sequence[PosedFeatures], matcher: Matcher
) -> InverseDepth:
    """Returns the inverse depth (F,) of the features of a keyframe on which two or more neighbours agree."""
    measured = [
        parallax(keyframe, neighbour, matcher.match(neighbour.features, keyframe.features))
        for neighbour in neighbours
    ]
    if not measured:
        unknown = np.full(len(keyframe.features.pixels), np.nan)
        return InverseDepth(unknown, unknown)
    return consensus(InverseDepth(*(np.stack(rows) for rows in zip(*measured, strict=True))))


def parallax(keyframe: PosedFeatures, neighbour: PosedFeatures, matched: Matched) -> InverseDepth:
    """Returns the inverse depth (F,) of the features of a keyframe by their matches in one neighbour.

    With the poses known, a match must lie on the epipolar line, and its place on it gives the inverse depth:
    a feature with inverse depth w on the ray r is projected to that of R r + w t.
    """
    camera, rows = neighbour.camera, matched.reference
    focal = np.array([camera.fx, camera.fy])
    T_neighbour_keyframe = inverse(neighbour.T_map_camera) @ keyframe.T_map_camera
    far = keyframe.camera.rays(keyframe.features.pixels[rows]) @ T_neighbour_keyframe[:3, :3].T
    near, seen = T_neighbour_keyframe[:3, 3], camera.rays(matched.query_pixels)[:, :2]
    # In pixels times the depth in the neighbour: the match's offset at w = 0, and its change with w.
    offset = focal * (far[:, :2] - seen * far[:, 2:])
    slope = focal * (near[:2] - seen * near[2])
    with np.errstate(invalid="ignore", divide="ignore"):
        squared = (slope**2).sum(axis=1)
        value = -(offset * slope).sum(axis=1) / squared
        z = far[:, 2] + value * near[2]
        sigma = MATCH_SIGMA_PX * z / np.sqrt(squared)
        error_px = np.linalg.norm(offset + value[:, None] * slope, axis=1) / z
        agrees = (z > 0) & (error_px <= GATE_SIGMAS * MATCH_SIGMA_PX) & (value > -GATE_SIGMAS * sigma)
    measured = InverseDepth(*(np.full(len(keyframe.features.pixels), np.nan) for _ in range(2)))
    measured.value[rows[agrees]], measured.sigma[rows[agrees]] = value[agrees], sigma[agrees]
    return measured


def consensus(measured: InverseDepth) -> InverseDepth:
    """Returns the weighted mean (F,) of the largest set of measurements (M, F) that agree, at least two."""
    value, sigma = measured
    with np.errstate(invalid="ignore"):
        apart = np.abs(value[:, None] - value) / np.hypot(sigma[:, None], sigma)
        agree = apart <= GATE_SIGMAS
        information = np.where(np.isnan(sigma), 0.0, sigma**-2)
    supporters = agree.sum(axis=1)
    support = np.where(agree, information, 0.0).sum(axis=1)
    best = np.lexsort((support, supporters), axis=0)[-1]
    features = np.arange(value.shape[1])
    weights = np.where(agree[best, :, features].T, information, 0.0)
    total = np.where(supporters[best, features] >= 2, weights.sum(axis=0), np.nan)
    return InverseDepth((weights * np.nan_to_num(value)).sum(axis=0) / total, total**-0.5)


class LearnedScale(NamedTuple):
    """Scale of a network's depth against triangulated depth of the same place.

    Attributes:
        factor: corrects the network's depth by multiplication.
        spread: relative standard deviation of the corrected depth.
    """

    factor: float
    spread: float

    @classmethod
    def of(cls, depth: NDArray[np.float64], triangulated: InverseDepth) -> LearnedScale:
        """Returns the scale of depths (..., F) in metres; factor 1 and spread 0 with too few features."""
        with np.errstate(invalid="ignore", divide="ignore"):
            compared = (triangulated.sigma < FIT_ERROR * triangulated.value) & np.isfinite(depth)
            ratio = -np.log(triangulated.value[compared] * depth[compared])
        if len(ratio) < FIT_FEATURES:
            return cls(1.0, 0.0)
        median = np.median(ratio)
        return cls(float(np.exp(median)), float(1.4826 * np.median(np.abs(ratio - median))))


def fuse(
    triangulated: InverseDepth,
    depth: NDArray[np.float64],
    sigma: NDArray[np.float64],
    scale: LearnedScale,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns depth (F,) in metres and its relative error (F,), fused of triangulation and network.

    Where both are known and agree, they are weighted by their information; where they disagree, triangulation
    counts.  Depth with a relative error above `MAX_DEPTH_ERROR` is NaN.

    Args:
        triangulated: (F,) inverse depth.
        depth: (F,) metres inferred by the network, NaN where unknown.
        sigma: (F,) relative error of `depth` as the network estimates it.
        scale: of `depth` against triangulated depth.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = np.maximum(np.maximum(sigma, scale.spread), 1e-3)
        learned = 1 / (depth * scale.factor)
        learned_sigma = relative * learned
        is_learned = np.isfinite(learned) & (relative < MAX_DEPTH_ERROR)
        is_triangulated = np.isfinite(triangulated.value)
        apart = np.abs(triangulated.value - learned) / np.hypot(triangulated.sigma, learned_sigma)
        counts = is_learned & (~is_triangulated | (apart <= GATE_SIGMAS))
        triangulated_information = np.where(is_triangulated, triangulated.sigma**-2, 0.0)
        network_information = np.where(counts, learned_sigma**-2, 0.0)
        total = triangulated_information + network_information
        both = triangulated_information * np.nan_to_num(
            triangulated.value
        ) + network_information * np.nan_to_num(learned, posinf=0.0)
        value = both / total
        error = total**-0.5 / value
        known = (value > 0) & (error < MAX_DEPTH_ERROR)
        return np.where(known, 1 / value, np.nan), np.where(known, error, np.nan)
