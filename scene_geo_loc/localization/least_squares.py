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

"""The least-squares fit of a camera's pose to matches, each with its own weight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose, make_pose

STEPS = 5
"""Number of Gauss-Newton steps; the initial pose is close to the solution."""

INLIER_STEPS = 10
"""Largest number of Gauss-Newton steps to the inliers; they end where the inliers stay the same."""

SCALE = 0.7
"""Width of the loss as a multiple of the inliers' median error.

Of 0.5, 0.7, 1 and 1.5 this value gave the best poses with SIFT, and as good ones as the others with the other
matchers.
"""

FINEST_PX = 0.1
"""Lower bound of the error scale, in pixels of the network's input."""


Linearised = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Reprojections at a pose: weighted residuals (2, M) and their Jacobian (6, 2, M) by the pose.

The matches are the last axis, along which memory is contiguous, as all steps go over the matches.
"""


def fit_pose(
    pose: Pose, linearise: Callable[[Pose, float], Linearised], max_error_px: float, steps: int = STEPS
) -> Pose:
    """Returns a pose by Gauss-Newton steps with Cauchy's loss, whose width follows the inliers' errors.

    Args:
        pose: initial value.
        linearise: returns the reprojections at a pose, whitened for a scale in pixels; see `linearised`.
        max_error_px: largest reprojection error of an inlier.
        steps: number of steps.
    """
    T, scale = pose, max_error_px
    for _ in range(steps):
        residuals, J = linearise(T, scale)
        squared = residuals[0] ** 2 + residuals[1] ** 2
        scale = SCALE * error_scale(np.sqrt(squared[squared <= max_error_px**2]))
        T = stepped(T, residuals, J, 1 / (1 + squared / scale**2))
    return T if np.isfinite(T).all() else pose


def fit_pose_to_inliers(
    pose: Pose, linearise: Callable[[Pose, float], Linearised], max_error_px: float
) -> Pose:
    """Returns a nearby pose with the least sum of truncated squared errors, by Gauss-Newton steps.

    Each step fits the pose to the matches that are inliers at the pose before it, all with the same weight.

    Args:
        pose: initial value.
        linearise: see `fit_pose`; not whitened.
        max_error_px: largest reprojection error of an inlier.
    """
    T, inliers = pose, None
    for _ in range(INLIER_STEPS):
        residuals, J = linearise(T, 1.0)
        earlier, inliers = inliers, residuals[0] ** 2 + residuals[1] ** 2 <= max_error_px**2
        T = stepped(T, residuals, J, inliers)
        if earlier is not None and (inliers == earlier).all():
            break
    return T if np.isfinite(T).all() else pose


def stepped(T: Pose, residuals: NDArray[np.float64], J: NDArray[np.float64], weights: NDArray[Any]) -> Pose:
    """Returns a pose after a Gauss-Newton step, from reprojections at it and their weights (M,)."""
    return moved(T, gauss_newton_step(residuals, J, weights))


def gauss_newton_step(
    residuals: NDArray[np.float64], J: NDArray[np.float64], weights: NDArray[Any]
) -> NDArray[np.float64]:
    """Returns the step (K,) of K unknowns, from residuals (2, M), Jacobian (K, 2, M) and weights (M,)."""
    weighed, flat = (J * weights).reshape(len(J), -1), J.reshape(len(J), -1)
    information, gradient = weighed @ flat.T, weighed @ residuals.ravel()
    try:
        return np.asarray(-np.linalg.solve(information, gradient))
    except np.linalg.LinAlgError:  # the matches do not determine the unknowns
        return np.asarray(-np.linalg.lstsq(information, gradient, rcond=None)[0])


def moved(T: Pose, step: NDArray[np.float64]) -> Pose:
    """Returns a pose after a translation and a rotation (6,) along the map's axes."""
    # cv2.Rodrigues takes a tenth of the time of the functions for stacks of rotations.
    return make_pose(cv2.Rodrigues(step[3:])[0] @ T[:3, :3], T[:3, 3] + step[:3])


def error_scale(errors: NDArray[np.float64]) -> float:
    """Returns the median of reprojection errors (M,) in pixels, at least `FINEST_PX`."""
    return max(FINEST_PX, float(np.median(errors))) if len(errors) else FINEST_PX


def linearised(
    T_map_camera: Pose,
    pixels: NDArray[np.float64],
    points_map: NDArray[np.float64],
    camera: Camera,
    points_sigma: NDArray[np.float64] | None = None,
    scale: float | None = 1.0,
    with_focal: bool = False,
) -> Linearised:
    """Returns residuals (2, M) of points (M, 3) against ideal pixels (M, 2) at a pose, and their Jacobian.

    The Jacobian (6, 2, M) is by a translation of the camera and a rotation, both along the map's axes.
    Residuals and Jacobian are whitened by the inverse root of the residual's covariance, in units of `scale`
    pixels.  Where the depth is exact, whitening changes nothing.  An error of the depth moves the projection
    along a line; whitening reduces the residual along that line.  Points behind the camera have zero residual
    and Jacobian.

    Args:
        points_sigma: (M, 3) metres, shift of a point by one standard deviation of its depth; see `Matches`.
        scale: pixels; None: the median error.
        with_focal: whether the Jacobian (7, 2, M) has a last row by the logarithm of the focal length.
    """
    R = T_map_camera[:3, :3].T
    # Contiguous along the matches: the sum of a transposed array would be transposed too.
    arm = np.ascontiguousarray(points_map.T) - T_map_camera[:3, 3, None]
    x, y, z = R @ arm
    is_before = z > 1e-6
    per_z = is_before / np.where(is_before, z, 1.0)
    x, y = x * per_z, y * per_z
    J = np.empty((7 if with_focal else 6, 2, len(points_map)))
    for row, (focal, axis, at) in enumerate(((camera.fx, R[0], x), (camera.fy, R[1], y))):
        by_point = focal * per_z * (axis[:, None] - at * R[2, :, None])
        # A translation d of the camera and a rotation w along the map's axes move a point to
        # R (X - c - d + [X - c]x w).
        J[:3, row] = -by_point
        J[3, row] = by_point[1] * arm[2] - by_point[2] * arm[1]
        J[4, row] = by_point[2] * arm[0] - by_point[0] * arm[2]
        J[5, row] = by_point[0] * arm[1] - by_point[1] * arm[0]
        if with_focal:
            J[6, row] = focal * at
    residuals = np.stack([camera.fx * x + camera.cx, camera.fy * y + camera.cy]) - pixels.T
    residuals *= is_before
    if points_sigma is None or not points_sigma.any():
        return residuals, J
    if scale is None:
        scale = error_scale(np.hypot(*residuals))
    shift = np.einsum("arm,ma->rm", J[:3], points_sigma) / -scale
    squared = (shift**2).sum(axis=0)
    # The inverse root of I + s sT.
    shrunk = shift * ((1 / np.sqrt(1 + squared) - 1) / np.maximum(squared, 1e-12))
    residuals += shrunk * (shift * residuals).sum(axis=0)
    J += shrunk * (shift * J).sum(axis=1, keepdims=True)
    return residuals, J
