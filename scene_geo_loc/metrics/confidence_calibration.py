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

"""Calibration of confidences: the share of right poses among those of about the same stated probability.

Protocol: all poses with a confidence and known ground truth; a pose is right if its position error is at most
the bound beyond which it counts as wrong.  Confidences are calibrated if the share of right poses of each bin
is its mean confidence.  Intervals are those of Clopper and Pearson (Biometrika 1934).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta

from scene_geo_loc.geometry.pose import position_error_m
from scene_geo_loc.metrics.pose_error import WRONG_FIX_M, QueryRecord

EDGES = (0.01, 0.1, 0.5, 0.9, 0.99, 0.999)
"""Bounds between the bins of confidence."""

LEVEL = 0.95
"""Probability that an interval holds the true share."""


@dataclass(frozen=True)
class ConfidenceBin:
    """Poses whose confidence lies between two bounds.

    Attributes:
        at_least, below: the bounds; a confidence of 1 is in the last bin.
        mean_confidence: mean of their confidences.
        poses: number of poses, more than 0.
        right: number of those that are right.
    """

    at_least: float
    below: float
    mean_confidence: float
    poses: int
    right: int

    @property
    def right_share(self) -> float:
        """Share of the poses that are right."""
        return self.right / self.poses

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval of the share of right poses."""
        tail, wrong = (1 - LEVEL) / 2, self.poses - self.right
        low = float(beta.ppf(tail, self.right, wrong + 1)) if self.right else 0.0
        high = float(beta.ppf(1 - tail, self.right + 1, wrong)) if wrong else 1.0
        return low, high

    def to_dict(self) -> dict[str, Any]:
        """Returns the record that is written as JSON."""
        return {
            "at_least": self.at_least,
            "below": self.below,
            "mean_confidence": round(self.mean_confidence, 6),
            "poses": self.poses,
            "right": self.right,
        }


def confidence_bins(confidences: ArrayLike, is_right: ArrayLike) -> list[ConfidenceBin]:
    """Returns the bins of poses that are not empty, lowest first.

    Args:
        confidences: (N,) stated probabilities.
        is_right: (N,) bool.
    """
    stated, right = np.asarray(confidences, np.float64), np.asarray(is_right, bool)
    number: NDArray[np.int64] = np.searchsorted(EDGES, stated, side="right")
    bounds = (0.0, *EDGES, 1.0)
    return [
        ConfidenceBin(
            bounds[i], bounds[i + 1], float(stated[mask].mean()), int(mask.sum()), int(right[mask].sum())
        )
        for i in range(len(bounds) - 1)
        if (mask := number == i).any()
    ]


def confidence_calibration(
    records: Sequence[QueryRecord], wrong_fix_m: float = WRONG_FIX_M
) -> list[ConfidenceBin]:
    """Returns the bins of a run, lowest first; none if no pose has a confidence and known ground truth.

    Args:
        wrong_fix_m: position error above which a pose counts as wrong, metres.
    """
    scored = [
        (record.confidence, position_error_m(record.T_true, record.T_estimated) <= wrong_fix_m)
        for record in records
        if record.confidence is not None and record.T_true is not None and record.T_estimated is not None
    ]
    return confidence_bins(*zip(*scored, strict=True)) if scored else []
