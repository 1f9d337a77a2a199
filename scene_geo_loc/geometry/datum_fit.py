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

"""Robust fit of a map's datum to positions of a satellite receiver."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scene_geo_loc.core.errors import GeodesyError
from scene_geo_loc.geometry.datum import Datum, DatumFit
from scene_geo_loc.geometry.geodesy import ecef_of_geodetic, enu_axes, geodetic_of_ecef
from scene_geo_loc.geometry.pose import make_pose

F64 = NDArray[np.float64]

MIN_FIXES = 8
"""Fewer positions fix no datum."""
MAX_YAW_STD_DEG = 5.0
"""A fit whose yaw is less certain is refused."""
MAX_RMS_SHARE = 0.2
"""A fit whose residuals are a larger share of the extent of the positions is refused."""
HYPOTHESES = 500
"""Pairs of positions that are tried."""
MAX_COMPARED = 1000
"""Positions at most, evenly spread, that each pair is compared with."""
MIN_SIGMA_M = 0.01
"""Stated standard deviations below it count as this."""

_GATE = 3.03
"""Distance in two dimensions, in standard deviations, that 99 % of the residuals do not reach."""
_GATE_1D = 2.58
_MEDIAN_DISTANCE = 1.1774
"""Median distance in two dimensions, in standard deviations of an axis (Rayleigh)."""
_MEDIAN_DEVIATION = 0.6745
_ITERATIONS = 20


class _Turn(NamedTuple):
    """Rotation about the vertical and horizontal translation from the map to east, north."""

    yaw: float
    shift: F64

    def residuals(self, map_xy: F64, enu_xy: F64) -> F64:
        return enu_xy - map_xy @ _rotation(self.yaw).T - self.shift


def fit_datum(
    positions_map: ArrayLike, geodetic: ArrayLike, sigmas_m: ArrayLike | None = None
) -> tuple[Datum, DatumFit]:
    """Fits origin and yaw of a map whose z axis points up; up to half of the positions may be wrong.

    Least median of squares over pairs of positions (Rousseeuw, 1984) gives yaw and translation, then least
    squares on the positions within the 99 % gate of their spread.  Heights are fitted apart, since receivers
    have larger errors there.

    Args:
        positions_map: (N, 3) of the antenna in the map, in order of time.
        geodetic: (N, 3) as measured.
        sigmas_m: (N, 2) stated standard deviations, horizontal and vertical, which are weighed relative to
            each other; NaN where unknown.

    Raises GeodesyError where the positions are too few, too near each other or contradict each other.
    """
    points, measured = np.asarray(positions_map, np.float64), np.asarray(geodetic, np.float64)
    sigmas = np.full((len(points), 2), np.nan) if sigmas_m is None else np.asarray(sigmas_m, np.float64)
    if len(points) < MIN_FIXES:
        raise GeodesyError(
            f"{len(points)} satellite positions at times with a pose < {MIN_FIXES}: too few for a datum."
        )
    ecef = ecef_of_geodetic(measured)
    middle = np.median(ecef, axis=0)
    latitude, longitude, _ = geodetic_of_ecef(middle)
    R_ecef_enu = enu_axes(latitude, longitude)
    enu = (ecef - middle) @ R_ecef_enu
    # Both are centred, so that numbers stay small in maps with large coordinates.
    centre = np.median(points, axis=0)
    local = points - centre
    relative = np.stack([_relative(sigmas[:, axis]) for axis in range(2)], axis=1)

    turn = _least_median(local[:, :2], enu[:, :2])
    turn, good, weights = _refined(turn, local[:, :2], enu[:, :2], relative[:, 0])
    height, good_height = _robust_mean(enu[:, 2] - local[:, 2], relative[:, 1], good)
    R_enu_map = np.eye(3)
    R_enu_map[:2, :2] = _rotation(turn.yaw)
    fit = _described(turn, local, enu, height, good, good_height, weights, centre, sigmas)
    _check(fit, local[good])
    shift = np.array([*turn.shift, height])
    origin_ecef = middle + R_ecef_enu @ (shift - R_enu_map @ centre)
    return Datum.of_ecef(make_pose(R_ecef_enu @ R_enu_map, origin_ecef)), fit


def _rotation(yaw: float) -> F64:
    cosine, sine = np.cos(yaw), np.sin(yaw)
    return np.array([[cosine, -sine], [sine, cosine]])


def _relative(sigmas: F64) -> F64:
    """Returns stated standard deviations relative to their median; 1 where unknown."""
    known = np.isfinite(sigmas) & (sigmas >= 0)
    if not known.any():
        return np.ones(len(sigmas))
    usable = np.maximum(np.where(known, sigmas, np.nan), MIN_SIGMA_M)
    return np.where(known, usable / np.nanmedian(usable), 1.0)


def _least_median(map_xy: F64, enu_xy: F64) -> _Turn:
    """Returns the transform, by two positions, with the least median distance to all."""
    rng = np.random.default_rng(0)
    pairs = rng.integers(0, len(map_xy), (2, 4 * HYPOTHESES))
    apart = np.linalg.norm(map_xy[pairs[1]] - map_xy[pairs[0]], axis=1)
    # Pairs far apart fix the yaw well.
    pairs = pairs[:, np.argsort(-apart, kind="stable")[:HYPOTHESES]]
    first, second = pairs
    there, here = enu_xy[second] - enu_xy[first], map_xy[second] - map_xy[first]
    yaws = np.arctan2(there[:, 1], there[:, 0]) - np.arctan2(here[:, 1], here[:, 0])
    some = np.unique(np.linspace(0, len(map_xy) - 1, MAX_COMPARED).round().astype(int))
    cosine, sine = np.cos(yaws), np.sin(yaws)

    def turned(xy: F64) -> F64:
        """Returns points (..., 2) turned by each yaw: (H, ..., 2)."""
        x, y = xy[..., 0], xy[..., 1]
        return np.stack([cosine * x - sine * y, sine * x + cosine * y], axis=-1)

    shifts = (enu_xy[first] + enu_xy[second]) / 2 - turned((map_xy[first] + map_xy[second]) / 2)
    predicted = turned(map_xy[some][:, None]) + shifts
    medians = np.median(np.linalg.norm(enu_xy[some][:, None] - predicted, axis=-1), axis=0)
    best = int(np.argmin(medians))
    return _Turn(float(yaws[best]), shifts[best])


def _refined(turn: _Turn, map_xy: F64, enu_xy: F64, relative: F64) -> tuple[_Turn, NDArray[np.bool_], F64]:
    """Returns the transform by weighted least squares, the positions that agree with it, and all weights."""
    weights = 1.0 / relative**2
    good = np.ones(len(map_xy), bool)
    for _ in range(_ITERATIONS):
        distances = np.linalg.norm(turn.residuals(map_xy, enu_xy), axis=1) / relative
        scale = max(float(np.median(distances)) / _MEDIAN_DISTANCE, MIN_SIGMA_M / 10)
        agreeing = distances <= _GATE * scale
        turn = _least_squares(map_xy[agreeing], enu_xy[agreeing], weights[agreeing])
        if np.array_equal(agreeing, good):
            break
        good = agreeing
    return turn, good, weights


def _least_squares(map_xy: F64, enu_xy: F64, weights: F64) -> _Turn:
    """Returns the transform of weighted least squares in the plane."""
    share = weights / weights.sum()
    map_mean, enu_mean = share @ map_xy, share @ enu_xy
    a, b = map_xy - map_mean, enu_xy - enu_mean
    dot, cross = (a * b).sum(axis=1), a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    yaw = float(np.arctan2(share @ cross, share @ dot))
    return _Turn(yaw, enu_mean - _rotation(yaw) @ map_mean)


def _robust_mean(values: F64, relative: F64, among: NDArray[np.bool_]) -> tuple[float, NDArray[np.bool_]]:
    """Returns the weighted mean of the values near their median, and which those are."""
    mean, good = float(np.median(values[among])), among
    for _ in range(_ITERATIONS):
        away = np.abs(values - mean) / relative
        scale = max(float(np.median(away[among])) / _MEDIAN_DEVIATION, MIN_SIGMA_M / 10)
        agreeing = among & (away <= _GATE_1D * scale)
        mean = float(np.average(values[agreeing], weights=1.0 / relative[agreeing] ** 2))
        if np.array_equal(agreeing, good):
            break
        good = agreeing
    return mean, good


def _described(
    turn: _Turn,
    local: F64,
    enu: F64,
    height: float,
    good: NDArray[np.bool_],
    good_height: NDArray[np.bool_],
    weights: F64,
    centre: F64,
    sigmas: F64,
) -> DatumFit:
    """Returns the residuals of a fit, and the standard deviations of its datum."""
    residuals = turn.residuals(local[good, :2], enu[good, :2])
    vertical = (enu[:, 2] - local[:, 2] - height)[good_height]
    share = weights[good] / weights[good].sum()
    middle = share @ local[good]
    spread = float(share @ np.sum((local[good, :2] - middle[:2]) ** 2, axis=1))
    independent = 1.0 / float((share**2).sum())
    freedom = max(independent / _correlation_time(residuals) - 1.5, 0.5)  # 3 numbers of 2 N are fitted
    axis_variance = float(share @ (residuals**2).sum(axis=1)) / 2
    vertical_freedom = max(len(vertical) / _correlation_time(vertical[:, None]) - 1.0, 0.5)
    return DatumFit(
        fixes=int(good.sum()),
        outliers=int((~good).sum()),
        horizontal_rms_m=float(np.sqrt(np.mean((residuals**2).sum(axis=1)))),
        vertical_rms_m=float(np.sqrt(np.mean(vertical**2))),
        horizontal_std_m=float(
            np.sqrt(axis_variance / freedom + _common_variance(sigmas[good, 0], axis_variance))
        ),
        vertical_std_m=float(
            np.sqrt(
                np.mean(vertical**2) / vertical_freedom
                + _common_variance(sigmas[good_height, 1], float(np.mean(vertical**2)))
            )
        ),
        yaw_std_deg=float(np.degrees(np.sqrt(axis_variance / (freedom * max(spread, 1e-12))))),
        centre_m=tuple((centre + middle).tolist()),
    )


def _common_variance(stated: F64, variance: float) -> float:
    """Returns the variance of an error that all positions share, and no residual shows.

    It is what a receiver states of each position (N,) beyond the variance of the residuals, and beyond what
    chance explains (two standard deviations): satellites and the atmosphere change slowly.
    """
    known = stated[np.isfinite(stated)]
    if not len(known):
        return 0.0
    by_chance = 1.0 + 2.0 * np.sqrt(2.0 / len(known))
    return max(float(np.median(known)) ** 2 - by_chance * variance, 0.0)


def _correlation_time(residuals: F64) -> float:
    """Returns for how many steps residuals (N, D), in order of time, are alike: at least 1.

    One plus twice the sum of the autocorrelations up to the first that is below 0.05 (initial positive
    sequence; Geyer, 1992); with so many steps for one independent value, their mean has its true variance.
    """
    centred = residuals - residuals.mean(axis=0)
    count = len(centred)
    spectrum = np.abs(np.fft.rfft(centred, 2 * count, axis=0)) ** 2
    correlation = np.fft.irfft(spectrum, axis=0)[:count].sum(axis=1)
    if correlation[0] <= 0:
        return 1.0
    correlation /= correlation[0]
    below = np.flatnonzero(correlation < 0.05)
    return float(1 + 2 * correlation[1 : below[0] if len(below) else count].sum())


def _check(fit: DatumFit, local: F64) -> None:
    """Raises GeodesyError where a fit says nothing."""
    extent = float(np.linalg.norm(np.ptp(local[:, :2], axis=0)))
    if not fit.yaw_std_deg <= MAX_YAW_STD_DEG:
        raise GeodesyError(
            f"The satellite positions do not fix the map's yaw: standard deviation {fit.yaw_std_deg:.1f}° > "
            f"{MAX_YAW_STD_DEG:g}° from {fit.fixes} positions over {extent:.1f} m; drive farther, or give "
            "the datum."
        )
    if fit.horizontal_rms_m > MAX_RMS_SHARE * extent:
        raise GeodesyError(
            f"The satellite positions do not fit the poses: residuals {fit.horizontal_rms_m:.1f} m (RMS) > "
            f"{MAX_RMS_SHARE:.0%} of the {extent:.1f} m driven; drive farther, with z of the poses upwards."
        )
