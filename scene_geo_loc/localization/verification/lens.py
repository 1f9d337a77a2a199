"""The focal length that matches ask for, and the doubt whether the lens is the one that its intrinsics say.

With another focal length than the lens has, matches still agree with a pose, nearer or farther than the
right one: a metre or two in a street.  Where points lie at different depths, they agree still better with the
right focal length, which the fit of a pose finds as a seventh unknown.  Where they lie on a plane across the
line of sight they do not tell: then the standard deviation of the focal length is large, and nothing follows.
"""

from __future__ import annotations

import logging
import math
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.localization.covariance import normal_equations, sandwich
from scene_geo_loc.localization.least_squares import SCALE, error_scale, gauss_newton_step, linearised, moved
from scene_geo_loc.localization.pnp import FIT_WIDTH, CameraMatches, reprojection_errors

_log = logging.getLogger(__name__)

TOLERATED = 0.03
"""Largest relative error of a focal length that is never reported."""

SIGNIFICANT = 3.0
"""Standard deviations that a focal length must be off to be reported."""

OTHER_LENS = 0.05
"""Share of the images that are taken for those of another lens before anything is known."""

CALIBRATED, OTHER = 0.01, 0.12
"""Standard deviations of the logarithm of the focal length against that of the intrinsics: where they were
calibrated, and where they belong to another lens, zoom or crop."""

LEAST_STD = 0.004
"""Least standard deviation of a focal length from one image; with it the deviations found in right images are
as large as stated, in three simulated drives and a walk indoors."""

SHARED_BY = 3.0
"""Number of consecutive images whose errors count as the same."""

STEPS = 10
"""Largest number of Gauss-Newton steps; mostly three are enough."""
LARGEST_STEP = 0.1
"""Largest change of the logarithm of the focal length in one step."""
CONVERGED = 0.003
"""Change of the logarithm of the focal length below which the steps end."""
MIN_MATCHES = 12
"""Least number of matches that a focal length is estimated from."""


@dataclass(frozen=True)
class FocalScale:
    """Focal length that matches ask for, in multiples of that of the intrinsics.

    Attributes:
        scale: the multiple.
        std: its standard deviation, relative to it.
    """

    scale: float
    std: float

    @property
    def is_off(self) -> bool:
        """True if the focal length differs significantly, and by more than `TOLERATED`."""
        return abs(math.log(self.scale)) > max(TOLERATED, SIGNIFICANT * self.std)

    @property
    def is_other(self) -> bool:
        """True if the lens is more probably another than that of the intrinsics: poses by them are wrong."""
        return abs(math.log(self.scale)) > TOLERATED and self.doubt > 0.5

    @property
    def doubt(self) -> float:
        """Probability that the lens is another than the intrinsics say.

        By Bayes' rule for two normal distributions of the scale's logarithm, see `CALIBRATED` and `OTHER`.
        """
        calibrated, other = (math.hypot(std, self.std) for std in (CALIBRATED, OTHER))
        log_odds = (
            math.log(OTHER_LENS / (1 - OTHER_LENS))
            + math.log(calibrated / other)
            + math.log(self.scale) ** 2 / 2 * (calibrated**-2 - other**-2)
        )
        return 1 / (1 + math.exp(min(-log_odds, 700.0)))


@dataclass(frozen=True)
class LensEstimate(FocalScale):
    """Focal length that the images of one camera ask for.

    Attributes:
        camera: its intrinsics.
    """

    camera: Camera

    def __str__(self) -> str:
        return (
            f"Images of {self.camera.width}x{self.camera.height} pixels look as if taken with "
            f"{self.scale:.2f} times the focal length of their intrinsics (±{100 * self.std:.1f} %): "
            "check these, and that they are of the images as they are cropped and resized."
        )


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
        residuals, J = linearised(
            T, near.pixels, near.points_map, camera, near.points_sigma, scale_px, with_focal=True
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
    equations = normal_equations(
        T, near.pixels, near.points_map, camera, near.points_sigma, near.keyframe, block_px, with_focal=True
    )
    covariance = sandwich(equations)
    if covariance is None or not np.isfinite(covariance).all():
        return None
    by_scale = -np.linalg.solve(equations.information[:6, :6], equations.information[:6, 6])
    std = math.hypot(float(covariance[6, 6]) ** 0.5, LEAST_STD)
    return LensFit(math.exp(log_scale), std, np.asarray(by_scale, np.float64))


class LensMonitor:
    """Focal lengths of the cameras of a session, from their last images.

    Args:
        images: number of images that an estimate is taken over.
        cameras: number of cameras that are kept, the last ones.
    """

    def __init__(self, images: int = 30, cameras: int = 16) -> None:
        self._images, self._cameras = images, cameras
        self._recent: OrderedDict[Camera, deque[LensEstimate]] = OrderedDict()
        self._reported: set[Camera] = set()

    def add(self, estimates: Sequence[LensEstimate]) -> LensEstimate | None:
        """Adds the estimates of the next image of each camera; returns that of a camera with another lens.

        Returns None where all cameras have the lenses that their intrinsics say, as far as is known.  A
        camera whose focal length is off is logged once.
        """
        for estimate in estimates:
            recent = self._recent.setdefault(estimate.camera, deque(maxlen=self._images))
            recent.append(estimate)
            self._recent.move_to_end(estimate.camera)
            if len(self._recent) > self._cameras:
                self._recent.popitem(last=False)
        running = [_running(self._recent[estimate.camera]) for estimate in estimates]
        for lens in running:
            if lens.is_off and lens.camera not in self._reported:
                self._reported.add(lens.camera)
                _log.warning("%s", lens)
        return next((lens for lens in running if lens.is_other), None)

    @property
    def worst(self) -> LensEstimate | None:
        """The estimate that is most off, in standard deviations, of the cameras that are kept."""
        running = [_running(recent) for recent in self._recent.values()]
        return max(running, key=lambda lens: abs(math.log(lens.scale)) / lens.std, default=None)


def _running(recent: Sequence[LensEstimate]) -> LensEstimate:
    """Returns the weighted median of estimates of one camera, which single wrong ones do not move."""
    logs = np.log([lens.scale for lens in recent])
    weights = 1 / (np.array([lens.std for lens in recent]) ** 2 + CALIBRATED**2)
    order = np.argsort(logs)
    half = np.searchsorted(np.cumsum(weights[order]), weights.sum() / 2)
    shared_by = min(SHARED_BY, len(recent))
    std = math.sqrt(shared_by / float((np.array([lens.std for lens in recent]) ** -2.0).sum()))
    return replace(recent[-1], scale=math.exp(logs[order[half]]), std=math.hypot(std, LEAST_STD))


def _zoomed(camera: Camera, log_scale: float) -> Camera:
    scale = math.exp(log_scale)
    return replace(camera, fx=scale * camera.fx, fy=scale * camera.fy)


def _errors(T_map_camera: Pose, matches: CameraMatches, camera: Camera) -> NDArray[np.float64]:
    return reprojection_errors(T_map_camera, matches.pixels, matches.points_map, camera)
