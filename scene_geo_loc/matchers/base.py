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

"""Base of the matchers: from an image to local features, and from two images' features to matches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.matchers.features import LocalFeatures, Matched, mutual_nearest
from scene_geo_loc.matchers.storage import FeatureStorage
from scene_geo_loc.networks.inference_network import InferenceNetwork
from scene_geo_loc.networks.runtime.extractor import SceneFeatures


@dataclass(frozen=True)
class GuidedLimits:
    """Limits of matches that a pose has near each other; see `localization.guided_matches`.

    Attributes:
        similarity: least cosine of a match.
        inlier_ratio, precise_ratio: least shares of the matches that must support the pose.
        confidence: least probability that the pose is right, where one is stated.
        coverage: least share of the image's blocks that they lie in, where it is more than other poses need.
    """

    similarity: float
    inlier_ratio: float
    precise_ratio: float
    confidence: float = 0.0
    coverage: float = 0.0


class Matcher(ABC):
    """Base of the matchers.

    A subclass declares the attributes.

    Attributes:
        name: name in maps and settings.
        min_inlier_ratio, min_coverage: least shares of its matches and of the image that must support a
            pose, see `LocalizerSettings`.  Those of the package were chosen on simulated drives in sun, snow
            and night, so that almost no query is accepted when its place is not among the candidates: 1 in
            354 with the encoder.
        min_precise_ratio: least share of its matches that must support a pose precisely.  With it, and a
            least similarity and number of inliers, smaller shares are enough for XFeat's keypoints.
        min_inliers: least number of matches that must support a pose.
        min_similarity: least cosine of a match; None: every mutual nearest neighbour is one.
        guided: limits of matches near a pose; None where poses are not verified by these.
        rerank_subset: rows of the few features of a query that candidates are re-ranked by.
        storage: storage of its features in a map.
        input_size: width and height (2,) of the network's input.
        depth_pixels: pixels (F, 2) of its features in the network's input where they are the same in every
            image; None for keypoints.
        is_resizable: whether images of another lens than the map's are read at another size.
    """

    name: ClassVar[str]
    min_inlier_ratio: float
    min_coverage: float
    min_precise_ratio: float = 0.0
    min_inliers: int = 0
    min_similarity: float | None = None
    guided: GuidedLimits | None = None
    rerank_subset: slice | NDArray[np.intp]
    storage: FeatureStorage
    depth_pixels: NDArray[np.float64] | None = None
    is_resizable: bool = True

    def __init__(self, network: InferenceNetwork, weights_path: Path | None = None) -> None:
        """Takes the network that describes the map's images, and the file that `save` wrote, or None.

        Raises CheckpointError where weights that the matcher needs are not there.
        """
        self.input_size = np.array([network.input_width, network.input_height])

    @abstractmethod
    def extract(self, image: NDArray[np.uint8], features: SceneFeatures) -> LocalFeatures:
        """Returns the local features of an RGB image (H, W, 3).

        Args:
            features: the network's output for the image.
        """

    def match(self, query: LocalFeatures, reference: LocalFeatures) -> Matched:
        """Returns the mutual nearest neighbours by cosine; several threads may call it at once."""
        similarity = reference.descriptors @ query.descriptors.T
        in_reference, in_query = mutual_nearest(similarity)
        if self.min_similarity is not None:
            similar = similarity[in_reference, in_query] >= self.min_similarity
            in_reference, in_query = in_reference[similar], in_query[similar]
        return Matched(query.pixels[in_query], in_reference)

    def match_all(self, query: LocalFeatures, references: Sequence[LocalFeatures]) -> list[Matched]:
        """Returns the matches with each of several keyframes, the same as `match`."""
        return [self.match(query, reference) for reference in references]

    def match_subset(self, query: LocalFeatures, references: Sequence[LocalFeatures]) -> list[Matched]:
        """Returns the matches of the few features that candidates are re-ranked by, as `match_all`."""
        return self.match_all(query, references)

    @abstractmethod
    def rows(
        self, image: NDArray[np.uint8], features: SceneFeatures, known: NDArray[np.bool_]
    ) -> tuple[dict[str, NDArray], NDArray[np.float64]]:
        """Returns the rows of a keyframe for the storage, and the pixels (F, 2) of its features, else NaN.

        Args:
            image: RGB (H, W, 3).
            features: the network's output for the image.
            known: mask (H', W'), of any size, of the pixels with depth; features elsewhere cannot be lifted.
        """

    def save(self, path: Path) -> None:  # noqa: B027 - most matchers have no weights to save
        """Writes the weights that the map is to keep; nothing if there are none."""
