"""What matchers have in common whose features lie where the image has something."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import DTypeLike, NDArray

from scene_geo_loc.matchers.base import LocalFeatures, Matcher, Rows, nearest_pixels, to_int8, unit
from scene_geo_loc.networks.runtime.extractor import SceneFeatures

MAX_PIXELS = 640 * 480
"""Most pixels of the image that keypoints are found in: larger images are made smaller."""
QUERY_KEYPOINTS = 1000
"""Most keypoints of a query, the strongest."""
RERANK_KEYPOINTS = 200
"""Strongest keypoints of an image, which candidates are re-ranked by."""
PLACE_SCALE = 65536
"""A keypoint is stored as this multiple of its place in the image, 0 to 1 from the left and upper border."""


class KeypointMatcher(Matcher):
    """Base of the matchers of keypoints.

    A map stores the strongest of a keyframe's keypoints whose depth is known.

    Attributes:
        channels: length of a feature.
        multiple: what the sides of the image must be multiples of.
    """

    rerank_subset = np.arange(RERANK_KEYPOINTS)
    channels: ClassVar[int]
    multiple: ClassVar[int] = 1

    @abstractmethod
    def detect(self, grey: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Keypoints (N, 2), the strongest first, and unit features (N, C) of a grey image (H, W)."""

    def extract(self, image: NDArray[np.uint8], features: SceneFeatures) -> LocalFeatures:
        """See `Matcher.extract`; keypoints are found in an image of `MAX_PIXELS` at most."""
        grey = _working_image(image, self.multiple)
        pixels, descriptors = self.detect(grey)
        size = (grey.shape[1], grey.shape[0])
        return LocalFeatures((pixels + 0.5) * self.input_size / size - 0.5, descriptors)

    @property
    def arrays(self) -> dict[str, tuple[tuple[int, ...], DTypeLike]]:
        """See `Matcher.arrays`."""
        return {
            "local_features": ((self.capacity, self.channels), np.int8),
            "keypoints": ((self.capacity, 2), np.uint16),
        }

    def rows(
        self, image: NDArray[np.uint8], features: SceneFeatures, known: NDArray[np.bool_]
    ) -> tuple[dict[str, NDArray], NDArray[np.float64]]:
        """See `Matcher.rows`."""
        found = self.extract(image, features)
        column, row = nearest_pixels(found.pixels, self.input_size, known)
        kept = np.flatnonzero(known[row, column])[: self.capacity]
        rows = {name: np.zeros(shape, dtype) for name, (shape, dtype) in self.arrays.items()}
        rows["local_features"][: len(kept)] = to_int8(found.descriptors[kept])
        places = (found.pixels[kept] + 0.5) / self.input_size
        rows["keypoints"][: len(kept)] = np.clip(places * PLACE_SCALE, 0, PLACE_SCALE - 1)
        pixels = np.full((self.capacity, 2), np.nan)
        pixels[: len(kept)] = found.pixels[kept]
        return rows, pixels

    def read(self, rows: Rows, is_subset: bool = False) -> LocalFeatures:
        """See `Matcher.read`."""
        chosen = slice(len(self.rerank_subset)) if is_subset else slice(None)
        pixels = (rows["keypoints"][chosen] + 0.5) * (self.input_size / PLACE_SCALE) - 0.5
        return LocalFeatures(pixels, unit(rows["local_features"][chosen]))

    def save(self, path: Path) -> None:
        """See `Matcher.save`; by default nothing is written."""


def _working_image(image: NDArray[np.uint8], multiple: int) -> NDArray[np.uint8]:
    """A grey image (H', W') of about `MAX_PIXELS` at most, its sides multiples of a number."""
    height, width = image.shape[:2]
    scale = min(1.0, (MAX_PIXELS / (height * width)) ** 0.5)
    rows, columns = (max(1, round(side * scale / multiple)) * multiple for side in (height, width))
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if (rows, columns) != (height, width):
        grey = cv2.resize(grey, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(grey, np.uint8)
