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

"""A satellite receiver (GPS) of the vehicle, with realistic errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.datum import Datum
from scene_geo_loc.simulation.vehicle.motion import Motion

TOWN = Datum(52.0, 5.0, 40.0)
"""Place of the simulated town on the Earth; x is east, y is north."""

_WANDERING_S = 30.0
"""Time constant of the slow error."""
_VERTICAL = 1.9
"""Errors of the height in multiples of those of the position."""
_DROP_OUT_S = 5.0
"""Time between the beginnings of drop-outs that last a part of it."""


@dataclass(frozen=True)
class GpsSettings:
    """Receiver and its errors; the height has 1.9 times those of the position, but for bias and outliers.

    Attributes:
        datum: place of the map on the Earth.
        noise_m: standard deviation of the error of each position along an axis.
        wander_m: the same of an error that changes slowly, as by reflections and the atmosphere.
        bias_m: error to the east and to the north of all positions, which the receiver does not know of.
        outlier_share: share of the positions that are off by `outlier_m` in any direction.
        outlier_m: distance of the outliers.
        drop_out_share: share of the time without a fix; messages then say so.
        rate_hz: positions per second.
    """

    datum: Datum = TOWN
    noise_m: float = 0.4
    wander_m: float = 1.5
    bias_m: tuple[float, float] = (0.0, 0.0)
    outlier_share: float = 0.0
    outlier_m: float = 50.0
    drop_out_share: float = 0.0
    rate_hz: float = 5.0

    def __post_init__(self) -> None:
        amounts = (self.noise_m, self.wander_m, self.outlier_m)
        shares = (self.outlier_share, self.drop_out_share)
        if not (min(amounts) >= 0 and min(shares) >= 0 and max(shares) <= 1 and self.rate_hz > 0):
            raise ValueError("errors are at least 0, shares 0 to 1, and the rate is positive")

    @property
    def variances(self) -> tuple[float, float, float]:
        """Variances that the receiver states, east, north, up; it knows of no bias and no outliers."""
        sigma = max(np.hypot(self.noise_m, self.wander_m), 0.01)
        return sigma**2, sigma**2, (_VERTICAL * sigma) ** 2


class Fixes(NamedTuple):
    """Measurements of the receiver.

    Attributes:
        geodetic: (N, 3) latitude, longitude in degrees and height in metres.
        has_fix: (N,) False in drop-outs.
    """

    geodetic: NDArray[np.float64]
    has_fix: NDArray[np.bool_]


def gps(
    motion: Motion,
    seconds: NDArray[np.float64],
    rng: np.random.Generator,
    settings: GpsSettings | None = None,
) -> Fixes:
    """Returns what the receiver measures at times (N,)."""
    settings = settings or GpsSettings()
    xyz = motion.poses(seconds)[:, :3, 3]
    step = float(np.median(np.diff(seconds))) if len(seconds) > 1 else 1.0
    keep = np.exp(-step / _WANDERING_S)
    wander = rng.normal(0, settings.wander_m, 3)
    errors = np.empty_like(xyz)
    for i in range(len(seconds)):
        errors[i] = (wander + rng.normal(0, settings.noise_m, 3)) * (1, 1, _VERTICAL)
        wander = keep * wander + np.sqrt(1 - keep**2) * rng.normal(0, settings.wander_m, 3)
    errors[:, :2] += settings.bias_m
    is_outlier = rng.uniform(size=len(seconds)) < settings.outlier_share
    direction = rng.uniform(0, 2 * np.pi, len(seconds))
    away = settings.outlier_m * np.stack([np.cos(direction), np.sin(direction), 0 * direction], 1)
    errors[is_outlier] += away[is_outlier]
    has_fix = (seconds - seconds[:1]) % _DROP_OUT_S >= settings.drop_out_share * _DROP_OUT_S
    # The errors are along east and north, which are the map's x and y turned by the yaw.
    R_map_enu = settings.datum.R_enu_map(np.zeros(3)).T
    return Fixes(settings.datum.geodetic_of(xyz + errors @ R_map_enu.T), has_fix)
