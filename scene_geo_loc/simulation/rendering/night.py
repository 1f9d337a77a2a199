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

"""Street light at night: lamps, the vehicle's headlights and those of oncoming cars.

The lamps that burn, their brightness and colour, and the traffic differ from drive to drive, so that lights
do not identify a place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.simulation.randomness import stream

F32 = NDArray[np.float32]
Columns = tuple[F32, F32, F32]
"""The x, y and z of many vectors; three arrays are faster than one of shape (N, 3)."""

LAMP_RANGE_M = 32.0
_SODIUM, _WHITE = (1.0, 0.52, 0.14), (0.9, 0.92, 0.8)
_BURNING, _SODIUM_SHARE = 0.6, 0.8
HEADLIGHT, TAIL_LIGHT = (1.0, 0.93, 0.78), (1.0, 0.08, 0.04)
_SPREAD_M, _WIDTH = 70.0, 2.3
"""Reach of headlights, and the tangent of the angle to either side at which nothing is left of them."""
_LIGHTING_CARS = 2


class Lamps(NamedTuple):
    """Burning street lamps: position (L, 3) in metres, and light (L, 3) as linear RGB."""

    position: F32
    light: F32


class WetGround(NamedTuple):
    """Points on wet ground: row (M,) among all points, positions and unit directions to the eye (3, M)."""

    row: NDArray[np.intp]
    points: F32
    to_eye: F32
    wetness: F32


NO_LAMPS = Lamps(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32))


def burning_lamps(positions: NDArray, seed: int, drive: str) -> tuple[NDArray[np.bool_], Lamps]:
    """Returns a mask (N,) of the lamps at positions (N, 3) that burn on a drive, and those lamps."""
    rng = stream(seed, "burning", drive)
    count = len(positions)
    burns = rng.random(count) < _BURNING
    colour = np.where(rng.random((count, 1)) < _SODIUM_SHARE, _SODIUM, _WHITE)
    light = colour * rng.uniform(0.5, 1.4, (count, 1))
    return burns, Lamps(positions[burns].astype(np.float32), light[burns].astype(np.float32))


@dataclass(frozen=True)
class Moment:
    """The vehicle and the oncoming cars at the time of an image.

    Attributes:
        T_map_base: the vehicle's pose.
        linear, angular: its velocities (3,) in its own frame, metres and radians per second.
        others: poses (K, 4, 4) of oncoming cars, nearest first.
    """

    T_map_base: Pose
    linear: NDArray[np.float64]
    angular: NDArray[np.float64]
    others: NDArray[np.float64]


def wet_ground(eye: F32, points: Columns, upward: F32, wetness: float) -> WetGround:
    """Returns the points on wet ground, seen from an eye (3,): puddles lie where the ground is low.

    Args:
        upward: (N,) z of the points' normals.
        wetness: of the ground where it is lowest, in [0, 1].
    """
    index = np.flatnonzero((upward > 0.9) & (points[2] < 0.3))
    ground = np.stack([column[index] for column in points])
    x, y = ground[:2]
    waves = np.sin(x * np.float32(0.31) + np.sin(y * np.float32(0.47)))
    waves += np.sin(y * np.float32(0.37) + np.sin(x * np.float32(0.53)))
    wet = np.float32(wetness) * np.clip(0.5 + waves * np.float32(0.4), 0, 1)
    chosen = wet > 0
    index, ground, wet = index[chosen], ground[:, chosen], wet[chosen]
    to_eye = eye[:, None] - ground
    return WetGround(index, ground, to_eye / np.sqrt(np.square(to_eye).sum(0)), wet.astype(np.float32))


def add_lamp_light(light: F32, points: Columns, normal: Columns, lamps: Lamps, wet: WetGround) -> None:
    """Adds the light of lamps at points, and on wet ground their mirror images, stretched by roughness.

    Args:
        light: (3, N), light on a white surface; changed in place.
    """
    low = [p.min() - LAMP_RANGE_M for p in points]
    high = [p.max() + LAMP_RANGE_M for p in points]
    near = ((lamps.position > low) & (lamps.position < high)).all(1)
    for place, colour in zip(lamps.position[near], lamps.light[near], strict=True):
        to = [place[axis] - points[axis] for axis in range(3)]
        square = to[0] * to[0] + to[1] * to[1] + to[2] * to[2]
        reached = np.flatnonzero(square < np.float32(LAMP_RANGE_M**2))
        square = square[reached]
        tx, ty, tz = (part[reached] for part in to)
        nx, ny, nz = (part[reached] for part in normal)
        away = np.sqrt(square)
        # The lamp's shade directs the light downwards, with a smooth cut-off above its height.
        down = np.clip(tz / away + np.float32(0.12), 0, 1)
        strength = np.maximum(tx * nx + ty * ny + tz * nz, 0) / away * down
        strength *= (1 - square * np.float32(1 / LAMP_RANGE_M**2)) * (48 / (square + 2))
        light[:, reached] += np.outer(colour, strength)
        _add_gloss(light, wet, place, colour * np.float32(9))


def _add_gloss(light: F32, wet: WetGround, place: F32, colour: F32) -> None:
    """Adds the mirror image of a light in wet ground: Beckmann microfacets of roughness 0.12."""
    to = place[:, None] - wet.points
    square = np.square(to).sum(0)
    half = to / np.sqrt(square) + wet.to_eye
    lean = (half[0] ** 2 + half[1] ** 2) / np.maximum(half[2] ** 2, 1e-6)
    strength = np.exp(lean * np.float32(-1 / 0.12**2)) * wet.wetness * (40 / (square + 40))
    light[:, wet.row] += np.outer(colour, strength)


def add_headlights(light: F32, points: Columns, normal: Columns, T_map_base: Pose) -> None:
    """Adds the dipped beams of both headlights as one, 0.65 m above the ground at the vehicle's front."""
    forward, left = (T_map_base[:3, axis].astype(np.float32) for axis in range(2))
    place = (T_map_base[:3, 3] + 1.9 * T_map_base[:3, 0] + (0, 0, 0.65)).astype(np.float32)
    x, y, z = (points[axis] - place[axis] for axis in range(3))
    ahead = x * forward[0] + y * forward[1] + z * forward[2]
    aside = x * left[0] + y * left[1] + z * left[2]
    near = np.flatnonzero((ahead > 0.3) & (ahead < _SPREAD_M) & (np.abs(aside) < np.float32(_WIDTH) * ahead))
    x, y, z, ahead = x[near], y[near], z[near], ahead[near]
    square = x * x + y * y + z * z
    across = aside[near] / ahead
    above = z / ahead + np.float32(0.012)
    beam = np.exp(-np.square(across * np.float32(1 / 0.45)))
    beam *= np.exp(-np.square(above * np.where(above > 0, np.float32(1 / 0.035), np.float32(1 / 0.16))))
    beam += np.float32(0.05) * np.exp(-np.square(across * np.float32(1 / 0.9)))
    cosine = -(x * normal[0][near] + y * normal[1][near] + z * normal[2][near]) / np.sqrt(square)
    cosine = np.clip(cosine, 0, 1) * np.float32(0.8) + np.float32(0.2)
    light[:, near] += np.outer(np.array(HEADLIGHT, np.float32), beam * cosine * (60 / (square + 12)))


def add_traffic_light(
    light: F32, eye: F32, points: Columns, normal: Columns, moment: Moment, wet: WetGround
) -> None:
    """Adds the vehicle's headlights, and those of the nearest oncoming cars with their gloss on the road."""
    add_headlights(light, points, normal, moment.T_map_base)
    for T in moment.others[:_LIGHTING_CARS]:
        add_headlights(light, points, normal, T)
        place = (T[:3, 3] + 1.9 * T[:3, 0] + (0, 0, 0.65)).astype(np.float32)
        towards = float(np.dot(eye - place, T[:3, 0])) > 0
        colour = np.array(HEADLIGHT if towards else TAIL_LIGHT, np.float32)
        _add_gloss(light, wet, place, colour * np.float32(14 if towards else 2))
