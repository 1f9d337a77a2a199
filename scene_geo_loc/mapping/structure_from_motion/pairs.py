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

"""Pairs of images that are matched, and their matches: those that the known poses allow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.lie import skew
from scene_geo_loc.geometry.pose import Pose, inverse
from scene_geo_loc.mapping.structure_from_motion.features import PointFeatures
from scene_geo_loc.visual_words.words import root_sift

MAX_TURN_DEG = 60.0
"""Images whose optical axes differ by more are not matched: SIFT does not match such views."""
DEG_PER_M = 20.0
"""Angle between two images that counts as a distance of one metre when neighbours are chosen."""
MIN_BASELINE_M = 1e-3
"""Two images nearer to each other give no depth."""
MAX_RATIO = 0.8
"""Largest distance of a match as a multiple of that of the second nearest feature (Lowe, IJCV 2004)."""


def neighbour_pairs(T_map_camera: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """Returns pairs (P, 2) of images, the smaller number first, each image with its nearest ones.

    Args:
        T_map_camera: (N, 4, 4) poses.
        count: number of neighbours of each image.
    """
    pairs = set()
    axes, positions = T_map_camera[:, :3, 2], T_map_camera[:, :3, 3]
    for i, (axis, position) in enumerate(zip(axes, positions, strict=True)):
        turn_deg = np.degrees(np.arccos(np.clip(axes @ axis, -1, 1)))
        distance_m = np.linalg.norm(positions - position, axis=1)
        apart = distance_m + turn_deg / DEG_PER_M
        apart[(turn_deg > MAX_TURN_DEG) | (distance_m < MIN_BASELINE_M)] = np.inf
        for j in np.argsort(apart, kind="stable")[:count]:
            if np.isfinite(apart[j]):
                pairs.add((min(i, int(j)), max(i, int(j))))
    return np.array(sorted(pairs), np.intp).reshape(-1, 2)


def similarity_matches(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.intp]:
    """Returns the matches (M, 2) of unit descriptors (N, D) and (N', D): mutual, and by the ratio test."""
    if len(first) < 2 or len(second) < 2:
        return np.zeros((0, 2), np.intp)
    cosines = first @ second.T
    nearest = cosines.argmax(axis=1)
    rows = np.arange(len(first))
    best = cosines[rows, nearest]
    cosines[rows, nearest] = -1.0
    kept = np.flatnonzero(1 - best < MAX_RATIO**2 * (1 - cosines.max(axis=1)))
    cosines[rows, nearest] = best
    # Only of those that are left: a search along all columns takes longer than the rest.
    kept = kept[cosines[:, nearest[kept]].argmax(axis=0) == kept]
    return np.stack([kept, nearest[kept]], axis=1)


def epipolar_matches(
    features: tuple[PointFeatures, PointFeatures],
    cameras: tuple[Camera, Camera],
    T_map_camera: tuple[Pose, Pose],
    max_error_px: float,
) -> NDArray[np.intp]:
    """Returns the matches (M, 2) of two images that agree with the epipolar geometry of their poses.

    The error is Sampson's distance (Hartley and Zisserman, Multiple View Geometry, equation 11.9).
    """
    matches = similarity_matches(*(root_sift(image.histograms) for image in features))
    if len(matches) == 0:
        return matches
    T_second_first = inverse(T_map_camera[1]) @ T_map_camera[0]
    essential = skew(T_second_first[None, :3, 3])[0] @ T_second_first[:3, :3]
    fundamental = np.linalg.inv(cameras[1].K).T @ essential @ np.linalg.inv(cameras[0].K)
    first, second = (
        np.hstack([image.pixels[rows].astype(np.float64), np.ones((len(rows), 1))])
        for image, rows in zip(features, matches.T, strict=True)
    )
    lines, lines_back = first @ fundamental.T, second @ fundamental
    squared = (second * lines).sum(axis=1) ** 2 / np.maximum(
        (lines[:, :2] ** 2).sum(axis=1) + (lines_back[:, :2] ** 2).sum(axis=1), 1e-20
    )
    return matches[squared <= max_error_px**2]
