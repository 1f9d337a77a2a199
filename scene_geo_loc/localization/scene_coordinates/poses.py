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


"""Poses from scene coordinates: RANSAC over the pixels of all cameras, refined, and their support."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.localization.least_squares import stepped
from scene_geo_loc.localization.pnp import FIT_WIDTH, CameraMatches, refine_pnp
from scene_geo_loc.localization.solvers.robust_pnp import solve_pnp
from scene_geo_loc.localization.uncertainty.covariance import (
    RESIDUALS_ONLY,
    block_count,
    blocks_of,
    pose_covariance,
)

SOFTNESS = 0.5
"""Width of a soft inlier's limit, as a share of the largest error of an inlier."""
SOFT_STEPS = 10


@dataclass(frozen=True)
class SupportedPose:
    """A pose with the pixels that support it.

    Attributes:
        T_map_base: the pose.
        inliers: number of pixels of all cameras whose points agree with it.
        inlier_ratio: share of the pixels that agree; of the camera where most do.
        coverage: share of the image that these lie in, of the same camera.
        covariance: (6, 6) by the residuals, order and axes as in `PoseEstimate`; None where they do not
            determine the pose.
    """

    T_map_base: Pose
    inliers: int
    inlier_ratio: float
    coverage: float
    covariance: NDArray[np.float64] | None


def solve_coordinates(
    matches: Sequence[CameraMatches], max_error_px: float, block_px: float, is_soft: bool = False
) -> SupportedPose | None:
    """Returns the pose that the points of most pixels agree with; None where none is found.

    Args:
        matches: of each camera, ideal pixels and their points in the map.
        max_error_px: largest reprojection error of an inlier.
        block_px: side of the blocks of an image that coverage and covariance count.
        is_soft: whether to refine by `fit_soft_inliers`, instead of by `refine_pnp`.
    """
    pose = solve_pnp(matches, max_error_px)
    if pose is None:
        return None
    refine = fit_soft_inliers if is_soft else refine_pnp
    pose = refine(pose, matches, max_error_px)
    masks = [camera.errors(pose) <= max_error_px for camera in matches]
    best = max(range(len(matches)), key=lambda i: float(masks[i].mean()) if len(masks[i]) else 0.0)
    if not masks[best].any():
        return None
    camera = matches[best].camera
    covered = block_count(matches[best].pixels[masks[best]], block_px)
    near = [camera.where(camera.errors(pose) <= FIT_WIDTH * max_error_px) for camera in matches]
    return SupportedPose(
        pose,
        sum(int(mask.sum()) for mask in masks),
        float(masks[best].mean()),
        covered / blocks_of(camera.width, camera.height, block_px),
        pose_covariance(pose, near, block_px, RESIDUALS_ONLY),
    )


def fit_soft_inliers(T_map_base: Pose, matches: Sequence[CameraMatches], max_error_px: float) -> Pose:
    """Returns the pose nearby with the most soft inliers.

    Their number is the sum over the pixels of sigmoid((t - r) / w), of the reprojection error r, the largest
    error of an inlier t and its softness w (Brachmann and Rother, "Learning less is more", CVPR 2018,
    equation 5).  It is maximised by Gauss-Newton steps whose weights are its derivatives by r squared.
    """
    T, width = T_map_base, SOFTNESS * max_error_px
    for _ in range(SOFT_STEPS):
        near = [camera.where(camera.errors(T) <= FIT_WIDTH * max_error_px) for camera in matches]
        parts = [camera.linearised(T, 1.0) for camera in near if len(camera)]
        if not parts:
            return T_map_base
        residuals, J = (np.concatenate(part, axis=-1) for part in zip(*parts, strict=True))
        errors = np.hypot(*residuals)
        soft = 1 / (1 + np.exp((errors - max_error_px) / width))
        T = stepped(T, residuals, J, soft * (1 - soft) / np.maximum(errors, 0.1 * width))
    return T if np.isfinite(T).all() else T_map_base
