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

"""Pose of one or several cameras from matches of which many may be wrong, by the solver of this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose, inverse
from scene_geo_loc.localization.pnp import CameraMatches
from scene_geo_loc.localization.solvers.base import MIN_MATCHES, Effort, PnpSolver
from scene_geo_loc.localization.solvers.opencv_solver import OpenCvSolver

FULL_SEARCH = Effort(max_iterations=1000, min_iterations=100, is_precise=True)
"""Search for a query's pose; 1000 iterations as in the paper."""

FIRST_SEARCH = Effort(max_iterations=1000, min_iterations=50, is_precise=False)
"""Search for a first pose, which is fitted to other matches afterwards."""

SHORT_SEARCH = Effort(max_iterations=100, min_iterations=50, is_precise=False)
"""Search that re-ranks a candidate."""

RANSAC_MATCHES = 1000
"""Largest number of matches of all cameras in RANSAC, evenly sampled; the final fit uses all matches."""


@cache
def pnp_solver() -> PnpSolver:
    """Returns the solver of this machine: PoseLib where it is installed, else OpenCV's."""
    try:
        from scene_geo_loc.localization.solvers.poselib_solver import PoseLibSolver
    except ImportError:  # no wheel for every machine
        return OpenCvSolver()
    return PoseLibSolver()


def solve_pnp(
    matches: Sequence[CameraMatches],
    max_error_px: float,
    solver: PnpSolver | None = None,
    effort: Effort = FULL_SEARCH,
) -> Pose | None:
    """Returns T_map_base by RANSAC over the matches of all cameras.

    Where several cameras have matches, they are one generalized camera.

    Args:
        matches: one item a camera.
        max_error_px: largest reprojection error of an inlier.
        solver: the solver; None: that of this machine.
        effort: how long the search is.

    Returns None where there are too few matches or no pose is found.
    """
    count = sum(map(len, matches))
    if count < MIN_MATCHES:
        return None
    solver = solver or pnp_solver()
    centre = np.concatenate([camera.points_map for camera in matches]).mean(axis=0)
    step = -(-count // RANSAC_MATCHES)
    fewer = [camera.where(np.arange(len(camera)) % step == 0) for camera in matches]
    centred = [replace(camera, points_map=camera.points_map - centre) for camera in fewer]
    seeing = [camera for camera in centred if len(camera)]
    if len(seeing) > 1:
        solution = solver.rig_pose(centred, max_error_px, effort)
        if solution is None or solution.inliers < MIN_MATCHES:
            return None
        T_map_base = solution.T
    else:
        solution = solver.camera_pose(seeing[0], max_error_px, effort)
        if solution is None:
            return None
        T_map_base = solution.T @ inverse(seeing[0].T_base_camera)
    T_map_base[:3, 3] += centre
    return T_map_base


def rerank_inliers(
    pixels: NDArray[np.float64],
    points_map: NDArray[np.float64],
    camera: Camera,
    max_error_px: float,
    solver: PnpSolver | None = None,
) -> int:
    """Returns the number of inliers of the best pose of a short search, to re-rank a candidate by.

    Args:
        pixels: (M, 2) ideal pixels.
        points_map: (M, 3) metres.
        camera: intrinsics.
        max_error_px: largest reprojection error of an inlier.
        solver: the solver; None: that of this machine.
    """
    if len(pixels) < MIN_MATCHES:
        return 0
    matches = CameraMatches(np.eye(4), camera, pixels, points_map - points_map.mean(axis=0))
    solution = (solver or pnp_solver()).camera_pose(matches, max_error_px, SHORT_SEARCH)
    return 0 if solution is None else solution.inliers
