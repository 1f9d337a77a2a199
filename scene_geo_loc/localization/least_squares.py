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
"""Gauss-Newton steps, from a pose that is nearly there."""

SCALE = 0.7
"""Width of the loss, times the median error of the inliers.

Of 0.5, 0.7, 1 and 1.5 it measured best with SIFT and as good as others with the other matchers.
"""

FINEST_PX = 0.1
"""Errors below this, in pixels of the network's input, are not told from none."""


Linearised = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Reprojections at a pose: residuals (M, 2) and their Jacobian (M, 2, 6) by the pose, weighed."""


def fit_pose(pose: Pose, linearise: Callable[[Pose, float], Linearised], max_error_px: float) -> Pose:
    """A pose by Gauss-Newton steps with Cauchy's loss, whose width follows the inliers' errors.

    Args:
        pose: where to begin.
        linearise: the reprojections at a pose, weighed in units of so many pixels; see `linearised`.
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
    """The median of reprojection errors (M,), pixels, and no less than `FINEST_PX`."""
    return max(FINEST_PX, float(np.median(errors))) if len(errors) else FINEST_PX


def linearised(
    T_map_camera: Pose,
    pixels: NDArray[np.float64],
    points_map: NDArray[np.float64],
    camera: Camera,
    points_sigma: NDArray[np.float64] | None = None,
    scale: float = 1.0,
) -> Linearised:
    """The reprojections of (M, 3) points at a pose, against (M, 2) ideal pixels.

    The Jacobian is by a shift of the camera and a turn about the map's axes.  Both are whitened by the root
    of the residual's covariance, in units of `scale` pixels: unchanged where the depth is exact; a depth's
    error moves the projection along a line, and along that line they become less.  Points behind the camera
    have no residual and no Jacobian.  `points_sigma` (M, 3) is how far a point moves by a standard deviation
    of its depth; see `Matches`.
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
    # A shift d of the camera and a turn w about the map's axes take a point to R (X - c - d + [X - c]x w).
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
