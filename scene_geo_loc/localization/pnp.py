"""A camera's pose from matches of its pixels with points of the map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import poselib
from numpy.typing import NDArray

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose, inverse, make_pose, transform
from scene_geo_loc.localization.least_squares import Linearised, fit_pose, linearised

MIN_MATCHES = 4
"""Three points leave up to four poses; a fourth tells them apart."""

ITERATIONS = 1000
"""Most RANSAC iterations, as in the paper."""

RANSAC_MATCHES = 1000
"""Matches that RANSAC looks at, evenly taken where there are more; all take part in the fit."""

QUICK_ITERATIONS = 100
"""Most RANSAC iterations where a candidate is judged before it is matched in full."""

FIT_WIDTH = 2.0
"""The final fit takes matches up to this many times the error of an inlier."""


@dataclass(frozen=True)
class PnPSolution:
    """A pose that some of the matches agree with.

    Attributes:
        T_map_camera: the camera's pose.
        inlier: (M,) bool, the matches whose reprojection error is small.
    """

    T_map_camera: Pose
    inlier: NDArray[np.bool_]


def spread(pixels: NDArray) -> float:
    """Standard deviation of pixels (N, 2) across the line that they lie along; 0 where there are too few."""
    return float(np.linalg.eigvalsh(np.cov(pixels.T))[0].clip(0) ** 0.5) if len(pixels) > 2 else 0.0


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
    some = some_of(len(pixels))
    pose, _ = poselib.estimate_absolute_pose(
        pixels[some],
        points_map[some] - centre,
        poselib_camera(camera),
        ransac(max_error_px),
        robust_fit(max_error_px) | {"max_iterations": 10},
    )
    T_map_camera = around(centre, pose)
    if T_map_camera is None:
        return None
    errors = reprojection_errors(T_map_camera, pixels, points_map, camera)
    return PnPSolution(T_map_camera, errors <= max_error_px)


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
    deserve: the fit is better for them, and what counts as an inlier stays strict.  It becomes as narrow as
    the inliers' own errors: sharp features give a sharp pose.

    `points_sigma` (M, 3) is how far a point moves by a standard deviation of its depth, see `Matches`.
    """
    errors = reprojection_errors(solution.T_map_camera, pixels, points_map, camera)
    near = errors <= FIT_WIDTH * max_error_px
    sigma = None if points_sigma is None else points_sigma[near]

    def linearise(T: Pose, scale: float) -> Linearised:
        return linearised(T, pixels[near], points_map[near], camera, sigma, scale)

    refined = fit_pose(solution.T_map_camera, linearise, max_error_px)
    inlier = reprojection_errors(refined, pixels, points_map, camera) <= max_error_px
    return PnPSolution(refined, inlier) if inlier.any() else solution


def agreeing_matches(
    pixels: NDArray[np.float64], points_map: NDArray[np.float64], camera: Camera, max_error_px: float
) -> int:
    """How many matches agree with the best pose of a short search; arguments as in `solve_pnp`."""
    if len(pixels) < MIN_MATCHES:
        return 0
    _, found = poselib.estimate_absolute_pose(
        pixels,
        points_map - points_map.mean(axis=0),
        poselib_camera(camera),
        ransac(max_error_px) | {"max_iterations": QUICK_ITERATIONS, "min_iterations": QUICK_ITERATIONS // 2},
        {"max_iterations": 3},
    )
    return int(found["num_inliers"])


def poselib_camera(camera: Camera) -> dict[str, Any]:
    """A camera without distortion as PoseLib describes it."""
    return {
        "model": "PINHOLE",
        "width": camera.width,
        "height": camera.height,
        "params": [camera.fx, camera.fy, camera.cx, camera.cy],
    }


def some_of(count: int) -> slice:
    """`RANSAC_MATCHES` or fewer of so many matches, evenly taken."""
    return slice(None, None, -(-count // RANSAC_MATCHES))


def ransac(max_error_px: float) -> dict[str, Any]:
    """PoseLib's options of RANSAC."""
    return {
        "max_reproj_error": max_error_px,
        "max_iterations": ITERATIONS,
        "min_iterations": 100,
        "dyn_num_trials_mult": 1.0,  # the sure number of trials is enough: each good one is refined
        "seed": 0,
    }


def robust_fit(max_error_px: float) -> dict[str, Any]:
    """PoseLib's options of a fit in which matches far off weigh little."""
    return {"loss_type": "CAUCHY", "loss_scale": max_error_px / 3}


def around(centre: NDArray[np.float64], pose: poselib.CameraPose) -> Pose | None:
    """PoseLib's answer in the map: it worked on points around their centre, where rounding is least."""
    T = inverse(make_pose(pose.R, pose.t))
    T[:3, 3] += centre
    return T if np.isfinite(T).all() else None


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
