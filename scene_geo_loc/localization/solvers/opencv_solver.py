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


class OpenCvSolver(PnpSolver):
    """USAC (Ivashechkin, Barath and Matas, USACv20, CVWW 2021) with P3P and a robust final fit.

    OpenCV has no solver for rigs: `rig_ransac` takes its place.
    """

    name = f"OpenCV {cv2.__version__} USAC"

    def camera_pose(self, matches: CameraMatches, max_error_px: float, effort: Effort) -> RobustPose | None:
        """Returns T_map_camera of one camera."""
        settings = cv2.UsacParams()
        settings.threshold = max_error_px
        settings.maxIterations = effort.max_iterations
        settings.confidence = CONFIDENCE
        # The local optimisations take several times as long and find no more inliers: the fit below does.
        settings.loMethod = cv2.LOCAL_OPTIM_NULL
        settings.randomGeneratorState = 0
        try:
            found, _, rotation, translation, inliers = cv2.solvePnPRansac(
                matches.points_map, matches.pixels, matches.camera.K, None, params=settings
            )
        except cv2.error:  # degenerate matches
            return None
        if not found or inliers is None:
            return None
        T_map_camera = inverse(make_pose(cv2.Rodrigues(rotation)[0], translation[:, 0]))
        if not np.isfinite(T_map_camera).all():
            return None
        count = len(inliers)
        if effort.is_precise:
            alone = replace(matches, T_base_camera=np.eye(4))
            T_map_camera = refine_to_inliers(T_map_camera, [alone], max_error_px)
            count = int((alone.errors(T_map_camera) <= max_error_px).sum())
        return RobustPose(T_map_camera, count)

    def rig_pose(
        self, matches: Sequence[CameraMatches], max_error_px: float, effort: Effort
    ) -> RobustPose | None:
        """Returns T_map_base of a rig."""
        return rig_ransac(matches, max_error_px, effort)
