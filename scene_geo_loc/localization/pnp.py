"""A camera's pose from matches of its pixels with points of the map, and how far to trust it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import poselib
from numpy.typing import NDArray

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose, difference, inverse, make_pose, transform
from scene_geo_loc.localization.least_squares import Linearised, error_scale, fit_pose, linearised, skew

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

CORRELATED_PX = 40.0
"""Errors of matches this near to each other, in pixels of the network's input, are much the same.

Their features see overlapping parts of the image.
"""

PULL, MOST_PULL = 0.08, 0.3
"""A keyframe draws the pose towards its own by this part of their difference (standard deviation).

Features lie on a grid, and where two images differ by less than a cell the same cells match best: the pose
leans towards those of the keyframes, on simulated drives in snow by 0.7 of the difference in pitch.  The
residuals do not show it.  It grows, from `PULL` to `MOST_PULL`, with the odds that a match is wrong.
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


def block_count(pixels: NDArray) -> int:
    """In how many blocks of `CORRELATED_PX` pixels (N, 2) lie."""
    columns, rows = np.floor(pixels / CORRELATED_PX).astype(np.int64).T
    return len(np.unique((columns << 32) + rows))


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


def pose_covariance(
    T_map_camera: Pose,
    pixels: NDArray[np.float64],
    points_map: NDArray[np.float64],
    camera: Camera,
    points_sigma: NDArray[np.float64] | None = None,
) -> NDArray[np.float64] | None:
    """Covariance (6, 6) of a pose from the geometry of its inliers.

    The Jacobian J of the reprojections at the solution and the variance s² of their residuals, whitened
    by `points_sigma`, give s² (JᵀJ)⁻¹, as many times larger as there are matches to each independent one:
    those in one block of `CORRELATED_PX` are one.  Order x, y, z, rotation about x, y, z; metres and radians
    along the map's axes, as in geometry_msgs/PoseWithCovariance.

    Args:
        T_map_camera: the solution.
        pixels, points_map: its inliers, (M, 2) ideal pixels and (M, 3) metres.
        camera: intrinsics.
        points_sigma: (M, 3) how far a point moves by a standard deviation of its depth, see `Matches`.

    Returns None where the inliers do not fix the pose, such as points on one line.
    """
    return covariance_of(normal_equations(T_map_camera, pixels, points_map, camera, points_sigma))


@dataclass(frozen=True)
class NormalEquations:
    """What matches say of the pose at a solution, by a least-squares fit.

    Attributes:
        information: (6, 6) JᵀJ of the reprojections by the pose, order and axes as in `pose_covariance`, as
            much smaller as there are matches to each independent one.
        squared_residuals: their sum, pixels².
        matches: how many there are.
    """

    information: NDArray[np.float64]
    squared_residuals: float
    matches: int

    def of_base(self, lever: NDArray[np.float64]) -> NormalEquations:
        """The same of a frame rigidly fixed to the camera, `lever` (3,) from it along the map's axes."""
        J = np.eye(6)
        J[:3, 3:] = skew(lever[None])[0]  # a turn of the base about itself takes the camera to w x (-lever)
        return replace(self, information=J.T @ self.information @ J)

    def __add__(self, other: NormalEquations) -> NormalEquations:
        return NormalEquations(
            self.information + other.information,
            self.squared_residuals + other.squared_residuals,
            self.matches + other.matches,
        )


def normal_equations(
    T_map_camera: Pose,
    pixels: NDArray[np.float64],
    points_map: NDArray[np.float64],
    camera: Camera,
    points_sigma: NDArray[np.float64] | None = None,
) -> NormalEquations:
    """What inliers say of a pose; arguments as in `pose_covariance`."""
    scale = error_scale(reprojection_errors(T_map_camera, pixels, points_map, camera))
    residuals, J = linearised(T_map_camera, pixels, points_map, camera, points_sigma, scale)
    flat = J.reshape(-1, 6)
    independent = block_count(pixels) / max(len(pixels), 1)
    return NormalEquations(independent * flat.T @ flat, float((residuals**2).sum()), len(pixels))


def covariance_of(equations: NormalEquations) -> NDArray[np.float64] | None:
    """The covariance (6, 6) that follows; None where the matches do not fix the pose."""
    variance = equations.squared_residuals / max(2 * equations.matches - 6, 1)
    information = equations.information
    scale = np.sqrt(np.diag(information))
    if not (scale > 0).all():
        return None
    normalised = information / np.outer(scale, scale)
    if np.linalg.cond(normalised) > 1e10:
        return None
    return variance * np.linalg.inv(normalised) / np.outer(scale, scale)


def pull_covariance(
    T_map_camera: Pose,
    T_map_keyframes: NDArray[np.float64],
    shares: NDArray[np.float64],
    inlier_ratio: float,
) -> NDArray[np.float64]:
    """Covariance (6, 6) of a pose from what draws it towards the keyframes that it was matched with.

    Each draws by its share of the matches, independently of the others: see `PULL`.  Order and axes as in
    `pose_covariance`, to which it is added.

    Args:
        T_map_camera: the solution.
        T_map_keyframes: (K, 4, 4) poses of the keyframes.
        shares: (K,) of the matches that agree with the solution, summing to 1.
        inlier_ratio: of all matches, above 0.
    """
    T_map_cameras = np.broadcast_to(T_map_camera, T_map_keyframes.shape)
    strength = min(PULL * (1.0 - inlier_ratio) / inlier_ratio, MOST_PULL)
    pulls = strength * shares[:, None] * difference(T_map_cameras, T_map_keyframes)
    return np.asarray(pulls.T @ pulls)


def move_covariance(covariance: NDArray[np.float64], lever: NDArray[np.float64]) -> NDArray[np.float64]:
    """The covariance of a frame rigidly fixed to another: order and axes as in `pose_covariance`.

    Args:
        covariance: (6, 6) of the first frame.
        lever: (3,) from the first frame's origin to the second's, along the map's axes, metres.
    """
    J = np.eye(6)
    J[:3, 3:] = -skew(lever[None])[0]
    return J @ covariance @ J.T
