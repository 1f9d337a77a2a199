"""Conversion of Universal Transverse Mercator (UTM) coordinates to latitude and longitude."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_AXIS_M = 6378137.0
_FLATTENING = 1 / 298.257223563
_SCALE = 0.9996
_FALSE_EASTING_M = 500_000.0


def geodetic_of_utm(northing: ArrayLike, easting: ArrayLike, zone: int) -> NDArray[np.float64]:
    """Returns WGS84 latitude and longitude (N, 2) in degrees of UTM points (N,) in metres, northern half.

    Krüger's series to third order, exact to a millimetre (Karney, Transverse Mercator with an
    accuracy of a few nanometers, 2011, equations 11 and 36 to 38).
    """
    n = _FLATTENING / (2 - _FLATTENING)
    radius = _AXIS_M / (1 + n) * (1 + n**2 / 4 + n**4 / 64)
    xi = np.asarray(northing, float) / (_SCALE * radius)
    eta = (np.asarray(easting, float) - _FALSE_EASTING_M) / (_SCALE * radius)
    beta = n / 2 - 2 * n**2 / 3 + 37 * n**3 / 96, n**2 / 48 + n**3 / 15, 17 * n**3 / 480
    xi_1 = xi - sum(b * np.sin(2 * j * xi) * np.cosh(2 * j * eta) for j, b in enumerate(beta, 1))
    eta_1 = eta - sum(b * np.cos(2 * j * xi) * np.sinh(2 * j * eta) for j, b in enumerate(beta, 1))
    conformal = np.arcsin(np.sin(xi_1) / np.cosh(eta_1))
    delta = 2 * n - 2 * n**2 / 3 - 2 * n**3, 7 * n**2 / 3 - 8 * n**3 / 5, 56 * n**3 / 15
    latitude = conformal + sum(d * np.sin(2 * j * conformal) for j, d in enumerate(delta, 1))
    longitude = np.arctan2(np.sinh(eta_1), np.cos(xi_1))
    return np.stack([np.degrees(latitude), np.degrees(longitude) + 6 * zone - 183], -1)
