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

"""Calibration of pose covariances: the share of true poses inside the stated 95 % ellipsoids.

Protocol: all poses with a covariance and known ground truth. If errors are Gaussian and the covariance is
correct, the ellipsoids contain 95 % of the true poses; a smaller share means too small covariances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from scene_geo_loc.geometry.lie import difference
from scene_geo_loc.metrics.pose_error import QueryRecord

LEVEL = 0.95


@dataclass(frozen=True)
class CovarianceCalibration:
    """Shares of true poses inside the `LEVEL` ellipsoids.

    Attributes:
        poses: number of poses that were compared.
        position, rotation: shares by the three degrees of freedom of each.
        pose: share by all six degrees of freedom together.
    """

    poses: int
    position: float
    rotation: float
    pose: float

    def to_dict(self) -> dict[str, float]:
        """Returns the record that is written as JSON."""
        shares = {"position": self.position, "rotation": self.rotation, "pose": self.pose}
        return {name: round(share, 4) for name, share in shares.items()}


def covariance_calibration(records: Sequence[QueryRecord]) -> CovarianceCalibration | None:
    """Returns the calibration of a run; None if no pose has a covariance and known ground truth."""
    inside = []
    for record in records:
        if not record.is_localized or record.T_true is None or record.covariance is None:
            continue
        assert record.T_estimated is not None
        error = difference(record.T_estimated, record.T_true)
        inside.append(
            [
                error[part] @ np.linalg.solve(record.covariance[part, part], error[part])
                <= chi2.ppf(LEVEL, part.stop - part.start)
                for part in (slice(0, 3), slice(3, 6), slice(0, 6))
            ]
        )
    if not inside:
        return None
    position, rotation, pose = np.mean(inside, axis=0)
    return CovarianceCalibration(len(inside), float(position), float(rotation), float(pose))
