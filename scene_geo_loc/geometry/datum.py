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

"""Place of a map on the Earth: its datum, and where that is from."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scene_geo_loc.core.errors import GeodesyError
from scene_geo_loc.geometry.geodesy import (
    UtmZone,
    check_geodetic,
    ecef_of_geodetic,
    enu_axes,
    geodetic_of_ecef,
)
from scene_geo_loc.geometry.pose import Pose, from_xyzrpy, inverse, make_pose, transform

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Datum:
    """Position of a map's origin on the Earth (WGS-84) and directions of its axes there.

    Attributes:
        latitude_deg, longitude_deg: of the origin.
        altitude_m: height of the origin above the ellipsoid, as in sensor_msgs/NavSatFix.
        yaw_deg: angle from east to the map's x axis, counter-clockwise: 0 where x points east, 90 north
            (REP-103).  A compass heading of x is 90 minus this.
        pitch_deg, roll_deg: of the axes from horizontal ones, R = Rz(yaw) Ry(pitch) Rx(roll); 0 where z
            points up.

    Raises ValueError for impossible values.
    """

    latitude_deg: float
    longitude_deg: float
    altitude_m: float
    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    roll_deg: float = 0.0

    def __post_init__(self) -> None:
        check_geodetic(self.latitude_deg, self.longitude_deg, self.altitude_m)
        if not np.isfinite([self.yaw_deg, self.pitch_deg, self.roll_deg]).all():
            raise ValueError("yaw, pitch or roll is not a number")

    @classmethod
    def of_ecef(cls, T_ecef_map: Pose) -> Datum:
        """Returns the datum of a map whose pose in Earth-centred axes is known.

        Raises GeodesyError where its origin is far from the ground.
        """
        latitude, longitude, altitude = (float(value) for value in geodetic_of_ecef(T_ecef_map[:3, 3]))
        R = enu_axes(latitude, longitude).T @ T_ecef_map[:3, :3]
        pitch = np.arcsin(np.clip(-R[2, 0], -1.0, 1.0))
        yaw, roll = np.arctan2(R[1, 0], R[0, 0]), np.arctan2(R[2, 1], R[2, 2])
        angles = (float(np.degrees(angle)) for angle in (yaw, pitch, roll))
        try:
            return cls(latitude, longitude, altitude, *angles)
        except ValueError as error:
            raise GeodesyError(
                f"The map's origin is not near the ground ({error}): shift its poses to an origin near the "
                "place."
            ) from error

    @classmethod
    def of_grid(cls, zone: UtmZone, T_utm_map: Pose, anchor_map: ArrayLike) -> Datum:
        """Returns the datum of a map whose pose on the UTM grid is known; it is exact at the anchor (3,)."""
        anchor = np.asarray(anchor_map, np.float64)
        at_anchor = zone.geodetic_of_grid(transform(T_utm_map, anchor))
        latitude, longitude, _ = (float(value) for value in at_anchor)
        R_utm_enu = _turn(zone.convergence_deg(latitude, longitude))
        R_ecef_map = enu_axes(latitude, longitude) @ R_utm_enu.T @ T_utm_map[:3, :3]
        return cls.of_ecef(make_pose(R_ecef_map, ecef_of_geodetic(at_anchor) - R_ecef_map @ anchor))

    @cached_property
    def T_ecef_map(self) -> Pose:
        """Pose of the map in Earth-centred axes."""
        angles = np.radians([self.roll_deg, self.pitch_deg, self.yaw_deg])
        R_enu_map = from_xyzrpy(np.array([0.0, 0.0, 0.0, *angles]))[:3, :3]
        origin = ecef_of_geodetic([self.latitude_deg, self.longitude_deg, self.altitude_m])
        return make_pose(enu_axes(self.latitude_deg, self.longitude_deg) @ R_enu_map, origin)

    def geodetic_of(self, points_map: ArrayLike) -> F64:
        """Returns geodetic positions (..., 3) of points (..., 3) of the map."""
        return geodetic_of_ecef(transform(self.T_ecef_map, np.asarray(points_map, np.float64)))

    def map_of(self, geodetic: ArrayLike) -> F64:
        """Returns points (..., 3) of the map at geodetic positions (..., 3)."""
        return transform(inverse(self.T_ecef_map), ecef_of_geodetic(geodetic))

    def R_enu_map(self, point_map: ArrayLike) -> F64:
        """Returns the rotation (3, 3) from the map's axes to east, north, up at a point (3,) of the map."""
        latitude, longitude, _ = self.geodetic_of(point_map)
        return enu_axes(latitude, longitude).T @ self.T_ecef_map[:3, :3]

    def T_utm_map(self, anchor_map: ArrayLike, zone: UtmZone | None = None) -> tuple[Pose, UtmZone]:
        """Returns the pose of the map on the UTM grid, and the zone.

        The grid's scale differs from 1 by up to 0.1 %, which no rigid transform can have: positions are
        exact at the anchor and, within 1 km, off by 0.4 m at the middle of a zone.

        Args:
            anchor_map: point (3,) of the map that is transformed exactly.
            zone: None for the anchor's.

        Raises GeodesyError where the anchor is near a pole.
        """
        anchor = np.asarray(anchor_map, np.float64)
        latitude, longitude, height = (float(value) for value in self.geodetic_of(anchor))
        of_anchor = UtmZone.of(latitude, longitude)  # raises where there is no grid
        zone = zone or of_anchor
        R_utm_map = _turn(zone.convergence_deg(latitude, longitude)) @ self.R_enu_map(anchor)
        at_anchor = zone.grid_of_geodetic([latitude, longitude, height])
        return make_pose(R_utm_map, at_anchor - R_utm_map @ anchor), zone

    def __str__(self) -> str:
        latitude = f"{abs(self.latitude_deg):.7f}° {'N' if self.latitude_deg >= 0 else 'S'}"
        longitude = f"{abs(self.longitude_deg):.7f}° {'E' if self.longitude_deg >= 0 else 'W'}"
        text = f"{latitude}, {longitude}, {self.altitude_m:.2f} m; yaw {self.yaw_deg:.3f}°"
        if max(abs(self.pitch_deg), abs(self.roll_deg)) >= 0.0005:
            text += f", pitch {self.pitch_deg:.3f}°, roll {self.roll_deg:.3f}°"
        return text


def _turn(yaw_deg: float) -> F64:
    """Returns a rotation (3, 3) about z."""
    return from_xyzrpy(np.array([0.0, 0.0, 0.0, 0.0, 0.0, np.radians(yaw_deg)]))[:3, :3]


@dataclass(frozen=True)
class DatumFit:
    """Residuals of a datum that was fitted to satellite positions.

    Attributes:
        fixes: number of positions that it was fitted to.
        outliers: number of others, which contradict it.
        horizontal_rms_m, vertical_rms_m: of the residuals of `fixes`.
        horizontal_std_m, vertical_std_m: standard deviation of the place of `centre_m` along each axis.  The
            residuals' correlation over time counts, and what the receiver states beyond the residuals.
        yaw_std_deg: standard deviation of the yaw by the residuals.
        centre_m: centre of the positions in the map, about which the yaw turns.
    """

    fixes: int
    outliers: int
    horizontal_rms_m: float
    vertical_rms_m: float
    horizontal_std_m: float
    vertical_std_m: float
    yaw_std_deg: float
    centre_m: tuple[float, float, float]

    def covariance_enu(self, point_map: ArrayLike) -> F64:
        """Returns the covariance (3, 3) in east, north, up that the datum adds to a point (3,) of the map."""
        away = np.asarray(point_map, np.float64) - np.asarray(self.centre_m)
        swing = np.radians(self.yaw_std_deg) ** 2 * float(away[:2] @ away[:2])
        horizontal = self.horizontal_std_m**2 + swing
        return np.diag([horizontal, horizontal, self.vertical_std_m**2])

    def __str__(self) -> str:
        return (
            f"{self.fixes} of {self.fixes + self.outliers} positions agree within "
            f"{self.horizontal_rms_m:.2f} m horizontally and {self.vertical_rms_m:.2f} m vertically (RMS); "
            f"standard deviations {self.horizontal_std_m:.2f} m, {self.vertical_std_m:.2f} m and "
            f"{self.yaw_std_deg:.2f}°"
        )


GIVEN = "given"
"""Source of a datum that the user has given."""


@dataclass(frozen=True)
class Georeference:
    """Datum of a map with its source.

    Attributes:
        datum: the datum.
        source: topic or file that it is from, or `GIVEN`.
        fit: residuals, where it was fitted.
    """

    datum: Datum
    source: str = GIVEN
    fit: DatumFit | None = field(default=None)

    def __str__(self) -> str:
        fit = "" if self.fit is None else f"; {self.fit}"
        return f"{self.datum} ({self.source}{fit})"


def datum_of_text(text: str) -> Datum:
    """Returns the datum of a text: latitude, longitude, altitude and, by default 0, yaw, separated by commas.

    Raises GeodesyError where the text is none.
    """
    words = text.replace(",", " ").split()
    try:
        if len(words) not in (3, 4):
            raise ValueError(f"{len(words)} numbers instead of 3 or 4")
        return Datum(*(float(word) for word in words))
    except ValueError as error:
        raise GeodesyError(
            f"{text!r} is no datum ({error}): give latitude and longitude in degrees, altitude in metres "
            "and, if the map's x axis does not point east, its yaw in degrees."
        ) from error
