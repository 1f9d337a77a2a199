"""The least-squares fit of a camera's pose to matches, each with its own weight."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.lie import skew
from scene_geo_loc.geometry.pose import Pose

STEPS = 5
"""Number of Gauss-Newton steps; the initial pose is close to the solution."""

SCALE = 0.7
"""Width of the loss as a multiple of the inliers' median error.

Of 0.5, 0.7, 1 and 1.5 this value gave the best poses with SIFT, and as good ones as the others with the other
matchers.
"""

FINEST_PX = 0.1
"""Lower bound of the error scale, in pixels of the network's input."""


Linearised = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Reprojections at a pose: weighted residuals (M, 2) and their Jacobian (M, 2, 6) by the pose."""


def fit_pose(pose: Pose, linearise: Callable[[Pose, float], Linearised], max_error_px: float) -> Pose:
    """Returns a pose by Gauss-Newton steps with Cauchy's loss, whose width follows the inliers' errors.

    Args:
        pose: initial value.
        linearise: returns the reprojections at a pose, whitened for a scale in pixels; see `linearised`.
        max_error_px: largest reprojection error of an inlier.
    """
    T, scale = pose.copy(), max_error_px
    for _ in range(STEPS):
        residuals, J = linearise(T, scale)
        errors = np.linalg.norm(residuals, axis=1)
        scale = SCALE * error_scale(errors[errors <= max_error_px])
        loss = np.repeat(1 / (1 + (errors / scale) ** 2), 2)
        flat = J.reshape(-1, 6)
        weighed = (flat * loss[:, None]).T
        step = np.linalg.lstsq(weighed @ flat, -weighed @ residuals.ravel(), rcond=None)[0]
        T[:3, 3] += step[:3]
        T[:3, :3] = Rotation.from_rotvec(step[3:]).as_matrix() @ T[:3, :3]
    return T if np.isfinite(T).all() else pose


def error_scale(errors: NDArray[np.float64]) -> float:
    """Returns the median of reprojection errors (M,) in pixels, at least `FINEST_PX`."""
    return max(FINEST_PX, float(np.median(errors))) if len(errors) else FINEST_PX


def linearised(
    T_map_camera: Pose,
    pixels: NDArray[np.float64],
    points_map: NDArray[np.float64],
    camera: Camera,
    points_sigma: NDArray[np.float64] | None = None,
    scale: float = 1.0,
) -> Linearised:
    """Returns residuals (M, 2) of points (M, 3) against ideal pixels (M, 2) at a pose, and their Jacobian.

    The Jacobian is by a translation of the camera and a rotation, both along the map's axes.  Residuals and
    Jacobian are whitened by the inverse root of the residual's covariance, in units of `scale` pixels.  Where
    the depth is exact, whitening changes nothing.  An error of the depth moves the projection along a line;
    whitening reduces the residual along that line.  Points behind the camera have zero residual and Jacobian.

    Args:
        points_sigma: (M, 3) metres, shift of a point by one standard deviation of its depth; see `Matches`.
    """
    R_camera_map = T_map_camera[:3, :3].T
    arm = points_map - T_map_camera[:3, 3]
    x, y, z = (arm @ R_camera_map.T).T
    z = np.where(z > 1e-6, z, np.nan)
    zero = np.zeros_like(z)
    projection = np.stack(
        [
            np.stack([camera.fx / z, zero, -camera.fx * x / z**2], axis=1),
            np.stack([zero, camera.fy / z, -camera.fy * y / z**2], axis=1),
        ],
        axis=1,
    )
    by_point = np.nan_to_num(projection @ R_camera_map)
    # A translation d of the camera and a rotation w along the map's axes move a point to
    # R (X - c - d + [X - c]x w).
    J = np.concatenate([-by_point, by_point @ skew(arm)], axis=2)
    residuals = np.stack([camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy], axis=1) - pixels
    residuals = np.nan_to_num(residuals)
    if points_sigma is None or not points_sigma.any():
        return residuals, J
    moved = (by_point @ points_sigma[:, :, None]) / scale
    squared = (moved**2).sum(axis=1, keepdims=True)
    # The inverse root of I + m mT.
    shrink = (1 / np.sqrt(1 + squared) - 1) / np.maximum(squared, 1e-12)
    whitener = np.eye(2) + shrink * (moved @ moved.transpose(0, 2, 1))
    return (whitener @ residuals[:, :, None])[:, :, 0], whitener @ J
