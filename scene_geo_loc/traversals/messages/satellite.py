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

"""Positions of satellite receivers (GPS) in messages of rclpy and of bags alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.geodesy import check_geodetic

NAV_SAT_FIX = "sensor_msgs/msg/NavSatFix"
GEO_POSE = "geographic_msgs/msg/GeoPoseStamped"
GEO_POSE_WITH_COVARIANCE = "geographic_msgs/msg/GeoPoseWithCovarianceStamped"

_NO_FIX = -1
"""Value of NavSatStatus.STATUS_NO_FIX; a status that is not set (-2) says nothing."""
_UNKNOWN_COVARIANCE = 0
"""Value of NavSatFix.COVARIANCE_TYPE_UNKNOWN."""
_MAX_SIGMA_M = 1e6


@dataclass(frozen=True)
class SatelliteFix:
    """A position that a receiver measured.

    Attributes:
        geodetic: (3,) latitude and longitude in degrees, height in metres, which may be NaN.
        covariance_enu: (3, 3) in m^2, east, north, up; None where it is not known.
    """

    geodetic: NDArray[np.float64]
    covariance_enu: NDArray[np.float64] | None

    @property
    def sigmas_m(self) -> tuple[float, float]:
        """Standard deviations along a horizontal axis and of the height; NaN where not known."""
        if self.covariance_enu is None:
            return np.nan, np.nan
        variances = np.diag(self.covariance_enu)
        return float(np.sqrt(variances[:2].mean())), float(np.sqrt(max(variances[2], 0.0)))


def fix_of(message: Any) -> SatelliteFix:
    """Returns the position of a sensor_msgs/NavSatFix.

    A covariance that is unknown by its type, not finite or not that of any distribution counts as unknown.

    Raises ValueError, with a phrase for the user, where there is no fix or the numbers are impossible.
    """
    if message.status.status == _NO_FIX:
        raise ValueError(f"no fix (status {_NO_FIX})")
    latitude, longitude, altitude = message.latitude, message.longitude, message.altitude
    check_geodetic(latitude, longitude, 0.0 if np.isnan(altitude) else altitude)
    if latitude == 0 and longitude == 0:
        raise ValueError("no fix (latitude and longitude are 0)")
    covariance = np.asarray(message.position_covariance, np.float64).reshape(3, 3)
    known = message.position_covariance_type != _UNKNOWN_COVARIANCE and _is_covariance(covariance)
    return SatelliteFix(np.array([latitude, longitude, altitude]), covariance if known else None)


def _is_covariance(covariance: NDArray[np.float64]) -> bool:
    if not (np.abs(covariance) < _MAX_SIGMA_M**2).all() or not (np.diag(covariance)[:2] > 0).all():
        return False
    return bool(np.linalg.eigvalsh((covariance + covariance.T) / 2)[0] > -1e-6)
