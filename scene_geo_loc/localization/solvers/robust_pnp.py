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

from scene_geo_loc.geometry.pose import Pose, inverse
from scene_geo_loc.localization.pnp import CameraMatches
from scene_geo_loc.localization.solvers.base import MIN_MATCHES, Effort, PnpSolver
from scene_geo_loc.localization.solvers.essential_ransac import (
    essential_inliers,
    essential_ransac,
    fix_the_scale,
    truncated_cost,
)
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

    Where several cameras have matches, they are one generalized camera.  Where some matches have no depth,
    a pose is searched from those that have one, another as `essential_ransac` does, and the one is taken that
    the matches agree with better.

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
    points = [camera.where(camera.has_depth) for camera in centred]
    found = []
    if sum(map(len, points)) >= MIN_MATCHES:
        found.append(_pose_of_points(points, max_error_px, solver, effort))
    if sum(map(len, points)) < sum(map(len, centred)) and fix_the_scale(centred):
        found.append(essential_ransac(centred, max_error_px, effort))
    poses = [pose for pose in found if pose is not None]
    if not poses:
        return None
    T_map_base = (
        poses[0] if len(poses) == 1 else min(poses, key=lambda T: truncated_cost(T, centred, max_error_px))
    )
    T_map_base[:3, 3] += centre
    return T_map_base


def _pose_of_points(
    matches: Sequence[CameraMatches], max_error_px: float, solver: PnpSolver, effort: Effort
) -> Pose | None:
    """Returns T_map_base from matches with depth, near the origin; None where no pose is found."""
    seeing = [camera for camera in matches if len(camera)]
    if len(seeing) > 1:
        solution = solver.rig_pose(matches, max_error_px, effort)
        return None if solution is None or solution.inliers < MIN_MATCHES else solution.T
    solution = solver.camera_pose(seeing[0], max_error_px, effort)
    return None if solution is None else np.asarray(solution.T @ inverse(seeing[0].T_base_camera))


def rerank_inliers(matches: CameraMatches, max_error_px: float, solver: PnpSolver | None = None) -> int:
    """Returns the number of inliers of the best pose of a short search, to re-rank a candidate by.

    Args:
        matches: with one keyframe; where they have no depth, those with an essential matrix are counted.
        max_error_px: largest reprojection error of an inlier.
        solver: the solver; None: that of this machine.
    """
    points, rays = matches.where(matches.has_depth), matches.where(~matches.has_depth)
    if len(rays) > len(points):
        return essential_inliers(rays, max_error_px, SHORT_SEARCH)
    if len(points) < MIN_MATCHES:
        return 0
    near = replace(
        points, T_base_camera=np.eye(4), points_map=points.points_map - points.points_map.mean(axis=0)
    )
    solution = (solver or pnp_solver()).camera_pose(near, max_error_px, SHORT_SEARCH)
    return 0 if solution is None else solution.inliers
