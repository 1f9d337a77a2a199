"""Base of the matchers whose features are keypoints."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.matchers.base import Matcher
from scene_geo_loc.matchers.features import LocalFeatures
from scene_geo_loc.matchers.storage import KeypointStorage
from scene_geo_loc.networks.inference_network import InferenceNetwork
from scene_geo_loc.networks.runtime.extractor import SceneFeatures

MAX_PIXELS = 640 * 480
"""Most pixels of the image that keypoints are detected in: larger images are resized."""
QUERY_KEYPOINTS = 1000
"""Most keypoints of a query, the strongest."""
RERANK_KEYPOINTS = 200
"""Strongest keypoints of an image, which candidates are re-ranked by."""


class KeypointMatcher(Matcher):
    """Base of the matchers of keypoints; a subclass declares the attributes and detects.

    A map stores the strongest of a keyframe's keypoints whose depth is known.

    Attributes:
        capacity: most keypoints of a keyframe that a map stores.
        channels: length of a descriptor.
        multiple: the sides of the image that keypoints are detected in are multiples of it.
    """

    rerank_subset = slice(RERANK_KEYPOINTS)
    storage: KeypointStorage
    capacity: ClassVar[int]
    channels: ClassVar[int]
    multiple: ClassVar[int] = 1

    def __init__(self, network: InferenceNetwork, weights_path: Path | None = None) -> None:
        super().__init__(network, weights_path)
        self.storage = KeypointStorage(self.capacity, self.channels, RERANK_KEYPOINTS, self.input_size)

    @abstractmethod
    def detect(self, grey: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Returns keypoints (N, 2), strongest first, and unit descriptors (N, C) of a grey image (H, W)."""

    def extract(self, image: NDArray[np.uint8], features: SceneFeatures) -> LocalFeatures:
        """See `Matcher.extract`; keypoints are detected in an image of `MAX_PIXELS` at most."""
        grey = _working_image(image, self.multiple)
        pixels, descriptors = self.detect(grey)
        size = (grey.shape[1], grey.shape[0])
        return LocalFeatures((pixels + 0.5) * self.input_size / size - 0.5, descriptors)

    def rows(
        self, image: NDArray[np.uint8], features: SceneFeatures, known: NDArray[np.bool_]
    ) -> tuple[dict[str, NDArray], NDArray[np.float64]]:
        """See `Matcher.rows`."""
        return self.storage.rows(self.extract(image, features), known)


def _working_image(image: NDArray[np.uint8], multiple: int) -> NDArray[np.uint8]:
    """Returns a grey image (H', W') of about `MAX_PIXELS` at most, its sides multiples of a number."""
    height, width = image.shape[:2]
    scale = min(1.0, (MAX_PIXELS / (height * width)) ** 0.5)
    rows, columns = (max(1, round(side * scale / multiple)) * multiple for side in (height, width))
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if (rows, columns) != (height, width):
        grey = cv2.resize(grey, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(grey, np.uint8)
