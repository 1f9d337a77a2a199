"""A rig's pose from the matches of all its cameras at once: one generalized camera, whose rays have no
common centre.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import numpy as np
import poselib
from numpy.typing import NDArray

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.lie import skew
from scene_geo_loc.geometry.pose import Pose, inverse
from scene_geo_loc.localization.covariance import NormalEquations, covariance_of, normal_equations
from scene_geo_loc.localization.least_squares import Linearised, fit_pose, linearised
from scene_geo_loc.localization.pnp import (
    FIT_WIDTH,
    MIN_MATCHES,
    around,
    poselib_camera,
    ransac,
    reprojection_errors,
    robust_fit,
    solve_pnp,
    some_of,
)


@dataclass(frozen=True)
class CameraMatches:
    """What one camera of a rig matched.

    Attributes:
        T_base_camera: where it is mounted.
        camera: its intrinsics; distortion is undone already.
        pixels: (M, 2) ideal pixels.
        points_map: (M, 3) metres.
        points_sigma: (M, 3) metres, see `Matches`; None where depth is exact.
        keyframe: (M,) the keyframe each was matched with; None where that is one for all.
    """

    T_base_camera: Pose
    camera: Camera
    pixels: NDArray[np.float64]
    points_map: NDArray[np.float64]
    points_sigma: NDArray[np.float64] | None = None
    keyframe: NDArray[np.int64] | None = None

    def errors(self, T_map_base: Pose) -> NDArray[np.float64]:
        """Reprojection errors (M,) in pixels if the base were there; infinite behind the camera."""
        return reprojection_errors(T_map_base @ self.T_base_camera, self.pixels, self.points_map, self.camera)

    def where(self, chosen: NDArray[np.bool_]) -> CameraMatches:
        """Some of the matches."""
        arrays = ("pixels", "points_map", "points_sigma", "keyframe")
        known = {name: array for name in arrays if (array := getattr(self, name)) is not None}
        return replace(self, **{name: array[chosen] for name, array in known.items()})

    def linearised(self, T_map_base: Pose, scale: float) -> Linearised:
        """The reprojections by the pose of the base, see `least_squares.linearised`."""
        T_map_camera = T_map_base @ self.T_base_camera
        residuals, J = linearised(
            T_map_camera, self.pixels, self.points_map, self.camera, self.points_sigma, scale
        )
        by_base = np.eye(6)
        by_base[:3, 3:] = skew((T_map_base[:3, 3] - T_map_camera[:3, 3])[None])[0]
        return residuals, J @ by_base


def solve_rig(matches: Sequence[CameraMatches], max_error_px: float) -> Pose | None:
    """T_map_base by RANSAC over all cameras' matches with local optimisation (PoseLib, GP3P).

    Three rays of whichever cameras propose a pose: no camera needs to see enough on its own.

    Source: Kukelova, Heller and Fitzgibbon, Efficient intersection of three quadrics and applications in
    computer vision, CVPR 2016.

    Returns None where there are too few matches or no pose is found.
    """
    seeing = [one for one in matches if len(one.pixels)]
    if sum(len(one.pixels) for one in seeing) < MIN_MATCHES:
        return None
    if len(seeing) == 1:
        return _solve_alone(seeing[0], max_error_px)
    centre = np.concatenate([one.points_map for one in matches]).mean(axis=0)
    some = some_of(sum(len(one.pixels) for one in matches))
    pose, found = poselib.estimate_generalized_absolute_pose(
        [one.pixels[some] for one in matches],
        [one.points_map[some] - centre for one in matches],
        [_poselib_pose(inverse(one.T_base_camera)) for one in matches],
        [poselib_camera(one.camera) for one in matches],
        ransac(max_error_px),
        robust_fit(max_error_px) | {"max_iterations": 10},
    )
    return around(centre, pose) if found["num_inliers"] >= MIN_MATCHES else None


def _solve_alone(matches: CameraMatches, max_error_px: float) -> Pose | None:
    """T_map_base where one camera has all the matches: its rays have a common centre after all."""
    found = solve_pnp(matches.pixels, matches.points_map, matches.camera, max_error_px)
    return None if found is None else np.asarray(found.T_map_camera @ inverse(matches.T_base_camera))


def refine_rig(T_map_base: Pose, matches: Sequence[CameraMatches], max_error_px: float) -> Pose:
    """The robust least-squares fit from a pose, that of `refine_pnp`."""
    near = [one.where(one.errors(T_map_base) <= FIT_WIDTH * max_error_px) for one in matches]

    def linearise(T: Pose, scale: float) -> Linearised:
        residuals, J = zip(*(one.linearised(T, scale) for one in near), strict=True)
        return np.concatenate(residuals), np.concatenate(J)

    return fit_pose(T_map_base, linearise, max_error_px)


def rig_covariance(T_map_base: Pose, matches: Sequence[CameraMatches]) -> NDArray[np.float64] | None:
    """Covariance (6, 6) of a rig's pose from its cameras' inliers, as `covariance_of` has it.

    What each camera says of the base's pose is added up.
    Returns None where the inliers do not fix the pose.
    """

    def of_base(one: CameraMatches) -> NormalEquations:
        T_map_camera = T_map_base @ one.T_base_camera
        found = normal_equations(
            T_map_camera, one.pixels, one.points_map, one.camera, one.points_sigma, one.keyframe
        )
        return found.of_base(T_map_base[:3, 3] - T_map_camera[:3, 3])

    return covariance_of(reduce(add, [of_base(one) for one in matches if len(one.pixels)]))


def _poselib_pose(T: Pose) -> poselib.CameraPose:
    pose = poselib.CameraPose()
    pose.R, pose.t = T[:3, :3], T[:3, 3]
    return pose
