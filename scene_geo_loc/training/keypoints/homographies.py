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

"""Random homographies: another perspective, scale and rotation of an image, and where its points go."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Homography = NDArray[np.float64]
"""(3, 3), takes homogeneous pixels of one image to those of another."""

_STEP = 1.0
"""Pixels between the points that a scale is measured by."""
_BLUR_BELOW = 0.8
"""An image that becomes smaller than by this factor is blurred first, since sampling it would alias."""


@dataclass(frozen=True)
class Range:
    """Largest changes of a random homography.

    Attributes:
        scales: smallest and largest scale.
        turn_deg: largest rotation in the image.
        perspective: largest change of scale across the image.
        shift: largest shift as a share of the sides.
    """

    scales: tuple[float, float]
    turn_deg: float
    perspective: float
    shift: float = 0.0


def crop(
    rng: np.random.Generator, image_size: tuple[int, int], size: tuple[int, int], changes: Range
) -> Homography:
    """Returns a homography from an image to a crop of it, which lies within the image if it is large enough.

    Args:
        image_size, size: width and height of the image and of the crop.
        changes: of the crop; a shift moves nothing.
    """
    scale = _log_uniform(rng, *changes.scales)
    sides, wanted = np.array(image_size, float), np.array(size, float)
    reach = np.minimum(wanted / scale / 2, sides / 2)
    centre = rng.uniform(reach, np.maximum(sides - reach, reach))
    return translation(wanted / 2) @ _changed(rng, scale, changes, size) @ translation(-centre)


def moved(rng: np.random.Generator, size: tuple[int, int], changes: Range) -> Homography:
    """Returns a homography from a view of a size (width, height) to another view of the same size."""
    middle = np.array(size) / 2
    shift = rng.uniform(-changes.shift, changes.shift, 2) * np.array(size)
    scale = _log_uniform(rng, *changes.scales)
    return translation(middle + shift) @ _changed(rng, scale, changes, size) @ translation(-middle)


def translation(offset: NDArray[np.float64]) -> Homography:
    """Returns the homography that adds an offset (2,)."""
    T = np.eye(3)
    T[:2, 2] = offset
    return T


def apply(H: NDArray, points: NDArray) -> NDArray[np.float64]:
    """Returns where a homography takes points (N, 2)."""
    moved_points = np.c_[points, np.ones(len(points))] @ H.T
    return np.asarray(moved_points[:, :2] / moved_points[:, 2:])


def scale_at(H: Homography, point: NDArray[np.float64]) -> float:
    """Returns the factor by which a homography enlarges lengths at a point (2,)."""
    origin, right, down = apply(H, point + np.array([[0, 0], [_STEP, 0], [0, _STEP]]))
    return float(np.sqrt(abs(np.linalg.det(np.stack([right - origin, down - origin])))) / _STEP)


def warped(image: NDArray[np.uint8], H: Homography, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Returns an image (H, W, 3) through a homography, of a size (width, height); black where unknown."""
    centre = apply(np.linalg.inv(H), np.array([size]) / 2)[0]
    scale = scale_at(H, centre)
    if scale < _BLUR_BELOW:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), 0.5 / scale), np.uint8)
    return np.asarray(cv2.warpPerspective(image, H, size, flags=cv2.INTER_LINEAR), np.uint8)


def _changed(rng: np.random.Generator, scale: float, changes: Range, size: tuple[int, int]) -> Homography:
    turn = np.radians(rng.uniform(-changes.turn_deg, changes.turn_deg))
    A = np.eye(3)
    A[:2, :2] = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    P = np.eye(3)
    P[2, :2] = rng.uniform(-changes.perspective, changes.perspective, 2) / np.array(size)
    return P @ A


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
