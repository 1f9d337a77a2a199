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

"""Keypoints that the network finds and describes in its one forward pass."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.matchers.base import GuidedLimits
from scene_geo_loc.matchers.features import unit
from scene_geo_loc.matchers.keypoints import (
    QUERY_KEYPOINTS,
    RERANK_KEYPOINTS,
    SparseMatcher,
    XFeatThresholds,
)
from scene_geo_loc.matchers.storage import KeypointStorage
from scene_geo_loc.networks.inference_network import InferenceNetwork
from scene_geo_loc.networks.runtime.extractor import SceneFeatures

CAPACITY = 400
"""Most keypoints of a keyframe that a map stores, 15 kB with their depth.

On a walk indoors with every fifth frame mapped, 700 localized 63 of 75 images, 400 60 and 300 59; in eight
bits instead of four, 700 localized 64.
"""
MIN_SCORE = 0.01
"""Least score of a keypoint."""
NEIGHBOURHOOD = 5
"""Side in pixels of the square in which a keypoint has the largest score."""
CUBIC = np.float32(-0.75)
"""Slope of the cubic convolution one cell away."""


class SceneKeypointMatcher(XFeatThresholds, SparseMatcher):
    """Keypoints of a network that was trained to find them (`Signature.finds_keypoints`).

    Raises MapError where the network finds none.
    """

    name = "keypoints"
    # Matches looked for near right poses cover 0.26 and more; near wrong ones of a high confidence 0.2.
    guided = GuidedLimits(
        similarity=0.5, inlier_ratio=0.38, precise_ratio=0.05, confidence=0.9, coverage=0.25
    )

    def __init__(self, network: InferenceNetwork, weights_path: Path | None = None) -> None:
        super().__init__(network, weights_path)
        if not network.signature.finds_keypoints:
            raise MapError(
                "The network has features of cells and finds no keypoints: give one with the local features "
                "keypoints, or build the map again."
            )
        self._grid = network.signature.local_features
        self.storage = KeypointStorage(
            CAPACITY, self._grid.channels, RERANK_KEYPOINTS, self.input_size, is_packed=True
        )

    def find(
        self, image: NDArray[np.uint8], features: SceneFeatures
    ) -> tuple[NDArray[np.float64], NDArray[np.float32], tuple[int, int]]:
        """See `SparseMatcher.find`."""
        assert features.keypoint_scores is not None, "the network finds keypoints"
        pixels = strongest_keypoints(features.keypoint_scores, QUERY_KEYPOINTS)
        cells = (pixels - self._grid.offset) / self._grid.stride
        height, width = features.keypoint_scores.shape
        return pixels, unit(sampled(features.local_features, cells)), (width, height)


def strongest_keypoints(scores: NDArray[np.float32], count: int) -> NDArray[np.float64]:
    """Returns the at most `count` strongest local maxima (N, 2) of scores (H, W), strongest first.

    Their positions are the centres of gravity of the scores within a pixel of the maximum.
    """
    highest = cv2.dilate(scores, np.ones((NEIGHBOURHOOD, NEIGHBOURHOOD), np.uint8))
    found = np.flatnonzero((scores == highest) & (scores > MIN_SCORE))
    values = scores.ravel()[found]
    if len(found) > count:
        strongest = np.argpartition(-values, count)[:count]
        found, values = found[strongest], values[strongest]
    y, x = np.divmod(found[np.argsort(-values, kind="stable")], scores.shape[1])
    padded = np.pad(scores, 1)
    around = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))[y, x].astype(np.float64)
    total = around.sum(axis=(1, 2))
    step = np.array([-1.0, 0.0, 1.0])
    right, down = around.sum(axis=1) @ step, around.sum(axis=2) @ step
    return np.stack([x + right / total, y + down / total], axis=1)


def sampled(grid: NDArray[np.float32], places: NDArray[np.float64]) -> NDArray[np.float32]:
    """Returns the values (N, C) of a grid (rows, columns, C) at places (N, 2), column and row.

    They are interpolated by cubic convolution (Keys, 1981), as XFeat's are: on a walk indoors, linear
    interpolation localized 120 instead of 126 of 169 hard queries.  Beyond its border the grid goes on with
    the values of the border.
    """
    rows, columns = grid.shape[:2]
    first = np.floor(places).astype(np.intp)
    right, down = np.moveaxis(_cubic_weights((places - first).astype(np.float32)), 2, 0)
    column, row = np.moveaxis(first[:, None] + np.arange(-1, 3)[:, None], 2, 0)
    cells = np.clip(row, 0, rows - 1)[:, :, None] * columns + np.clip(column, 0, columns - 1)[:, None]
    weights = down[:, :, None] * right[:, None]
    around = grid.reshape(rows * columns, -1)[cells.reshape(-1, 16)]
    return np.asarray((weights.reshape(-1, 1, 16) @ around)[:, 0])


def _cubic_weights(beyond: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the weights (N, 4, 2) of the cells around places, which lie so far (N, 2) beyond the second."""

    def near(x: NDArray[np.float32]) -> NDArray[np.float32]:
        return ((CUBIC + 2) * x - (CUBIC + 3)) * x * x + 1

    def far(x: NDArray[np.float32]) -> NDArray[np.float32]:
        return ((CUBIC * x - 5 * CUBIC) * x + 8 * CUBIC) * x - 4 * CUBIC

    return np.stack([far(beyond + 1), near(beyond), near(1 - beyond), far(2 - beyond)], axis=1)
