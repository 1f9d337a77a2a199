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

"""Robust PnP without PoseLib: one camera by OpenCV's USAC, a rig by a search of our own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from scene_geo_loc.geometry.pose import inverse, make_pose
from scene_geo_loc.localization.pnp import CameraMatches, refine_to_inliers
from scene_geo_loc.localization.solvers.base import CONFIDENCE, Effort, PnpSolver, RobustPose
from scene_geo_loc.localization.solvers.rig_ransac import rig_ransac

SEEDS = (0, 1)
"""Seeds of the searches for a precise pose, the best of which is taken.

Of 271 images of recorded and simulated drives, one search ended in a worse optimum than PoseLib's for 12, the
better of two searches for 3.
"""


class OpenCvSolver(PnpSolver):
    """USAC (Ivashechkin, Barath and Matas, USACv20, CVWW 2021) with P3P, and a fit to the inliers.

    OpenCV has no solver for rigs: `rig_ransac` takes its place.
    """

    name = f"OpenCV {cv2.__version__} USAC"

    def camera_pose(self, matches: CameraMatches, max_error_px: float, effort: Effort) -> RobustPose | None:
        """Returns T_map_camera of one camera."""
        if not effort.is_precise:
            return _usac(matches, max_error_px, effort, SEEDS[0])
        alone = replace(matches, T_base_camera=np.eye(4))
        best, lowest = None, np.inf
        for seed in SEEDS:
            rough = _usac(alone, max_error_px, effort, seed)
            if rough is None:
                continue
            T_map_camera = refine_to_inliers(rough.T, [alone], max_error_px)
            errors = alone.errors(T_map_camera)
            cost = float(np.square(np.minimum(errors, max_error_px)).sum())
            if cost < lowest:
                best, lowest = RobustPose(T_map_camera, int((errors <= max_error_px).sum())), cost
        return best

    def rig_pose(
        self, matches: Sequence[CameraMatches], max_error_px: float, effort: Effort
    ) -> RobustPose | None:
        """Returns T_map_base of a rig."""
        return rig_ransac(matches, max_error_px, effort)


def _usac(matches: CameraMatches, max_error_px: float, effort: Effort, seed: int) -> RobustPose | None:
    """Returns the best T_map_camera of OpenCV's search; None where there is none."""
    settings = cv2.UsacParams()
    settings.threshold = max_error_px
    settings.maxIterations = effort.max_iterations
    settings.confidence = CONFIDENCE
    # OpenCV's local optimisation takes several times as long, and finds no better poses than the fit does.
    settings.loMethod = cv2.LOCAL_OPTIM_NULL
    settings.randomGeneratorState = seed
    try:
        found, _, rotation, translation, inliers = cv2.solvePnPRansac(
            matches.points_map, matches.pixels, matches.camera.K, None, params=settings
        )
    except cv2.error:  # degenerate matches
        return None
    if not found or inliers is None:
        return None
    T_map_camera = inverse(make_pose(cv2.Rodrigues(rotation)[0], translation[:, 0]))
    return RobustPose(T_map_camera, len(inliers)) if np.isfinite(T_map_camera).all() else None
