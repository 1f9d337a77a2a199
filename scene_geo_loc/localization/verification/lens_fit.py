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

"""The focal length that matches ask for, and the doubt whether the lens is the one that its intrinsics say.

With another focal length than the lens has, matches still agree with a pose, nearer or farther than the
right one: a metre or two in a street.  Where points lie at different depths, they agree still better with the
right focal length, which the fit of a pose finds as a seventh unknown.  Where they lie on a plane across the
line of sight they do not tell: then the standard deviation of the focal length is large, and nothing follows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.localization.least_squares import SCALE, error_scale, gauss_newton_step, linearised, moved
from scene_geo_loc.localization.pnp import FIT_WIDTH, CameraMatches, reprojection_errors
from scene_geo_loc.localization.uncertainty.covariance import normal_equations, sandwich
from scene_geo_loc.localization.verification.focal_scale import LEAST_STD, OTHER, FocalScale, LensEstimate

STEPS = 10
"""Largest number of Gauss-Newton steps; mostly three are enough."""
LARGEST_STEP = 0.1
"""Largest change of the logarithm of the focal length in one step."""
CONVERGED = 0.003
"""Change of the logarithm of the focal length below which the steps end."""
MIN_MATCHES = 12
"""Least number of matches that a focal length is estimated from."""


@dataclass(frozen=True)
class LensFit(FocalScale):
    """A focal length fitted together with a pose.

    Attributes:
        pose_by_scale: (6,) change of the camera's fitted pose by the scale's logarithm, order and axes as in
            `covariance_of`.
    """

    pose_by_scale: NDArray[np.float64]

    @property
    def pose_covariance(self) -> NDArray[np.float64]:
        """Covariance (6, 6) that the doubt of the focal length adds to a pose by the intrinsics.

        Where the lens may be another, the focal length is the mean of the fit and of what is known before.
        """
        kept = OTHER**2 / (OTHER**2 + self.std**2)
        variance = self.doubt * ((kept * math.log(self.scale)) ** 2 + kept * self.std**2)
        return variance * np.outer(self.pose_by_scale, self.pose_by_scale)

    def of(self, camera: Camera) -> LensEstimate:
        """Returns the estimate for the camera whose image the matches are of."""
        return LensEstimate(self.scale, self.std, camera)


def fit_lens(
    T_map_camera: Pose, matches: CameraMatches, max_error_px: float, block_px: float
) -> LensFit | None:
    """Returns the focal length that the matches of a camera near a pose ask for; None if they ask for none.

    The robust fit is that of `least_squares.fit_pose` with the focal length as a seventh unknown.  The fit is
    of this camera alone, also where it is part of a rig.

    Args:
        T_map_camera: pose of the camera, solved with its intrinsics.
        matches: all matches of the camera.
        max_error_px: largest reprojection error of an inlier.
        block_px: side of a block, see `normal_equations`.
    """
    T, log_scale, scale_px = T_map_camera, 0.0, max_error_px
    camera, near = matches.camera, matches
    for _ in range(STEPS):
        camera = _zoomed(matches.camera, log_scale)
        near = matches.where(_errors(T, matches, camera) <= FIT_WIDTH * max_error_px)
        if len(near) < MIN_MATCHES:
            return None
        points = near.points_at(T, camera)
        residuals, J = linearised(
            T, near.pixels, points, camera, near.points_sigma, scale_px, with_focal=True
        )
        squared = residuals[0] ** 2 + residuals[1] ** 2
        scale_px = SCALE * error_scale(np.sqrt(squared[squared <= max_error_px**2]))
        step = gauss_newton_step(residuals, J, 1 / (1 + squared / scale_px**2))
        step *= min(1.0, LARGEST_STEP / max(abs(float(step[6])), CONVERGED))
        T, log_scale = moved(T, step[:6]), log_scale + float(step[6])
        if not np.isfinite(T).all() or abs(log_scale) > 1.0:
            return None
        if abs(step[6]) < CONVERGED:
            break
    points = near.points_at(T, camera)
    equations = normal_equations(
        T, near.pixels, points, camera, near.points_sigma, near.keyframe, block_px, with_focal=True
    )
    covariance = sandwich(equations)
    if covariance is None or not np.isfinite(covariance).all():
        return None
    by_scale = -np.linalg.solve(equations.information[:6, :6], equations.information[:6, 6])
    std = math.hypot(float(covariance[6, 6]) ** 0.5, LEAST_STD)
    return LensFit(math.exp(log_scale), std, np.asarray(by_scale, np.float64))


def _zoomed(camera: Camera, log_scale: float) -> Camera:
    scale = math.exp(log_scale)
    return replace(camera, fx=scale * camera.fx, fy=scale * camera.fy)


def _errors(T_map_camera: Pose, matches: CameraMatches, camera: Camera) -> NDArray[np.float64]:
    points = matches.points_at(T_map_camera, camera)
    return reprojection_errors(T_map_camera, matches.pixels, points, camera)
