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

"""Robust PnP by PoseLib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import poselib

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose, inverse, make_pose
from scene_geo_loc.localization.pnp import CameraMatches
from scene_geo_loc.localization.solvers.base import CONFIDENCE, Effort, PnpSolver, RobustPose


class PoseLibSolver(PnpSolver):
    """RANSAC with local optimisation, by PoseLib.

    Minimal solver of one camera: P3P; of a rig: GP3P, whose three rays may come from different cameras
    (Kukelova, Heller and Fitzgibbon, Efficient intersection of three quadrics and applications in computer
    vision, CVPR 2016).
    """

    name = f"PoseLib {poselib.__version__}"

    def camera_pose(self, matches: CameraMatches, max_error_px: float, effort: Effort) -> RobustPose | None:
        """Returns T_map_camera of one camera."""
        pose, info = poselib.estimate_absolute_pose(
            matches.pixels,
            matches.points_map,
            _description(matches.camera),
            _ransac_options(max_error_px, effort),
            _refinement_options(max_error_px, effort),
        )
        return _result(pose, info)

    def rig_pose(
        self, matches: Sequence[CameraMatches], max_error_px: float, effort: Effort
    ) -> RobustPose | None:
        """Returns T_map_base of a rig."""
        pose, info = poselib.estimate_generalized_absolute_pose(
            [camera.pixels for camera in matches],
            [camera.points_map for camera in matches],
            [_pose(inverse(camera.T_base_camera)) for camera in matches],
            [_description(camera.camera) for camera in matches],
            _ransac_options(max_error_px, effort),
            _refinement_options(max_error_px, effort),
        )
        return _result(pose, info)


def _description(camera: Camera) -> dict[str, Any]:
    """Returns PoseLib's description of a camera without distortion."""
    return {
        "model": "PINHOLE",
        "width": camera.width,
        "height": camera.height,
        "params": [camera.fx, camera.fy, camera.cx, camera.cy],
    }


def _pose(T: Pose) -> poselib.CameraPose:
    pose = poselib.CameraPose()
    pose.R, pose.t = T[:3, :3], T[:3, 3]
    return pose


def _ransac_options(max_error_px: float, effort: Effort) -> dict[str, Any]:
    return {
        "max_reproj_error": max_error_px,
        "max_iterations": effort.max_iterations,
        "min_iterations": effort.min_iterations,
        "success_prob": CONFIDENCE,
        "dyn_num_trials_mult": 1.0,  # no extra iterations beyond the confidence: each good sample is refined
        "seed": 0,
    }


def _refinement_options(max_error_px: float, effort: Effort) -> dict[str, Any]:
    if not effort.is_precise:
        return {"max_iterations": 3}
    return {"loss_type": "CAUCHY", "loss_scale": max_error_px / 3, "max_iterations": 10}


def _result(pose: poselib.CameraPose, info: dict[str, Any]) -> RobustPose | None:
    T = inverse(make_pose(pose.R, pose.t))
    return RobustPose(T, int(info["num_inliers"])) if np.isfinite(T).all() else None
