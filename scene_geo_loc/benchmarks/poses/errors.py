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

"""Errors of the poses that one method gives for the queries of a set."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from scene_geo_loc.geometry.pose import Pose, position_error_m, rotation_error_deg
from scene_geo_loc.metrics.pose_error import QueryRecord


class Place(str, Enum):
    """Kind of place, which sets the error bounds."""

    INDOORS = "indoors"
    OUTDOORS = "outdoors"


BOUNDS = {
    Place.INDOORS: {"5 cm 5°": (0.05, 5.0), "10 cm 5°": (0.1, 5.0), "0.25 m 2°": (0.25, 2.0)},
    Place.OUTDOORS: {"0.25 m 2°": (0.25, 2.0), "0.5 m 5°": (0.5, 5.0), "5 m 10°": (5.0, 10.0)},
}
"""Bounds on position (metres) and rotation (degrees) that shares are given for.

Outdoors they are those of the long-term visual localization benchmark (Sattler et al., CVPR 2018), indoors
those usual on 7-Scenes.  Methods are compared by the first bound.
"""

WRONG_FIX_M = {Place.INDOORS: 0.5, Place.OUTDOORS: 5.0}


class PoseErrors(BaseModel):
    """Errors of one method on all queries of a set, in order of time.

    Attributes:
        localized: whether each query was localized; None for retrieval, which verifies nothing.
        position_m, rotation_deg: error of each query's pose, or of the pose before verification where it was
            not localized; None without a pose.
        ms: time from image to pose of each query; None without a pose.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    localized: list[bool] | None
    position_m: list[float | None]
    rotation_deg: list[float | None]
    ms: list[float | None]

    @property
    def position(self) -> NDArray[np.float64]:
        """Position error of each query (Q,) in metres, infinite without an answer."""
        return _known(self.position_m)

    @property
    def rotation(self) -> NDArray[np.float64]:
        """Rotation error of each query (Q,) in degrees, infinite without an answer."""
        return _known(self.rotation_deg)

    @property
    def counts(self) -> NDArray[np.bool_]:
        """Mask (Q,) of the poses that count in shares."""
        return np.isfinite(self.position) if self.localized is None else np.array(self.localized, bool)

    def within(self, bound: tuple[float, float]) -> NDArray[np.bool_]:
        """Returns a mask (Q,) of the queries within a bound on position (metres) and rotation (degrees)."""
        return self.counts & (self.position <= bound[0]) & (self.rotation <= bound[1])

    @property
    def median_m(self) -> float | None:
        """Median position error; None where half of the queries or more have no answer."""
        return _median(self.position)

    @property
    def median_deg(self) -> float | None:
        """Median rotation error; None where half of the queries or more have no answer."""
        return _median(self.rotation)

    @property
    def localized_share(self) -> float | None:
        """Share of the queries that were localized; None for retrieval."""
        return None if self.localized is None else float(np.mean(self.localized))

    @property
    def median_ms(self) -> float | None:
        """Median time from image to answer."""
        spent = [ms for ms in self.ms if ms is not None]
        return float(np.median(spent)) if spent else None

    def wrong_fixes(self, place: Place) -> int | None:
        """Returns the number of localized poses with an error above `WRONG_FIX_M`; None for retrieval."""
        if self.localized is None:
            return None
        return int((self.counts & (self.position > WRONG_FIX_M[place])).sum())


def errors_of_poses(
    records: Sequence[QueryRecord], poses: Sequence[Pose | None], ms: Sequence[float | None]
) -> dict[str, list[float | None]]:
    """Returns the errors of poses whose truth is known, as fields of `MethodResult`."""
    position: list[float | None] = []
    rotation: list[float | None] = []
    for record, pose in zip(records, poses, strict=True):
        assert record.T_true is not None
        position.append(None if pose is None else round(float(position_error_m(record.T_true, pose)), 5))
        rotation.append(None if pose is None else round(float(rotation_error_deg(record.T_true, pose)), 4))
    return {"position_m": position, "rotation_deg": rotation, "ms": [_rounded(one, 2) for one in ms]}


def _known(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([np.inf if value is None else value for value in values], np.float64)


def _median(values: NDArray[np.float64]) -> float | None:
    median = float(np.median(values)) if len(values) else np.inf
    return median if np.isfinite(median) else None


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
