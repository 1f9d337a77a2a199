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

"""Matching of two images by one of the package's matchers, without a map."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.matchers import chosen_matcher_class
from scene_geo_loc.matchers.base import Matcher
from scene_geo_loc.matchers.features import LocalFeatures
from scene_geo_loc.networks.checkpoint import load_network
from scene_geo_loc.networks.default import default_network
from scene_geo_loc.networks.inference_network import InferenceNetwork
from scene_geo_loc.networks.runtime.extractor import Extractor

EPIPOLAR_ERROR = 3.0 / 640
"""Largest distance of an inlier from its epipolar line, in widths of the image."""

_MIN_MATCHES = 8
_ITERATIONS = 2000
_CONFIDENCE = 0.999


@dataclass(frozen=True)
class ImageFeatures:
    """Local features of an image.

    Attributes:
        matcher: found and matches them.
        local: in pixels of the network's input.
        scale: (2,) pixels of the image for one of the network's input.
        width: of the image, in pixels.
    """

    matcher: Matcher
    local: LocalFeatures
    scale: NDArray[np.float64]
    width: int

    def in_image(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns pixels (N, 2) of the network's input as pixels of the image."""
        return (pixels + 0.5) * self.scale - 0.5


class ImageMatcher:
    """One of the package's matchers, with the network that it takes features of.

    The network's input has the shape of each image, as in a map of such images; that of a named network stays
    as it is.
    """

    def __init__(self, name: str, network: Path | None = None, device: str = "auto") -> None:
        """Takes the name of a matcher, a checkpoint or None for the package's network, and a device.

        Raises SceneGeoLocError where the matcher does not run on this machine.
        """
        self.name = name
        self._adapts = network is None
        loaded, _ = load_network(network) if network else default_network()
        self._network = loaded.without_depth()
        self._device = device
        self._ready: dict[tuple[int, int], tuple[Extractor, Matcher]] = {}

    def features(self, image: NDArray[np.uint8]) -> ImageFeatures:
        """Returns the local features of an RGB image (H, W, 3)."""
        height, width = image.shape[:2]
        extractor, matcher = self._for(width, height)
        local = matcher.extract(image, extractor.extract(image))
        return ImageFeatures(matcher, local, np.array([width, height]) / matcher.input_size, width)

    def match(
        self, query: ImageFeatures, reference: ImageFeatures
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns the matches (M, 2) as pixels of the query's and of the reference's image."""
        if len(query.local.pixels) == 0 or len(reference.local.pixels) == 0:
            return np.zeros((0, 2)), np.zeros((0, 2))
        matched = query.matcher.match(query.local, reference.local)
        in_reference = reference.local.pixels[matched.reference]
        return query.in_image(matched.query_pixels), reference.in_image(in_reference)

    def inliers(self, query: ImageFeatures, reference: ImageFeatures) -> int:
        """Returns the number of matches that agree with one epipolar geometry."""
        return epipolar_inliers(*self.match(query, reference), EPIPOLAR_ERROR * query.width)

    def _for(self, width: int, height: int) -> tuple[Extractor, Matcher]:
        network = self._network.with_input_for(width, height) if self._adapts else self._network
        size = (network.input_width, network.input_height)
        if size not in self._ready:
            self._ready[size] = (
                Extractor(network, self._device),
                chosen_matcher_class(self.name, network)(network),
            )
        return self._ready[size]


def epipolar_inliers(query: NDArray[np.float64], reference: NDArray[np.float64], max_error_px: float) -> int:
    """Returns the number of matches (M, 2), (M, 2) that agree with one fundamental matrix, by MAGSAC.

    0 where there are fewer than eight.
    """
    if len(query) < _MIN_MATCHES:
        return 0
    _, inlier = cv2.findFundamentalMat(
        query, reference, cv2.USAC_MAGSAC, max_error_px, _CONFIDENCE, _ITERATIONS
    )
    return 0 if inlier is None else int(np.count_nonzero(inlier))


def why_not_run(name: str, network: Path | None = None, device: str = "auto") -> str | None:
    """Returns a sentence on why a matcher does not run on this machine, or None if it does."""
    try:
        ImageMatcher(name, network, device).features(np.zeros((96, 128, 3), np.uint8))
    except (SceneGeoLocError, ImportError) as error:
        return f"{name}: {error}"
    return None


def network_for(network: Path | None) -> InferenceNetwork:
    """Returns the network of a checkpoint, or the package's, without the layers that infer depth."""
    loaded, _ = load_network(network) if network else default_network()
    return loaded.without_depth()
