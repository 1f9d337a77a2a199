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

"""The best keypoints of an image in ten bytes each, by which retrieved keyframes are compared with a query.

A keypoint's feature is turned by a matrix of Hadamard, so that its numbers tell about equally much, and of a
keyframe their signs are kept, of a query the numbers (Charikar, STOC 2002; Gordo et al., TPAMI 2014).  The
matrix is the same for all maps, so that their keyframes can stand together.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import hadamard

from scene_geo_loc.networks.runtime.extractor import Extractor
from scene_geo_loc.networks.strongest_cells import StrongestCells

MOST_KEYPOINTS = 150
"""Keypoints that are kept of a keyframe.

On real images by night, in snow and in autumn 100, 200 and 400 retrieved equally well.
"""
_STEPS = 256
"""Steps of a keypoint's place along each side of the image."""


class PlaceKeypoints(NamedTuple):
    """Keypoints of an image of which a place is recognised.

    Attributes:
        features: (P, A) float32 of unit length.
        places: (P,) complex, x + iy in widths of the image.
    """

    features: NDArray[np.float32]
    places: NDArray[np.complex128]


def keeps_place_keypoints(extractor: Extractor) -> bool:
    """Returns whether maps keep place keypoints: where the network finds them and describes images, too."""
    return extractor.descriptor is None and extractor.network.signature.finds_keypoints


def place_keypoints(strongest: StrongestCells, input_size: tuple[int, int]) -> PlaceKeypoints:
    """Returns the best keypoints of a query, of a width and height; those that show nothing are left out."""
    features, places = _best(strongest)
    return PlaceKeypoints(_turned(features), places @ np.array([1, 1j * input_size[1] / input_size[0]]))


def row_shape(channels: int) -> tuple[int, int]:
    """Returns the shape of a keyframe's row, for features of so many numbers."""
    return MOST_KEYPOINTS, 2 + _numbers(channels) // 8


def stored_row(strongest: StrongestCells) -> NDArray[np.uint8]:
    """Returns the row that a map stores of a keyframe.

    A keypoint has its place along width and height, one byte each, and the signs of its numbers.  What is not
    used is zero, and so all alike: at most one of these agrees with the layout of a query.
    """
    features, places = _best(strongest)
    row = np.zeros(row_shape(strongest.features.shape[-1]), np.uint8)
    row[: len(features), :2] = np.minimum(places * _STEPS, _STEPS - 1)
    row[: len(features), 2:] = np.packbits(_turned(features) > 0, axis=1)
    return row


def signs_and_places(
    rows: NDArray[np.uint8], input_size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.complex128]]:
    """Returns the packed signs (K, P, A / 8) of keyframes' rows, and the places (K, P) as of a query."""
    places = (rows[..., :2] + 0.5) / _STEPS
    return rows[..., 2:], places @ np.array([1, 1j * input_size[1] / input_size[0]])


def _best(strongest: StrongestCells) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    features, places = strongest.features[:MOST_KEYPOINTS, 0], strongest.places[:MOST_KEYPOINTS]
    is_seen = ~np.isnan(features[:, 0])
    return features[is_seen], places[is_seen]


def _numbers(channels: int) -> int:
    """Returns the size of the matrix of Hadamard that features are turned by: the next power of two."""
    return max(8, 1 << (channels - 1).bit_length())


@lru_cache
def _rotation(channels: int) -> NDArray[np.float32]:
    numbers = _numbers(channels)
    return (hadamard(numbers)[:channels] / np.sqrt(numbers)).astype(np.float32)


def _turned(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns features (P, C) of unit length along other axes (P, A)."""
    return features @ _rotation(features.shape[1])
