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
"""Holes in images: pixels that show nothing of the scene, such as what a virtual view cannot see."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

HOLE_MARGIN = 1 / 80
"""Width of the border around a hole that gives no features, widths of the image: 8 of 640 pixels.

Edges that end at a hole make corners there that the scene does not have.
"""
_LEAST_WEIGHT = 1e-6


def away_from_holes(visible: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Returns the mask (H, W) of the visible pixels that lie farther than `HOLE_MARGIN` from any hole."""
    reach = max(1, round(HOLE_MARGIN * visible.shape[1]))
    square = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    return np.asarray(cv2.erode(visible.astype(np.uint8), square) > 0)


def without_holes(image: NDArray[np.uint8], visible: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Returns an image (H, W, C) whose holes continue their surroundings smoothly; the rest is kept.

    A pyramid of means of the visible pixels: a hole takes the finest level that knows something there
    (Gortler et al., The Lumigraph, SIGGRAPH 1996, "pull-push").  An image without a visible pixel is black.

    Args:
        visible: (H, W) mask of the pixels that are kept.
    """
    if visible.all():
        return image
    weights = visible.astype(np.float32)
    around = _enlarged(_coarser(image.astype(np.float32) * weights[..., None], weights), image.shape)
    return np.where(visible[..., None], image, np.clip(np.round(around), 0, 255).astype(np.uint8))


def _coarser(sums: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the filled means (H/2, W/2, C) of the level above.

    Args:
        sums: (H, W, C) values times weights.
        weights: (H, W) from 0 to 1.
    """
    half = ((weights.shape[1] + 1) // 2, (weights.shape[0] + 1) // 2)
    sum_of = np.asarray(cv2.resize(sums, half, interpolation=cv2.INTER_AREA), np.float32)
    weight = np.asarray(cv2.resize(weights, half, interpolation=cv2.INTER_AREA), np.float32)[..., None]
    means = sum_of.reshape(*weight.shape[:2], -1) / np.maximum(weight, np.float32(_LEAST_WEIGHT))
    if min(half) <= 1 or weight.min() >= 1:
        return np.asarray(means, np.float32)
    # A cell that is seen in part counts in full: its mean is as good as any.
    weight = np.minimum(np.float32(1), 4 * weight)
    around = _enlarged(_coarser(means * weight, weight[..., 0]), means.shape)
    return np.asarray(around + (means - around) * weight, np.float32)


def _enlarged(coarse: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    size = (shape[1], shape[0])
    return np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_LINEAR).reshape(shape), np.float32)
