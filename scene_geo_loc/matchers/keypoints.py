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

"""Base of the matchers whose features are keypoints."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.matchers.base import GuidedLimits, Matcher
from scene_geo_loc.matchers.features import LocalFeatures
from scene_geo_loc.matchers.storage import KeypointStorage
from scene_geo_loc.networks.inference_network import InferenceNetwork
from scene_geo_loc.networks.runtime.extractor import SceneFeatures
from scene_geo_loc.networks.user.description import MAX_PIXELS
from scene_geo_loc.networks.user.image_network import working_size

QUERY_KEYPOINTS = 1000
"""Most keypoints of a query, the strongest."""
RERANK_KEYPOINTS = 200
"""Strongest keypoints of an image, which candidates are re-ranked by."""


class SparseMatcher(Matcher):
    """Base of the matchers of keypoints, wherever these come from.

    A map stores the strongest of a keyframe's keypoints whose depth is known.
    """

    rerank_subset = slice(RERANK_KEYPOINTS)
    storage: KeypointStorage

    @abstractmethod
    def find(
        self, image: NDArray[np.uint8], features: SceneFeatures
    ) -> tuple[NDArray[np.float64], NDArray[np.float32], tuple[int, int]]:
        """Returns keypoints (N, 2) of an RGB image (H, W, 3), strongest first, and descriptors (N, C).

        Returns also the width and height of the image that the keypoints are pixels of; descriptors have unit
        length.

        Args:
            features: the network's output for the image.
        """

    def extract(self, image: NDArray[np.uint8], features: SceneFeatures) -> LocalFeatures:
        """See `Matcher.extract`."""
        pixels, descriptors, size = self.find(image, features)
        return LocalFeatures((pixels + 0.5) * self.input_size / size - 0.5, descriptors)

    def scale_of(self, features: SceneFeatures) -> tuple[float, float]:
        """Returns width and height of the network's input for an image in those for the map's images."""
        width, height = features.input_size / self.input_size
        return float(width), float(height)

    def rows(
        self, image: NDArray[np.uint8], features: SceneFeatures, known: NDArray[np.bool_]
    ) -> tuple[dict[str, NDArray], NDArray[np.float64]]:
        """See `Matcher.rows`."""
        return self.storage.rows(self.extract(image, features), known)


class XFeatThresholds:
    """Limits of matches and poses for XFeat's features, wherever they are computed; see `Matcher`."""

    min_inlier_ratio = 0.1
    min_coverage = 0.2
    min_precise_ratio = 0.07
    min_inliers = 40
    min_similarity: float | None = 0.75
    guided: GuidedLimits | None = GuidedLimits(similarity=0.5, inlier_ratio=0.44, precise_ratio=0.1)


class KeypointMatcher(SparseMatcher):
    """Base of the matchers of keypoints in grey images; a subclass declares the attributes and detects.

    Attributes:
        capacity: most keypoints of a keyframe that a map stores.
        channels: length of a descriptor.
        multiple: the sides of the image that keypoints are detected in are multiples of it.
    """

    capacity: ClassVar[int]
    channels: ClassVar[int]
    multiple: ClassVar[int] = 1

    def __init__(self, network: InferenceNetwork, weights_path: Path | None = None) -> None:
        super().__init__(network, weights_path)
        self.storage = KeypointStorage(self.capacity, self.channels, RERANK_KEYPOINTS, self.input_size)

    @abstractmethod
    def detect(self, grey: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Returns keypoints (N, 2), strongest first, and unit descriptors (N, C) of a grey image (H, W)."""

    def find(
        self, image: NDArray[np.uint8], features: SceneFeatures
    ) -> tuple[NDArray[np.float64], NDArray[np.float32], tuple[int, int]]:
        """See `SparseMatcher.find`; keypoints are detected in an image of `MAX_PIXELS` at most.

        Of a camera whose images the network reads at another size than the map's, that image is of another
        size as well.
        """
        grey = _working_image(image, self.multiple, self.scale_of(features))
        return *self.detect(grey), (grey.shape[1], grey.shape[0])


def _working_image(image: NDArray[np.uint8], multiple: int, scale: tuple[float, float]) -> NDArray[np.uint8]:
    """Returns a grey image (H', W'), its sides multiples of a number; arguments as of `working_size`."""
    size = working_size(image.shape[1], image.shape[0], multiple, MAX_PIXELS, scale)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if size != (image.shape[1], image.shape[0]):
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return np.asarray(grey, np.uint8)
