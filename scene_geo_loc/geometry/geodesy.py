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

"""Positions on the Earth (WGS-84): geodetic, Earth-centred, in local axes, and on the UTM grid.

Geodetic positions (..., 3) are latitude and longitude in degrees and height above the ellipsoid in metres.
Earth-centred, Earth-fixed positions (ECEF, the frame `earth` of REP-105) are in metres.  Local axes are east,
north, up (ENU, REP-103).  The conversions are pyproj's, which is imported when it is first needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scene_geo_loc.core.errors import GeodesyError

if TYPE_CHECKING:
    from pyproj import Transformer

F64 = NDArray[np.float64]

UTM_SOUTH_DEG, UTM_NORTH_DEG = -80.0, 84.0
"""Latitudes between which the UTM grid is defined; beyond it there are polar grids."""
MAX_HEIGHT_M = 100_000.0
"""Larger heights above the ellipsoid, or depths below it, are refused."""

_GEODETIC_TO_ECEF = "+proj=cart +ellps=WGS84"


@lru_cache(maxsize=130)
def _transformer(definition: str) -> Transformer:
    """Returns pyproj's operation of a definition, which needs no data base.

    Raises GeodesyError where pyproj is not installed.
    """
    try:
        from pyproj import Transformer
    except ModuleNotFoundError as error:
        raise GeodesyError(
            "Positions on the Earth need pyproj, which is not installed: install the package pyproj "
            "(python3-pyproj on Ubuntu)."
        ) from error
    return Transformer.from_pipeline(definition)


def _converted(definition: str, points: ArrayLike, direction: str) -> F64:
    points = np.asarray(points, np.float64)
    x, y, z = np.ascontiguousarray(points.reshape(-1, 3).T)
    converted: Any = _transformer(definition).transform(x, y, z, direction=direction)
    return np.stack(converted, axis=-1).reshape(points.shape)


def _swapped(geodetic: ArrayLike) -> F64:
    """Returns positions with latitude and longitude exchanged: pyproj takes the longitude first."""
    return np.asarray(geodetic, np.float64)[..., [1, 0, 2]]


def ecef_of_geodetic(geodetic: ArrayLike) -> F64:
    """Returns Earth-centred positions (..., 3) of geodetic positions (..., 3)."""
    return _converted(_GEODETIC_TO_ECEF, _swapped(geodetic), "FORWARD")


def geodetic_of_ecef(ecef: ArrayLike) -> F64:
    """Returns geodetic positions (..., 3) of Earth-centred positions (..., 3)."""
    return _swapped(_converted(_GEODETIC_TO_ECEF, ecef, "INVERSE"))


def enu_axes(latitude_deg: ArrayLike, longitude_deg: ArrayLike) -> F64:
    """Returns the axes east, north, up at positions (...,) in Earth-centred axes: `R_ecef_enu` (..., 3, 3).

    At a pole they depend on the longitude that is given, as east and north are not defined there.
    """
    latitude, longitude = np.radians(latitude_deg), np.radians(longitude_deg)
    (slat, clat), (slon, clon) = (np.sin(latitude), np.cos(latitude)), (np.sin(longitude), np.cos(longitude))
    rows = [
        [-slon, -slat * clon, clat * clon],
        [clon, -slat * slon, clat * slon],
        [np.zeros_like(slat), clat, slat],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def check_geodetic(latitude_deg: float, longitude_deg: float, height_m: float) -> None:
    """Raises ValueError, with a phrase for the user, where this is no position on the Earth."""
    if not np.isfinite([latitude_deg, longitude_deg, height_m]).all():
        raise ValueError("latitude, longitude or height is not a number")
    if abs(latitude_deg) > 90:
        raise ValueError(f"latitude {latitude_deg:g}° is beyond ±90°")
    if abs(longitude_deg) > 360:
        raise ValueError(f"longitude {longitude_deg:g}° is beyond ±360°")
    if abs(height_m) > MAX_HEIGHT_M:
        raise ValueError(f"height {height_m:g} m is beyond ±{MAX_HEIGHT_M:g} m")


@dataclass(frozen=True)
class UtmZone:
    """Zone of the Universal Transverse Mercator grid.

    Attributes:
        number: 1 to 60, six degrees of longitude each, from 180° west.
        is_north: True for the northern hemisphere; on the southern one northings begin at 10,000 km.
    """

    number: int
    is_north: bool

    @classmethod
    def of(cls, latitude_deg: float, longitude_deg: float) -> UtmZone:
        """Returns the zone of a position, with the exceptions of Norway and Svalbard.

        Raises GeodesyError near the poles, where the grid is not defined.
        """
        if not UTM_SOUTH_DEG <= latitude_deg <= UTM_NORTH_DEG:
            raise GeodesyError(
                f"Latitude {latitude_deg:.4f}° is outside of the UTM grid, {UTM_SOUTH_DEG:g}° to "
                f"{UTM_NORTH_DEG:g}°: use Earth-centred coordinates (ECEF) there."
            )
        longitude = (longitude_deg + 180.0) % 360.0 - 180.0
        number = min(int((longitude + 180.0) // 6.0) + 1, 60)
        if 56.0 <= latitude_deg < 64.0 and 3.0 <= longitude < 12.0:
            number = 32
        elif latitude_deg >= 72.0 and 0.0 <= longitude < 42.0:
            number = 31 + 2 * int((longitude + 3.0) // 12.0)
        return cls(number, latitude_deg >= 0)

    def __str__(self) -> str:
        return f"{self.number}{'N' if self.is_north else 'S'}"

    @property
    def _definition(self) -> str:
        south = "" if self.is_north else " +south"
        return f"+proj=utm +zone={self.number}{south} +ellps=WGS84"

    def grid_of_geodetic(self, geodetic: ArrayLike) -> F64:
        """Returns easting, northing and height (..., 3) in metres of geodetic positions (..., 3).

        Positions beyond the zone's border get the coordinates of this zone, which remain exact to a
        millimetre for more than ten degrees.
        """
        return _converted(self._definition, _swapped(geodetic), "FORWARD")

    def geodetic_of_grid(self, grid: ArrayLike) -> F64:
        """Returns geodetic positions (..., 3) of easting, northing and height (..., 3) in metres."""
        return _swapped(_converted(self._definition, grid, "INVERSE"))

    def convergence_deg(self, latitude_deg: float, longitude_deg: float) -> float:
        """Returns the angle from grid east to true east at a position, counter-clockwise, in degrees.

        It is the direction of a short way to the east on the grid.
        """
        R_ecef_enu = enu_axes(latitude_deg, longitude_deg)
        here = ecef_of_geodetic([latitude_deg, longitude_deg, 0.0])
        ends = geodetic_of_ecef(here + np.array([[-1.0], [1.0]]) * R_ecef_enu[:, 0])
        (east, north, _) = np.diff(self.grid_of_geodetic(ends), axis=0)[0]
        return float(np.degrees(np.arctan2(north, east)))
