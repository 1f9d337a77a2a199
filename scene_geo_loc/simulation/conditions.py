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

"""Conditions of the papers' drives: light, weather, season and changes over months."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from scene_geo_loc.core.errors import SceneGeoLocError

Light = tuple[float, float, float]


@dataclass(frozen=True)
class Condition:
    """Light, weather and season of one drive.

    Light is linear RGB; a white wall that is lit by `sky` alone has the colour `sky`.

    Attributes:
        sun: radiance of a white surface that faces the sun; zero for no sun.
        sun_azimuth_deg, sun_elevation_deg: direction of the sun; azimuth counter-clockwise from x.
        sky: light from above.
        bounce: light reflected by the ground.
        zenith, horizon: colours of the sky.
        clouds: share of the sky that clouds cover, in [0, 1].
        haze_m: distance in metres at which two thirds of the contrast are lost.
        foliage: "summer", "autumn" or "bare".
        epoch: 0, or 1 for seven months later, with repainted fronts and new shops.
        has_snow: snow lies on the ground and the roofs.
        is_night: lamps, windows and headlights are lit.
        wetness: of the ground, in [0, 1]; wet ground mirrors the lamps.
        gain: amplification of the camera's signal and noise; 1 in good light.
        exposure_s: exposure time in seconds; 0 for one too short to blur.
        key: brightness that the exposure aims at.
        day: days from the first drive.
    """

    name: str
    sky: Light
    bounce: Light
    zenith: Light
    horizon: Light
    sun: Light = (0.0, 0.0, 0.0)
    sun_azimuth_deg: float = 0.0
    sun_elevation_deg: float = 45.0
    clouds: float = 1.0
    haze_m: float = 700.0
    foliage: str = "summer"
    epoch: int = 0
    has_snow: bool = False
    is_night: bool = False
    wetness: float = 0.0
    gain: float = 1.0
    exposure_s: float = 0.0
    key: float = 0.16
    day: int = field(default=0)

    @property
    def has_sun(self) -> bool:
        """True where the sun shines and objects cast shadows."""
        return max(self.sun) > 0

    @property
    def sun_direction(self) -> np.ndarray:
        """Unit vector (3,) towards the sun."""
        azimuth, elevation = np.radians([self.sun_azimuth_deg, self.sun_elevation_deg])
        return np.array(
            [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)]
        )


CONDITIONS: dict[str, Condition] = {
    condition.name: condition
    for condition in (
        Condition(
            "overcast",
            sky=(0.86, 0.9, 0.96),
            bounce=(0.3, 0.29, 0.28),
            zenith=(0.72, 0.77, 0.84),
            horizon=(0.95, 0.97, 1.0),
        ),
        Condition(
            "sunny",
            sky=(0.36, 0.46, 0.66),
            bounce=(0.34, 0.31, 0.26),
            zenith=(0.12, 0.28, 0.66),
            horizon=(0.5, 0.64, 0.86),
            sun=(2.3, 2.0, 1.55),
            sun_azimuth_deg=205,
            sun_elevation_deg=43,
            clouds=0.3,
            haze_m=1100,
            key=0.18,
            day=1,
        ),
        Condition(
            "long-term",
            sky=(0.6, 0.66, 0.78),
            bounce=(0.26, 0.24, 0.22),
            zenith=(0.5, 0.6, 0.76),
            horizon=(0.96, 0.9, 0.82),
            sun=(1.3, 0.95, 0.6),
            sun_azimuth_deg=320,
            sun_elevation_deg=19,
            clouds=0.7,
            haze_m=600,
            foliage="autumn",
            epoch=1,
            day=210,
        ),
        Condition(
            "snow",
            sky=(0.9, 0.95, 1.04),
            bounce=(0.5, 0.52, 0.56),
            zenith=(0.8, 0.84, 0.9),
            horizon=(0.9, 0.92, 0.96),
            haze_m=260,
            foliage="bare",
            has_snow=True,
            key=0.27,
            day=120,
        ),
        Condition(
            "night",
            sky=(0.008, 0.0065, 0.005),
            bounce=(0.006, 0.0045, 0.003),
            zenith=(0.002, 0.0018, 0.002),
            horizon=(0.006, 0.0042, 0.0026),
            haze_m=220,
            is_night=True,
            wetness=0.5,
            gain=4.0,
            exposure_s=0.045,
            key=0.12,
            day=30,
        ),
        Condition(
            "summer",
            sky=(0.42, 0.5, 0.66),
            bounce=(0.33, 0.31, 0.27),
            zenith=(0.16, 0.33, 0.68),
            horizon=(0.62, 0.73, 0.9),
            sun=(1.9, 1.75, 1.5),
            sun_azimuth_deg=75,
            sun_elevation_deg=61,
            clouds=0.45,
            haze_m=1000,
            key=0.18,
            day=330,
        ),
    )
}


def check_town(condition: str, seed: int, drive_seed: int | None) -> None:
    """Raises SceneGeoLocError where there is no such condition, or a seed of town or drive is negative."""
    if condition not in CONDITIONS:
        raise SceneGeoLocError(f"condition {condition!r} is unknown: name one of {', '.join(CONDITIONS)}.")
    if seed < 0 or (drive_seed or 0) < 0:
        raise SceneGeoLocError(f"seed {seed}, drive_seed {drive_seed}: a seed is negative; give 0 or more.")
