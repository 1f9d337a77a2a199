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

"""Equirectangular panoramas: pixels and directions, and orientations by heading, pitch and roll."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Equirectangular:
    """An image of all directions: azimuth along its rows, elevation along its columns.

    Optical axes: z points through the centre column at the horizon, x to the right of it, y down.  Pixel
    centres have integer coordinates, as in `Camera`; the left and right edges are the direction behind.

    Attributes:
        width, height: size in pixels; width is 2 x height where pixels are square.

    Raises ValueError where a size is not positive.
    """

    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width <= 0 or self.height <= 0:
            raise ValueError(f"a panorama of {self.width} x {self.height} pixels has no pixels")

    def rays(self, pixels: ArrayLike) -> F64:
        """Returns unit directions (..., 3) through pixels (..., 2)."""
        u, v = np.moveaxis(np.asarray(pixels, np.float64), -1, 0)
        azimuth = (u + 0.5) * (2 * np.pi / self.width) - np.pi
        elevation = np.pi / 2 - (v + 0.5) * (np.pi / self.height)
        level = np.cos(elevation)
        return np.stack([level * np.sin(azimuth), -np.sin(elevation), level * np.cos(azimuth)], axis=-1)

    def project(self, points: ArrayLike) -> F64:
        """Returns pixels (..., 2) of points or directions (..., 3) of any length but 0.

        Columns are within -0.5 and width - 0.5, rows within -0.5 and height - 0.5.  At a pole the column
        depends on rounding; a point without direction becomes NaN.
        """
        points = np.asarray(points, np.float64)
        x, y, z = np.moveaxis(points, -1, 0)
        level = np.hypot(x, z)
        u = (np.arctan2(x, z) + np.pi) * (self.width / (2 * np.pi)) - 0.5
        v = (np.arctan2(y, level) + np.pi / 2) * (self.height / np.pi) - 0.5
        nowhere = (level == 0) & (y == 0)
        return np.where(nowhere[..., None], np.nan, np.stack([u, v], axis=-1))


def R_enu_panorama(heading_deg: ArrayLike, pitch_deg: ArrayLike = 0.0, roll_deg: ArrayLike = 0.0) -> F64:
    """Returns the rotations (..., 3, 3) from optical axes of panoramas to east, north, up.

    Args:
        heading_deg: direction of the centre column, clockwise from north.
        pitch_deg: angle by which it looks up.
        roll_deg: angle by which the right side is down.
    """
    heading, pitch, roll = np.broadcast_arrays(*map(np.radians, (heading_deg, pitch_deg, roll_deg)))
    sine, cosine, zero = np.sin(heading), np.cos(heading), np.zeros_like(heading)
    level = _matrix([[cosine, zero, sine], [-sine, zero, cosine], [zero, zero - 1, zero]])
    return level @ _about_x(pitch) @ _about_z(roll)


def R_panorama_view(heading_deg: ArrayLike, pitch_deg: ArrayLike = 0.0) -> F64:
    """Returns the rotations (..., 3, 3) from optical axes of views to those of their panorama.

    Args:
        heading_deg: angle from the centre column to the view's axis, to the right.
        pitch_deg: angle by which the view looks up.
    """
    heading, pitch = np.broadcast_arrays(*map(np.radians, (heading_deg, pitch_deg)))
    sine, cosine, zero = np.sin(heading), np.cos(heading), np.zeros_like(heading)
    turn = _matrix([[cosine, zero, sine], [zero, zero + 1, zero], [-sine, zero, cosine]])
    return turn @ _about_x(pitch)


def heading_of(R_enu_view: ArrayLike) -> F64:
    """Returns the headings (...,) in degrees, 0 to 360, of rotations (..., 3, 3) from optical axes to ENU."""
    forward = np.asarray(R_enu_view, np.float64)[..., :, 2]
    return np.degrees(np.arctan2(forward[..., 0], forward[..., 1])) % 360.0


def _about_x(angle: F64) -> F64:
    sine, cosine, zero = np.sin(angle), np.cos(angle), np.zeros_like(angle)
    return _matrix([[zero + 1, zero, zero], [zero, cosine, -sine], [zero, sine, cosine]])


def _about_z(angle: F64) -> F64:
    sine, cosine, zero = np.sin(angle), np.cos(angle), np.zeros_like(angle)
    return _matrix([[cosine, -sine, zero], [sine, cosine, zero], [zero, zero, zero + 1]])


def _matrix(rows: list[list[F64]]) -> F64:
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
