"""Pose of one or several cameras from matches of their pixels with points of the map.

Several cameras are one generalized camera, whose rays have no common centre.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import poselib
from numpy.typing import NDArray

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.lie import skew
from scene_geo_loc.geometry.pose import Pose, inverse, make_pose, transform
from scene_geo_loc.localization.least_squares import Linearised, fit_pose, linearised

MIN_MATCHES = 4
"""Least number of matches: three points allow up to four poses, a fourth point selects one of them."""

ITERATIONS = 1000
"""Largest number of RANSAC iterations, as in the paper."""

RANSAC_MATCHES = 1000
"""Largest number of matches of all cameras in RANSAC, evenly sampled; the final fit uses all matches."""

RERANK_ITERATIONS = 100
"""Largest number of RANSAC iterations to re-rank a candidate."""

FIT_WIDTH = 2.0
"""Largest error of a match in the final fit, as a multiple of an inlier's largest error."""


@dataclass(frozen=True)
class CameraMatches:
    """Matches of one camera.

    Attributes:
        T_base_camera: pose of the camera in the base, the frame whose pose is estimated.
        camera: intrinsics; the lens distortion of `pixels` is already undone.
        pixels: (M, 2) ideal pixels, see `ideal_pixels`.
        points_map: (M, 3) metres.
        points_sigma: (M, 3) metres, see `Matches`; None where depth is exact.
        keyframe: (M,) keyframe of each match; None where there is one keyframe only.
    """

    T_base_camera: Pose
    camera: Camera
    pixels: NDArray[np.float64]
    points_map: NDArray[np.float64]
    points_sigma: NDArray[np.float64] | None = None
    keyframe: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    def errors(self, T_map_base: Pose) -> NDArray[np.float64]:
        """Returns the reprojection errors (M,) at a pose in pixels; infinite behind the camera."""
        return reprojection_errors(T_map_base @ self.T_base_camera, self.pixels, self.points_map, self.camera)

    def where(self, chosen: NDArray[np.bool_]) -> CameraMatches:
        """Returns the matches that a mask (M,) chooses."""
        arrays = ("pixels", "points_map", "points_sigma", "keyframe")
        known = {name: array for name in arrays if (array := getattr(self, name)) is not None}
        return replace(self, **{name: array[chosen] for name, array in known.items()})

    def linearised(self, T_map_base: Pose, scale: float) -> Linearised:
        """Returns the reprojections and their Jacobian by the pose of the base, see `linearised`."""
        T_map_camera = T_map_base @ self.T_base_camera
        residuals, J = linearised(
            T_map_camera, self.pixels, self.points_map, self.camera, self.points_sigma, scale
        )
        by_base = np.eye(6)
        by_base[:3, 3:] = skew((T_map_base[:3, 3] - T_map_camera[:3, 3])[None])[0]
        return residuals, (by_base.T @ J.reshape(6, -1)).reshape(J.shape)


def solve_pnp(matches: Sequence[CameraMatches], max_error_px: float) -> Pose | None:
    """Returns T_map_base by RANSAC over the matches of all cameras with local optimisation (PoseLib).

    Minimal solver: P3P where one camera has all the matches; else GP3P, whose three rays may come from
    different cameras, so that no camera needs enough matches of its own (Kukelova, Heller and Fitzgibbon,
    Efficient intersection of three quadrics and applications in computer vision, CVPR 2016).

    Args:
        matches: one item a camera.
        max_error_px: largest reprojection error of an inlier.

    Returns None where there are too few matches or no pose is found.
    """
    count = sum(map(len, matches))
    if count < MIN_MATCHES:
        return None
    subset = slice(None, None, -(-count // RANSAC_MATCHES))
    seeing = [camera for camera in matches if len(camera)]
    options = _ransac_options(max_error_px), _refinement_options(max_error_px)
    if len(seeing) == 1:
        (alone,) = seeing
        centre = alone.points_map.mean(axis=0)
        pose, _ = poselib.estimate_absolute_pose(
            alone.pixels[subset], alone.points_map[subset] - centre, _poselib_camera(alone.camera), *options
        )
        T_map_camera = _uncentred(centre, pose)
        return None if T_map_camera is None else T_map_camera @ inverse(alone.T_base_camera)
    centre = np.concatenate([camera.points_map for camera in matches]).mean(axis=0)
    pose, info = poselib.estimate_generalized_absolute_pose(
        [camera.pixels[subset] for camera in matches],
        [camera.points_map[subset] - centre for camera in matches],
        [_poselib_pose(inverse(camera.T_base_camera)) for camera in matches],
        [_poselib_camera(camera.camera) for camera in matches],
        *options,
    )
    return _uncentred(centre, pose) if info["num_inliers"] >= MIN_MATCHES else None


def refine_pnp(T_map_base: Pose, matches: Sequence[CameraMatches], max_error_px: float) -> Pose:
    """Returns a pose refined by a robust least-squares fit to the matches near it.

    Matches up to `FIT_WIDTH` times as far off as an inlier take part with little weight: they improve the
    fit, while the bound on inliers stays strict.  The width of the loss follows the errors of the inliers,
    so that precise features give a precise pose.
    """
    near = [camera.where(camera.errors(T_map_base) <= FIT_WIDTH * max_error_px) for camera in matches]

    def linearise(T: Pose, scale: float) -> Linearised:
        residuals, J = zip(*(camera.linearised(T, scale) for camera in near), strict=True)
        return np.concatenate(residuals, axis=-1), np.concatenate(J, axis=-1)

    return fit_pose(T_map_base, linearise, max_error_px)


def rerank_inliers(
    pixels: NDArray[np.float64], points_map: NDArray[np.float64], camera: Camera, max_error_px: float
) -> int:
    """Returns the number of inliers of the best pose of a short search, to re-rank a candidate by.

    Args:
        pixels: (M, 2) ideal pixels.
        points_map: (M, 3) metres.
        camera: intrinsics.
        max_error_px: largest reprojection error of an inlier.
    """
    if len(pixels) < MIN_MATCHES:
        return 0
    iterations = {"max_iterations": RERANK_ITERATIONS, "min_iterations": RERANK_ITERATIONS // 2}
    _, info = poselib.estimate_absolute_pose(
        pixels,
        points_map - points_map.mean(axis=0),
        _poselib_camera(camera),
        _ransac_options(max_error_px) | iterations,
        {"max_iterations": 3},
    )
    return int(info["num_inliers"])


def spread(pixels: NDArray) -> float:
    """Returns the standard deviation of pixels (N, 2) across their principal axis; 0 for less than three."""
    return float(np.linalg.eigvalsh(np.cov(pixels.T))[0].clip(0) ** 0.5) if len(pixels) > 2 else 0.0


def ideal_pixels(camera: Camera, pixels: NDArray) -> NDArray[np.float64]:
    """Returns pixels (N, 2) as the pinhole with the camera's K has them: lens distortion undone."""
    return camera.rays(pixels)[:, :2] * (camera.fx, camera.fy) + (camera.cx, camera.cy)


def reprojection_errors(
    T_map_camera: Pose, pixels: NDArray[np.float64], points_map: NDArray[np.float64], camera: Camera
) -> NDArray[np.float64]:
    """Returns distances (M,) of ideal pixels from the points' projections; infinite behind the camera."""
    x, y, z = transform(inverse(T_map_camera), points_map).T
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = np.hypot(
            camera.fx * x / z + camera.cx - pixels[:, 0], camera.fy * y / z + camera.cy - pixels[:, 1]
        )
    return np.where(z > 1e-6, errors, np.inf)


def _poselib_camera(camera: Camera) -> dict[str, Any]:
    """Returns PoseLib's description of a camera without distortion."""
    return {
        "model": "PINHOLE",
        "width": camera.width,
        "height": camera.height,
        "params": [camera.fx, camera.fy, camera.cx, camera.cy],
    }


def _poselib_pose(T: Pose) -> poselib.CameraPose:
    pose = poselib.CameraPose()
    pose.R, pose.t = T[:3, :3], T[:3, 3]
    return pose


def _ransac_options(max_error_px: float) -> dict[str, Any]:
    return {
        "max_reproj_error": max_error_px,
        "max_iterations": ITERATIONS,
        "min_iterations": 100,
        "dyn_num_trials_mult": 1.0,  # no extra iterations beyond the confidence: each good sample is refined
        "seed": 0,
    }


def _refinement_options(max_error_px: float) -> dict[str, Any]:
    return {"loss_type": "CAUCHY", "loss_scale": max_error_px / 3, "max_iterations": 10}


def _uncentred(centre: NDArray[np.float64], pose: poselib.CameraPose) -> Pose | None:
    """Returns PoseLib's pose in the map's frame: it works on centred points, where rounding is least."""
    T = inverse(make_pose(pose.R, pose.t))
    T[:3, 3] += centre
    return T if np.isfinite(T).all() else None
