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

"""RANSAC for a rig: samples of three rays of any of its cameras, many at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.pose import Pose, inverse
from scene_geo_loc.localization.pnp import CameraMatches, refine_to_inliers
from scene_geo_loc.localization.solvers.base import CONFIDENCE, MIN_MATCHES, Effort, RobustPose
from scene_geo_loc.localization.solvers.generalized_p3p import generalized_p3p

BATCH = 100
"""Samples that are solved and scored at once."""

SCREENED = 100
"""Matches that all poses of a batch are scored on; only the best poses are scored on all matches."""

BEST = 5
"""Poses of a batch that are scored on all matches."""


def rig_ransac(matches: Sequence[CameraMatches], max_error_px: float, effort: Effort) -> RobustPose | None:
    """Returns T_map_base by RANSAC with GP3P, truncated squared errors (MSAC) and local optimisation.

    The three rays of a sample may come from one camera or from different ones, so that no camera needs enough
    matches of its own.  The best pose of each batch of samples is refined on its inliers.

    Returns None where no pose has `MIN_MATCHES` inliers.
    """
    seeing = [camera for camera in matches if len(camera)]
    centres, directions = _rays(seeing)
    points = np.concatenate([camera.points_map for camera in seeing])
    rng = np.random.default_rng(0)
    screen = rng.permutation(len(points))[:SCREENED]
    screened = _subset(seeing, screen)
    best, lowest, drawn, needed = None, np.inf, 0, float(effort.max_iterations)
    while drawn < min(max(needed, effort.min_iterations), effort.max_iterations):
        sample = rng.integers(len(points), size=(BATCH, 3))
        drawn += BATCH
        sample = sample[(np.diff(np.sort(sample, axis=1), axis=1) > 0).all(axis=1)]
        poses = generalized_p3p(centres[sample], directions[sample], points[sample])
        if not len(poses):
            continue
        poses = poses[np.argsort(_costs(poses, screened, max_error_px))[:BEST]]
        first = poses[_costs(poses, seeing, max_error_px).argmin()]
        refined = refine_to_inliers(first, seeing, max_error_px)
        pair = np.stack([first, refined])
        costs = _costs(pair, seeing, max_error_px)
        if costs.min() < lowest:
            best, lowest = pair[costs.argmin()], costs.min()
            share = _count(best, seeing, max_error_px) / len(points)
            needed = np.log(1 - CONFIDENCE) / np.log1p(-min(share**3, 1 - 1e-9))
    if best is None:
        return None
    count = _count(best, seeing, max_error_px)
    return RobustPose(best, count) if count >= MIN_MATCHES else None


def _rays(matches: Sequence[CameraMatches]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns origins (M, 3) and unit directions (M, 3) of the rays of all matches, in the base."""
    centres, directions = [], []
    for camera in matches:
        K = camera.camera
        rays = np.ones((len(camera), 3))
        rays[:, :2] = (camera.pixels - (K.cx, K.cy)) / (K.fx, K.fy)
        rays = rays @ camera.T_base_camera[:3, :3].T
        directions.append(rays / np.linalg.norm(rays, axis=1, keepdims=True))
        centres.append(np.tile(camera.T_base_camera[:3, 3], (len(camera), 1)))
    return np.concatenate(centres), np.concatenate(directions)


def _subset(matches: Sequence[CameraMatches], chosen: NDArray[np.intp]) -> list[CameraMatches]:
    """Returns the chosen ones of the matches of all cameras, which are numbered one camera after another."""
    mask = np.zeros(sum(map(len, matches)), bool)
    mask[chosen] = True
    ends = np.cumsum([len(camera) for camera in matches])[:-1]
    parts = zip(matches, np.split(mask, ends), strict=True)
    return [camera.where(part) for camera, part in parts]


def _costs(poses: Pose, matches: Sequence[CameraMatches], max_error_px: float) -> NDArray[np.float64]:
    """Returns the sums (H,) of squared reprojection errors at poses (H, 4, 4), each at most an inlier's."""
    total = np.zeros(len(poses))
    for camera in matches:
        K = camera.camera
        T_camera_map = inverse(poses @ camera.T_base_camera)
        x, y, z = np.moveaxis(T_camera_map[:, :3, :3] @ camera.points_map.T + T_camera_map[:, :3, 3:], 1, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            u, v = K.fx * x / z + K.cx - camera.pixels[:, 0], K.fy * y / z + K.cy - camera.pixels[:, 1]
            squared = np.where(z > 1e-6, u**2 + v**2, np.inf)
        total += np.minimum(squared, max_error_px**2).sum(axis=1)
    return total


def _count(T_map_base: Pose, matches: Sequence[CameraMatches], max_error_px: float) -> int:
    return sum(int((camera.errors(T_map_base) <= max_error_px).sum()) for camera in matches)
