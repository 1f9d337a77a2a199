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

"""Pictures of what a pose regressor looks at: how far its position moves where a part of the image is hidden.

Parts are hidden one after the other (Zeiler and Fergus, ECCV 2014), so that the picture is of what a robot
runs and needs no gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.progress import ProgressCallback, ignore_progress
from scene_geo_loc.localization.pose_regression.localizer import PoseRegressor
from scene_geo_loc.localization.query import CameraImage

COLUMNS = 16
"""Number of parts across an image."""
PATCH_PARTS = 2
"""Side of what is hidden at a time, in parts."""
_SHOWN_WIDTH = 480
_STRONGEST = 0.65
"""Largest weight of the colours over the image."""


@dataclass(frozen=True)
class Saliency:
    """Movement of a regressed position by what is hidden.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        moves_m: (rows, columns) metres, mean over the hidden patches that cover each part.
    """

    image: NDArray[np.uint8]
    moves_m: NDArray[np.float64]

    def picture(self, largest_m: float) -> NDArray[np.uint8]:
        """Returns the image beside itself under colours, (h, 2 w, 3) RGB; the brightest is `largest_m`."""
        height = round(_SHOWN_WIDTH * self.image.shape[0] / self.image.shape[1])
        size = (_SHOWN_WIDTH, height)
        image = np.asarray(cv2.resize(self.image, size, interpolation=cv2.INTER_AREA), np.uint8)
        share = np.clip(self.moves_m / max(largest_m, 1e-9), 0, 1)
        share = np.clip(cv2.resize(share, size, interpolation=cv2.INTER_CUBIC), 0, 1)
        colours = cv2.applyColorMap((255 * share).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
        weight = _STRONGEST * np.sqrt(share)[..., None]
        grey = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
        blended = (1 - weight) * (0.6 * grey) + weight * colours
        return np.hstack([image, blended.round().astype(np.uint8)])


def saliency_of(
    regressor: PoseRegressor, image: CameraImage, on_progress: ProgressCallback = ignore_progress
) -> Saliency | None:
    """Returns the saliency of an image; None where its camera sees too little of the network's input.

    A hidden patch has the mean colour of what it hides, so that it adds no edges inside it.
    """
    whole = regressor.regress(image)
    if whole is None:
        return None
    height, width = image.image.shape[:2]
    rows = max(1, round(COLUMNS * height / width))
    x, y = (
        np.linspace(0, side, parts + 1).round().astype(int)
        for side, parts in ((width, COLUMNS), (height, rows))
    )
    total, counts = np.zeros((rows, COLUMNS)), np.zeros((rows, COLUMNS))
    places = [(r, c) for r in range(1 - PATCH_PARTS, rows) for c in range(1 - PATCH_PARTS, COLUMNS)]
    for done, (r, c) in enumerate(places, start=1):
        down = slice(max(r, 0), min(r + PATCH_PARTS, rows))
        across = slice(max(c, 0), min(c + PATCH_PARTS, COLUMNS))
        hidden = image.image.copy()
        patch = hidden[y[down.start] : y[down.stop], x[across.start] : x[across.stop]]
        patch[:] = patch.mean(axis=(0, 1)).round()
        moved = regressor.regress(replace(image, image=hidden))
        assert moved is not None, "its camera is the same"
        total[down, across] += np.linalg.norm(moved.T_map_camera[:3, 3] - whole.T_map_camera[:3, 3])
        counts[down, across] += 1
        on_progress(done, len(places))
    return Saliency(image.image, total / counts)


def saliency_sheet(found: Sequence[Saliency]) -> NDArray[np.uint8]:
    """Returns the pictures of several images, one below the other, in one scale of colours."""
    largest_m = max(float(saliency.moves_m.max()) for saliency in found)
    return np.vstack([saliency.picture(largest_m) for saliency in found])
