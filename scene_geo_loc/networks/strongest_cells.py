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

"""The cells of an image that show its best keypoints: what places are recognised by, beside the late map."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

STRONGEST = 400
"""Most cells of an image; a map stores as many keypoints of a keyframe."""
STRONGEST_SHARE = 0.25
"""Largest share of an image's cells; in small images the others among 400 have hardly a keypoint."""

LEAST_VISIBLE = 0.5
"""Least share of a cell's pixels that show the scene; the global descriptor leaves other cells out."""


class StrongestCells(NamedTuple):
    """The cells of an image that show its best keypoints, the best first.

    Attributes:
        features: (N, 1, C) float32; those in cells that show nothing of the scene are NaN, and last.
        places: (N, 2) x and y of the cells' centres, as shares of the image's width and height.
    """

    features: NDArray[np.float32]
    places: NDArray[np.float32]


def strongest_cells(
    features: NDArray[np.float32], scores: NDArray[np.float32], visible: NDArray[np.bool_] | None = None
) -> StrongestCells:
    """Returns the cells with the best keypoints, as many as `strongest_count` says.

    Args:
        features: local features (h, w, C), one for each cell.
        scores: (H, W), how good a keypoint each pixel of the network's input is.
        visible: mask of the image's pixels that show the scene; None for all.
    """
    rows, columns, channels = features.shape
    # Along one axis after the other, which takes a fifth of the time.
    best = scores.reshape(rows, -1, scores.shape[1]).max(axis=1).reshape(rows, columns, -1).max(axis=2)
    if visible is not None:
        features = of_visible(features, visible)
        best = np.where(np.isnan(features[..., 0]), np.float32(-1), best)
    worth, count = -best.ravel(), strongest_count(rows * columns)
    chosen = np.argpartition(worth, count - 1)[:count]
    chosen = chosen[np.argsort(worth[chosen], kind="stable")]
    row, column = np.divmod(chosen, columns)
    places = np.stack([(column + 0.5) / columns, (row + 0.5) / rows], axis=1).astype(np.float32)
    return StrongestCells(features.reshape(-1, 1, channels)[chosen], places)


def strongest_count(cells: int) -> int:
    """Returns how many of an image's cells are among the strongest."""
    return max(1, min(STRONGEST, int(STRONGEST_SHARE * cells)))


def of_visible(features: NDArray[np.float32], visible: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Returns a feature map (h, w, C) with NaN in cells of which less than half is visible (H, W)."""
    rows, columns = features.shape[:2]
    share = cv2.resize(visible.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    return np.where(share[..., None] < LEAST_VISIBLE, np.float32(np.nan), features)
