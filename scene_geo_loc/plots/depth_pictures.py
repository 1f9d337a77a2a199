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

"""Pictures of depth maps: image, points, dense depth and its error side by side."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.depth.densify import densify
from scene_geo_loc.metrics.depth_error import TRUE_DEPTH_END_M, held_out_points

NEAR_M, FAR_M = 0.5, 100.0
"""Depths of the first and the last colour, metres; the scale between them is logarithmic."""
UNKNOWN = (44, 47, 52)
INVENTED = (60, 214, 240)
WORST = 0.25
"""Absolute relative error of the last colour; larger errors have the same colour."""


def depth_colours(depth: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Returns a depth map (H, W) as RGB (H, W, 3): near is red, far is blue, unknown is dark grey."""
    known = np.isfinite(depth)
    levels = np.zeros(depth.shape, np.uint8)
    levels[known] = np.rint(255 * nearness(depth[known].clip(NEAR_M, FAR_M)))
    colours = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    colours[~known] = UNKNOWN
    return np.asarray(colours, np.uint8)


def nearness(depth: NDArray) -> NDArray[np.float64]:
    """Returns the positions of depths in metres on the colour scale: 0 at `FAR_M`, 1 at `NEAR_M`."""
    return np.log(FAR_M / depth) / np.log(FAR_M / NEAR_M)


def error_colours(
    depth: NDArray[np.float32], truth: NDArray[np.float32], invented: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Returns relative errors as RGB (H, W, 3), from black to light yellow at 25 %; dark grey if unknown.

    Args:
        depth, truth: (H, W) metres, NaN where unknown.
        invented: (H, W) mask of the pixels that have a depth but should have none, drawn light blue.
    """
    both = np.isfinite(depth) & np.isfinite(truth)
    error = np.zeros(depth.shape)
    error[both] = np.abs(depth[both] / truth[both] - 1)
    levels = np.rint(255 * (error / WORST).clip(0, 1)).astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    colours[~both] = UNKNOWN
    colours[invented] = INVENTED
    return np.asarray(colours, np.uint8)


def example_picture(
    image: NDArray[np.uint8],
    sparse: NDArray[np.float32],
    truth: NDArray[np.float32] | None,
    height: int = 360,
) -> NDArray[np.uint8]:
    """Returns image, points, dense depth and its error as one RGB picture with two rows.

    With a true depth, the error is shown at all pixels whose true depth is known, and sky that has a depth is
    light blue. Otherwise some points are held out, and the error of the depth made without them is shown.

    Args:
        image: RGB (H, W, 3).
        sparse: (H, W) metres, NaN where unknown.
        truth: the same, or None.
        height: height of each of the four pictures, pixels.
    """
    dense = densify(sparse, image)
    if truth is not None:
        error = error_colours(dense, truth, np.isnan(truth) & (dense < TRUE_DEPTH_END_M))
    else:
        asked = held_out_points(sparse, np.random.default_rng(0))
        guess = densify(np.where(asked, np.float32(np.nan), sparse), image)
        at_points = _grown(np.where(asked, sparse, np.float32(np.nan)))
        error = error_colours(guess, at_points, np.zeros(sparse.shape, bool))
    width = round(image.shape[1] * height / image.shape[0])
    tiles = [
        cv2.resize(tile, (width, height), interpolation=cv2.INTER_AREA)
        for tile in (image, depth_colours(_grown(sparse)), depth_colours(dense), error)
    ]
    return np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])]).astype(np.uint8)


def _grown(sparse: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the points enlarged to two pixels, nearer ones on top, so that they survive downscaling."""
    filled = np.where(np.isfinite(sparse), sparse, np.float32(np.inf))
    grown = cv2.erode(filled, np.ones((2, 2), np.uint8), borderType=cv2.BORDER_REPLICATE)
    return np.where(np.isfinite(grown), grown, np.float32(np.nan)).astype(np.float32)
