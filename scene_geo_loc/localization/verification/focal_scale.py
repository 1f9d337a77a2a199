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

"""Doubt whether a lens is the one that its intrinsics say, by the focal lengths that images ask for."""

from __future__ import annotations

import logging
import math
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # OpenCV would slow down the help of the command line
    from scene_geo_loc.geometry.camera import Camera

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
