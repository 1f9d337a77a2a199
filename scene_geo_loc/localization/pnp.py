"""A camera's pose from matches of its pixels with points of the map, and how far to trust it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import poselib
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose, inverse, make_pose, transform

MIN_MATCHES = 4
"""Three points leave up to four poses; a fourth tells them apart."""

ITERATIONS = 1000
"""Most RANSAC iterations, as in the paper."""

FIT_WIDTH = 2.0
"""The final fit takes matches up to this many times the error of an inlier."""

FIT_STEPS = 5
"""Gauss-Newton steps of the final fit, from a pose that is nearly there."""

FIT_SCALE = 0.7
"""Width of the final fit's loss, times the median error of the inliers.

Of 0.5, 0.7, 1 and 1.5 it measured best with SIFT and as good as others with the other matchers.
"""

FINEST_PX = 0.1
"""Errors below this, in pixels of the network's input, are not told from none."""

CORRELATED_PX = 40.0
"""Errors of matches this near to each other, in pixels of the network's input, are much the same.

Their features see overlapping parts of the image.  On simulated drives in sun, snow and night and on
an indoor one, the true position lies within the 95 % ellipsoid of `pose_covariance` in 97, 66, 90 and 82 %
of the fixes; if every match counted, in about a quarter of them.
"""


@dataclass(frozen=True)
class PnPSolution:
    """A pose that some of the matches agree with.

    Attributes:
        T_map_camera: the camera's pose.
        inlier: (M,) bool, the matches whose reprojection error is small.
    """

    T_map_camera: Pose
    inlier: NDArray[np.bool_]


def blocks_of(pixels: NDArray) -> NDArray[np.float64]:
    """The blocks of `CORRELATED_PX` that pixels (N, 2) lie in, each once (B, 2)."""
    return np.unique(np.floor(pixels / CORRELATED_PX), axis=0)


def ideal_pixels(camera: Camera, pixels: NDArray) -> NDArray[np.float64]:
    """Pixels (N, 2) as the ideal pinhole with the camera's K would have them: lens distortion undone."""
    return camera.rays(pixels)[:, :2] * (camera.fx, camera.fy) + (camera.cx, camera.cy)


def solve_pnp(
    pixels: NDArray[np.float64], points_map: NDArray[np.float64], camera: Camera, max_error_px: float
) -> PnPSolution | None:
    """The pose by P3P in RANSAC with local optimisation and a robust final fit (PoseLib).

    Args:
        pixels: (M, 2) in the image of `camera`, the distortion undone (`ideal_pixels`).
        points_map: (M, 3) metres.
        camera: intrinsics.
        max_error_px: largest reprojection error of an inlier.

    Returns None where there are too few matches or no pose is found.
    """
    if len(pixels) < MIN_MATCHES:
        return None
    centre = points_map.mean(axis=0)
    pose, _ = poselib.estimate_absolute_pose(
        pixels,
        points_map - centre,
        _poselib_camera(camera),
        {
            "max_reproj_error": max_error_px,
            "max_iterations": ITERATIONS,
            "min_iterations": 100,
            "dyn_num_trials_mult": 1.0,  # the sure number of trials is enough: each good one is refined
            "seed": 0,
        },
        _robust_fit(max_error_px) | {"max_iterations": 10},
    )
    return _solution(pose, centre, pixels, points_map, camera, max_error_px)


def refine_pnp(
    solution: PnPSolution,
    pixels: NDArray[np.float64],
    points_map: NDArray[np.float64],
    camera: Camera,
    max_error_px: float,
    points_sigma: NDArray[np.float64] | None = None,
) -> PnPSolution:
    """The robust least-squares fit from a solution's pose; arguments as in `solve_pnp`.

    Matches up to `FIT_WIDTH` times as far off as an inlier take part, with the little weight that they
    deserve: the fit is better for them, and what counts as an inlier stays strict.  Cauchy's loss is as wide
    as that at first, and then as the inliers' own errors are: sharp features make a sharp fit.

    Args:
        solution: where to begin.
        pixels, points_map, camera, max_error_px: see `solve_pnp`.
        points_sigma: (M, 3) how far a point moves by a standard deviation of its depth; see `Matches`.
    """
    wide = FIT_WIDTH * max_error_px
    near = reprojection_errors(solution.T_map_camera, pixels, points_map, camera) <= wide
    centre = points_map.mean(axis=0)
    T_camera_map = inverse(solution.T_map_camera)
    start = poselib.CameraPose()
    start.R = T_camera_map[:3, :3]
    start.t = transform(T_camera_map, centre)
    pose, _ = poselib.refine_absolute_pose(
        pixels[near], points_map[near] - centre, start, _poselib_camera(camera), _robust_fit(wide)
    )
    refined = _solution(pose, centre, pixels, points_map, camera, max_error_px)
    if refined is None or refined.inlier.sum() < MIN_MATCHES:
        return solution
    T_map_camera = _fit(refined, pixels, points_map, camera, wide, points_sigma)
    errors = reprojection_errors(T_map_camera, pixels, points_map, camera)
    fitted = PnPSolution(T_map_camera, errors <= max_error_px)
    return fitted if fitted.inlier.any() else refined


def _fit(
    solution: PnPSolution,
    pixels: NDArray[np.float64],
    points_map: NDArray[np.float64],
    camera: Camera,
    wide: float,
    points_sigma: NDArray[np.float64] | None,
) -> Pose:
    """A pose by Gauss-Newton steps with Cauchy's loss, whose width follows the inliers' errors."""
    T_map_camera = solution.T_map_camera.copy()
    errors = reprojection_errors(T_map_camera, pixels, points_map, camera)
    near = errors <= wide
    pixels, points_map, errors = pixels[near], points_map[near], errors[near]
    sigma = None if points_sigma is None else points_sigma[near]
    for _ in range(FIT_STEPS):
        inlier = errors <= wide / FIT_WIDTH
        scale = max(FINEST_PX, FIT_SCALE * float(np.median(errors[inlier] if inlier.any() else errors)))
        residuals, J, weighting = _linearised(T_map_camera, pixels, points_map, camera, sigma, scale)
        weighted = weighting @ residuals[:, :, None]
        distance = (residuals * weighted[:, :, 0]).sum(axis=1)  # squared, in pixels
        loss = 1 / (1 + distance / scale**2)
        JtW = (J * loss[:, None, None]).transpose(0, 2, 1)
        information = (JtW @ weighting @ J).sum(axis=0)
        step, *_ = np.linalg.lstsq(information, -(JtW @ weighted).sum(axis=0)[:, 0], rcond=1e-12)
        T_map_camera[:3, 3] += step[:3]
        T_map_camera[:3, :3] = Rotation.from_rotvec(step[3:]).as_matrix() @ T_map_camera[:3, :3]
        errors = reprojection_errors(T_map_camera, pixels, points_map, camera)
    return T_map_camera if np.isfinite(T_map_camera).all() else solution.T_map_camera


def _poselib_camera(camera: Camera) -> dict[str, Any]:
    return {
        "model": "PINHOLE",
        "width": camera.width,
        "height": camera.height,
        "params": [camera.fx, camera.fy, camera.cx, camera.cy],
    }


def _robust_fit(max_error_px: float) -> dict[str, Any]:
    return {"loss_type": "CAUCHY", "loss_scale": max_error_px / 3}


def _solution(
    pose: poselib.CameraPose,
    centre: NDArray[np.float64],
    pixels: NDArray[np.float64],
    points_map: NDArray[np.float64],
    camera: Camera,
    max_error_px: float,
) -> PnPSolution | None:
    """PoseLib's answer in the map: it worked on points around their centre, where rounding is least."""
    T_map_camera = inverse(make_pose(pose.R, pose.t))
    T_map_camera[:3, 3] += centre
    if not np.isfinite(T_map_camera).all():
        return None
    errors = reprojection_errors(T_map_camera, pixels, points_map, camera)
    return PnPSolution(T_map_camera, errors <= max_error_px)


def reprojection_errors(
    T_map_camera: Pose, pixels: NDArray[np.float64], points_map: NDArray[np.float64], camera: Camera
) -> NDArray[np.float64]:
    """Distances (M,) between ideal pixels and the points' projections, pixels; infinite behind the camera."""
    points = transform(inverse(T_map_camera), points_map)
    z = points[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        projected = points[:, :2] / z[:, None] * (camera.fx, camera.fy) + (camera.cx, camera.cy)
        errors = np.linalg.norm(projected - pixels, axis=1)
    return np.where(z > 1e-6, errors, np.inf)


def _linearised(
    T_map_camera: Pose,
    pixels: NDArray[np.float64],
    points_map: NDArray[np.float64],
    camera: Camera,
    points_sigma: NDArray[np.float64] | None,
    scale: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Reprojections at a pose: residuals (M, 2), their Jacobian (M, 2, 6) and how they weigh (M, 2, 2).

    The Jacobian is by a shift of the camera and a turn about the map's axes.  A residual weighs by the
    inverse of its covariance, in units of `scale` pixels squared: the same in all directions, but where the
    depth's error moves the projection, along which it counts for less.
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
    weighting = np.tile(np.eye(2), (len(pixels), 1, 1))
    if points_sigma is not None:
        moved = (by_point @ points_sigma[:, :, None])[:, :, 0] / scale
        weighting -= moved[:, :, None] * moved[:, None, :] / (1 + (moved**2).sum(axis=1))[:, None, None]
    return np.nan_to_num(residuals), J, weighting


def pose_covariance(
    T_map_camera: Pose,
    pixels: NDArray[np.float64],
    points_map: NDArray[np.float64],
    camera: Camera,
    points_sigma: NDArray[np.float64] | None = None,
) -> NDArray[np.float64] | None:
    """Covariance (6, 6) of a pose from the geometry of its inliers.

    The Jacobian J of the reprojections at the solution, the weights W of `points_sigma` and the variance s² of
    the residuals give s² (JᵀWJ)⁻¹, as many times larger as there are matches to each independent one: those
    in one block of `CORRELATED_PX` are one.  Order x, y, z, rotation about x, y, z; metres and radians along
    the map's axes, as in geometry_msgs/PoseWithCovariance.

    Args:
        T_map_camera: the solution.
        pixels, points_map: its inliers, (M, 2) ideal pixels and (M, 3) metres.
        camera: intrinsics.
        points_sigma: (M, 3) how far a point moves by a standard deviation of its depth; see `Matches`.

    Returns None where the inliers do not fix the pose, such as points on one line.
    """
    if len(pixels) < MIN_MATCHES:
        return None
    errors = reprojection_errors(T_map_camera, pixels, points_map, camera)
    scale = max(FINEST_PX, float(np.median(errors)))
    residuals, J, weighting = _linearised(T_map_camera, pixels, points_map, camera, points_sigma, scale)
    degrees_of_freedom = max(2 * len(points_map) - 6, 1)
    variance = float((residuals[:, None] @ weighting @ residuals[:, :, None]).sum()) / degrees_of_freedom
    information = (J.transpose(0, 2, 1) @ weighting @ J).sum(axis=0) * (len(blocks_of(pixels)) / len(pixels))
    diagonal = np.sqrt(np.diag(information))
    if not (diagonal > 0).all():
        return None
    normalised = information / np.outer(diagonal, diagonal)
    if np.linalg.cond(normalised) > 1e10:
        return None
    return variance * np.linalg.inv(normalised) / np.outer(diagonal, diagonal)


def skew(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """The matrices (N, 3, 3) whose product with a vector is the cross product of `vectors` (N, 3) with it."""
    out = np.zeros((len(vectors), 3, 3))
    out[:, 0, 1], out[:, 0, 2] = -vectors[:, 2], vectors[:, 1]
    out[:, 1, 0], out[:, 1, 2] = vectors[:, 2], -vectors[:, 0]
    out[:, 2, 0], out[:, 2, 1] = -vectors[:, 1], vectors[:, 0]
    return out


def move_covariance(covariance: NDArray[np.float64], lever: NDArray[np.float64]) -> NDArray[np.float64]:
    """The covariance of a frame rigidly fixed to another: order and axes as in `pose_covariance`.

    Args:
        covariance: (6, 6) of the first frame.
        lever: (3,) from the first frame's origin to the second's, along the map's axes, metres.
    """
    J = np.eye(6)
    J[:3, 3:] = -skew(lever[None])[0]
    return J @ covariance @ J.T
