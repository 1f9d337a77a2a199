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


"""Calibration of a localizer by scene coordinates, as its map stores it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field


class CoordinateCalibration(BaseModel):
    """Limit of accepted poses and size of their errors, measured on images left out of the training.

    The covariance of a pose is `scale` squared times that by its residuals plus `floor` squared, each for
    positions and for rotations.

    Attributes:
        images: number of images that it was measured on.
        position_scale, rotation_scale: factors of the standard deviations by the residuals.
        position_floor_m, rotation_floor_deg: standard deviations along each axis that are added.
        median_error_m, median_error_deg: medians of the errors; 1e6 for an image without a pose.
        accepted_error_m: position error within which a pose counts as right.
        min_inlier_ratio: least share of inliers that is accepted: of the images above it at least 95 % are
            right, and no mirrored image is above it; None where there is no such limit, so that no pose is
            accepted.
        mirrored_inlier_ratio: the largest share of inliers of a mirrored image, which shows a place that does
            not exist.
        max_distance_m: largest distance of an accepted position from the nearest image of the training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: int
    position_scale: float = Field(gt=0, allow_inf_nan=False)
    rotation_scale: float = Field(gt=0, allow_inf_nan=False)
    position_floor_m: float = Field(gt=0, allow_inf_nan=False)
    rotation_floor_deg: float = Field(gt=0, allow_inf_nan=False)
    median_error_m: float
    median_error_deg: float
    accepted_error_m: float = Field(gt=0)
    min_inlier_ratio: float | None
    mirrored_inlier_ratio: float
    max_distance_m: float

    def covariance(self, by_residuals: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns the covariance (6, 6) of a pose from that by its residuals."""
        scales = np.repeat([self.position_scale, self.rotation_scale], 3)
        floors = np.repeat([self.position_floor_m, np.radians(self.rotation_floor_deg)], 3)
        return np.asarray(by_residuals * np.outer(scales, scales) + np.diag(floors**2))
