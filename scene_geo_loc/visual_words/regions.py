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

"""MSER regions (Matas et al., BMVC 2002), each described by SIFT on the region in a normal form."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

PATCH = 32
"""Side of a region in its normal form, pixels."""
REACH = 4.0
"""Half side of the patch in standard deviations of the region's pixels: twice the region's ellipse."""
MIN_AREA_PX, MAX_AREA_SHARE = 30, 0.25
"""Area of a region: least, in pixels, and largest, in parts of the image."""
_DELTA = 3
"""Grey values over which a region must be stable."""
_THINNEST_PX = 1.0
"""Least standard deviation of a region along any direction: thinner ones have no shape."""
_CELLS, _ORIENTATIONS = 4, 8
_LARGEST = 0.2
"""Largest number of a histogram of unit length (Lowe, IJCV 2004)."""
_TO_BYTE = 512.0
"""Factor from a histogram of unit length to bytes, as in OpenCV's SIFT."""


def describe_regions(
    grey: NDArray[np.uint8], reach: NDArray[np.float32] | None, most: int
) -> NDArray[np.uint8]:
    """Returns the SIFT histograms (M, 128) of the regions of a grey image (H, W), largest first.

    A region is brought to its normal form by the affine transform that makes its pixels' covariance the unit
    matrix and keeps the vertical, as cameras on vehicles are upright (Perdoch et al., CVPR 2009).

    Args:
        grey: the image.
        reach: (H, W) distance of each pixel from the nearest hidden one, pixels, which a region must not
            come near to; None where none is hidden.
        most: largest number of regions.
    """
    means, factors = _ellipses(grey, reach, most)
    if len(means) == 0:
        return np.zeros((0, _CELLS**2 * _ORIENTATIONS), np.uint8)
    return sift_of_patches(_patches(grey, means, factors))


def _ellipses(
    grey: NDArray[np.uint8], reach: NDArray[np.float32] | None, most: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns centres (M, 2) and lower triangular square roots (M, 2, 2) of the regions' covariances."""
    largest = max(MIN_AREA_PX + 1, round(grey.size * MAX_AREA_SHARE))
    if min(grey.shape) < 3:  # OpenCV refuses these
        return np.zeros((0, 2)), np.zeros((0, 2, 2))
    regions, _ = cv2.MSER.create(delta=_DELTA, min_area=MIN_AREA_PX, max_area=largest).detectRegions(grey)
    order = sorted(range(len(regions)), key=lambda i: -len(regions[i]))
    means: list[NDArray[np.float64]] = []
    factors: list[NDArray[np.float64]] = []
    for i in order:
        if len(means) == most:
            break
        pixels = np.asarray(regions[i], np.float64)
        mean = pixels.mean(axis=0)
        centred = pixels - mean
        covariance = centred.T @ centred / len(pixels)
        thinnest, widest = np.sqrt(np.maximum(np.linalg.eigvalsh(covariance), 0))
        column, row = np.rint(mean).astype(np.intp)
        if thinnest < _THINNEST_PX or (reach is not None and reach[row, column] < REACH * widest):
            continue
        means.append(mean)
        factors.append(np.linalg.cholesky(covariance))
    return np.reshape(means, (-1, 2)), np.reshape(factors, (-1, 2, 2))


def _patches(
    grey: NDArray[np.uint8], means: NDArray[np.float64], factors: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Returns the regions in their normal form (M, 32, 32), smoothed where they are reduced."""
    steps = np.abs(np.linalg.det(factors)) ** 0.5 * 2 * REACH / PATCH  # pixels of the image per pixel
    levels = np.maximum(0, np.floor(np.log2(steps))).astype(np.intp)
    axis = (np.arange(PATCH) + 0.5) * 2 * REACH / PATCH - REACH
    grid = np.stack(np.meshgrid(axis, axis), axis=-1)
    patches = np.zeros((len(means), PATCH, PATCH), np.float32)
    reduced, level = grey.astype(np.float32), 0
    for wanted in np.unique(levels):
        while level < wanted:
            reduced, level = np.asarray(cv2.pyrDown(reduced), np.float32), level + 1
        chosen = np.flatnonzero(levels == wanted)
        places = means[chosen, None, None] + np.einsum("nij,abj->nabi", factors[chosen], grid)
        places = (places / 2**level).astype(np.float32).reshape(-1, PATCH, 2)
        x, y = np.ascontiguousarray(places[..., 0]), np.ascontiguousarray(places[..., 1])
        sampled = cv2.remap(reduced, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        patches[chosen] = np.asarray(sampled, np.float32).reshape(-1, PATCH, PATCH)
    return patches


def sift_of_patches(patches: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Returns the upright SIFT histograms (M, 128) of square patches (M, 32, 32); zeros of flat ones.

    Source: Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 2004, section 6.
    """
    count = len(patches)
    rows, columns = np.gradient(patches, axis=(1, 2))
    strength = np.hypot(columns, rows).reshape(count, 1, -1)
    turn = (np.arctan2(rows, columns) / (2 * np.pi) * _ORIENTATIONS).reshape(count, 1, -1)
    bins = np.arange(_ORIENTATIONS)[None, :, None]
    away = np.abs((turn - bins + _ORIENTATIONS / 2) % _ORIENTATIONS - _ORIENTATIONS / 2)
    by_orientation = (strength * np.maximum(0, 1 - away)).astype(np.float32)
    histograms = (by_orientation @ _cell_weights()).transpose(0, 2, 1).reshape(count, -1)
    for _ in range(2):  # before and after the largest numbers are cut
        length = np.linalg.norm(histograms, axis=1, keepdims=True)
        histograms = np.minimum(histograms / np.where(length > 1e-3, length, np.inf), _LARGEST)
    length = np.linalg.norm(histograms, axis=1, keepdims=True)
    histograms = histograms / np.where(length > 0, length, 1.0)
    return np.asarray(np.minimum(np.rint(histograms * _TO_BYTE), 255), np.uint8)


@lru_cache
def _cell_weights() -> NDArray[np.float32]:
    """Returns the weight (1024, 16) of each pixel of a patch in each of the 4 x 4 cells."""
    place = (np.arange(PATCH) + 0.5) / PATCH
    centre = (np.arange(_CELLS) + 0.5) / _CELLS
    linear = np.maximum(0, 1 - np.abs(place[:, None] - centre) * _CELLS)
    towards_centre = np.exp(-0.5 * ((place - 0.5) / 0.5) ** 2)[:, None]
    along = linear * towards_centre
    return np.einsum("yi,xj->yxij", along, along).reshape(PATCH**2, _CELLS**2).astype(np.float32)
