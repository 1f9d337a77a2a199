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

"""Local features that become visual words: SIFT points, and MSER regions that SIFT describes."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.visual_words.regions import describe_regions

MOST_POINTS, MOST_REGIONS = 1000, 300
"""Most points and regions of an image: the strongest points, and the largest regions."""
LENGTH = 128
"""Length of a SIFT histogram."""
ROW_SHAPE = (MOST_POINTS + MOST_REGIONS, LENGTH)
"""Shape of `ImageFeatures.row`."""
WORKING_PIXELS = 480 * 360
"""Larger images are reduced to about this many pixels."""
_CONTRAST = 0.02
"""Contrast that a point has at least, half of OpenCV's default: night and snow have little."""
SIFT_REACH = 3.0
"""Half side of a histogram's cells in sizes of the keypoint."""


class ImageFeatures(NamedTuple):
    """Local features of an image.

    Attributes:
        points: (N, 128) uint8, SIFT histograms of the points.
        regions: (M, 128) uint8, SIFT histograms of the regions.
    """

    points: NDArray[np.uint8]
    regions: NDArray[np.uint8]

    @property
    def row(self) -> NDArray[np.uint8]:
        """Both in an array (R, 128) of the same shape for each image; rows of zeros are no features."""
        row = np.zeros(ROW_SHAPE, np.uint8)
        row[: len(self.points)] = self.points
        row[MOST_POINTS : MOST_POINTS + len(self.regions)] = self.regions
        return row

    @classmethod
    def of_row(cls, row: NDArray[np.uint8]) -> ImageFeatures:
        """Returns the features in an array that `row` made."""
        return cls(*(part[part.any(axis=1)] for part in (row[:MOST_POINTS], row[MOST_POINTS:])))


def extract(image: NDArray[np.uint8], visible: NDArray[np.bool_] | None = None) -> ImageFeatures:
    """Returns the local features of an RGB image (H, W, 3).

    Args:
        image: the image.
        visible: (H, W) mask of the pixels that show something; a feature that reaches into others is left
            out.  None: all do.
    """
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
    scale = (WORKING_PIXELS / grey.size) ** 0.5
    if scale < 1:
        size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
        grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)
        if visible is not None:
            # A pixel that a hidden one is part of is hidden.
            share = cv2.resize(visible.astype(np.float32), size, interpolation=cv2.INTER_AREA)
            visible = np.asarray(share > 1 - 1e-3)
    reach = None
    if visible is not None and not visible.all():
        reach = np.asarray(cv2.distanceTransform(visible.astype(np.uint8), cv2.DIST_L2, 3), np.float32)
    return ImageFeatures(_points(grey, reach), describe_regions(grey, reach, MOST_REGIONS))


def _points(grey: NDArray[np.uint8], reach: NDArray[np.float32] | None) -> NDArray[np.uint8]:
    """Returns the histograms (N, 128) of the strongest points.

    Args:
        reach: (H, W) distance of each pixel from the nearest hidden one, pixels; None where none is hidden.
    """
    sift = cv2.SIFT.create(nfeatures=MOST_POINTS if reach is None else 0, contrastThreshold=_CONTRAST)
    keypoints, histograms = sift.detectAndCompute(grey, None)
    if not keypoints:
        return np.zeros((0, LENGTH), np.uint8)
    strongest = np.argsort([-keypoint.response for keypoint in keypoints], kind="stable")
    if reach is not None:
        pixels = np.array([keypoint.pt for keypoint in keypoints])
        columns, rows = np.clip(np.rint(pixels).astype(np.intp), 0, np.array(grey.shape[::-1]) - 1).T
        is_clear = reach[rows, columns] >= [SIFT_REACH * keypoint.size for keypoint in keypoints]
        strongest = strongest[is_clear[strongest]]
    described = np.asarray(histograms, np.uint8)[strongest[:MOST_POINTS]]
    return described[described.any(axis=1)]
