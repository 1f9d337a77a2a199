"""Pictures of depth maps: image, points, dense depth and its error in one."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.depth.densify import densify
from scene_geo_loc.metrics.depth_error import TRUE_DEPTH_END_M, held_out_points

NEAR_M, FAR_M = 0.5, 100.0
"""Depths of the first and of the last colour; between them equal steps are equal ratios."""
UNKNOWN = (44, 47, 52)
INVENTED = (60, 214, 240)
WORST = 0.25
"""The relative error, to either side, that is drawn as the worst."""


def depth_colours(depth: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A depth map (H, W) as RGB: near is red, far is blue, unknown is dark grey."""
    known = np.isfinite(depth)
    levels = np.zeros(depth.shape, np.uint8)
    levels[known] = np.rint(255 * nearness(depth[known].clip(NEAR_M, FAR_M)))
    colours = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    colours[~known] = UNKNOWN
    return np.asarray(colours, np.uint8)


def nearness(depth: NDArray) -> NDArray[np.float64]:
    """Where depths in metres lie on the scale of the colours: 0 at `FAR_M`, 1 at `NEAR_M`."""
    return np.log(FAR_M / depth) / np.log(FAR_M / NEAR_M)


def error_colours(
    depth: NDArray[np.float32], truth: NDArray[np.float32], invented: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Relative errors (H, W) as RGB, from black to light yellow at 25 %; dark grey where there is none.

    Args:
        invented: pixels that have a depth and should have none, drawn light blue.
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
    """Image, points, dense depth and its error as one RGB picture of two rows.

    The error is that of every pixel where the true depth is known, with sky that got a depth in
    light blue; else that of held-out points, made without them.

    Args:
        sparse, truth: (H, W) metres, NaN where unknown.
        height: of each of the four.
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
    """The points two pixels wide, the nearer over the farther, so that they are seen when made smaller."""
    filled = np.where(np.isfinite(sparse), sparse, np.float32(np.inf))
    grown = cv2.erode(filled, np.ones((2, 2), np.uint8), borderType=cv2.BORDER_REPLICATE)
    return np.where(np.isfinite(grown), grown, np.float32(np.nan)).astype(np.float32)
