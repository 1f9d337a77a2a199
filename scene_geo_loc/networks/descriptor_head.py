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

"""The head of a network: feature maps to the global descriptor, in NumPy.

It is what a map fits to its own images, so it stands outside of the graph, which stays as it was trained.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import faiss
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import SceneGeoLocError

F32 = NDArray[np.float32]
Tensors = Mapping[str, NDArray]
"""Weights by their names in a checkpoint."""


class PoolingHead(ABC):
    """Base of the poolings at run time; those of the same name in training give the same numbers.

    Attributes:
        name: name in configs.
    """

    name: ClassVar[str]

    @classmethod
    def size_of(cls, channels: int) -> int:
        """Length of the descriptor of a map with this many channels."""
        return channels

    @classmethod
    def local_features(cls, features: F32) -> F32:
        """Returns the local features (N, C) that `fit` expects, of all cells (N, C) of a map."""
        return features

    @classmethod
    @abstractmethod
    def describe(cls, features: F32, weights: Tensors) -> F32:
        """Returns the unit descriptor (D,) of the cells (N, C) of a map."""

    @classmethod
    def fit(cls, features: F32, sharpness: float) -> dict[str, NDArray]:
        """Returns the weights that are fitted to local features (N, C) of a place; none if it needs none.

        Args:
            features: rows, not necessarily of unit length.
            sharpness: alpha of the soft assignment to clusters; large values approach a hard assignment.
        """
        return {}


class MACHead(PoolingHead):
    """Maximum of each channel (Tolias et al., ICLR 2016)."""

    name = "mac"

    @classmethod
    def describe(cls, features: F32, weights: Tensors) -> F32:
        """See `PoolingHead.describe`."""
        return _unit(features.max(axis=0))


class GeMHead(PoolingHead):
    """Generalised mean of each channel (Radenović et al., TPAMI 2019, equation 3)."""

    name = "gem"
    SMALLEST = 1e-6
    """Smallest value of a feature; the root has no slope at 0."""

    @classmethod
    def describe(cls, features: F32, weights: Tensors) -> F32:
        """See `PoolingHead.describe`."""
        exponent = np.float32(weights["exponent"])
        powers = np.maximum(features, np.float32(cls.SMALLEST)) ** exponent
        return _unit(powers.mean(axis=0) ** (1 / exponent))


class NetVLADHead(PoolingHead):
    """Softly assigned residuals to cluster centres (Arandjelović et al., CVPR 2016)."""

    name = "netvlad"
    CLUSTERS = 64

    @classmethod
    def size_of(cls, channels: int) -> int:
        """Length of the residuals of all clusters."""
        return cls.CLUSTERS * channels

    @classmethod
    def describe(cls, features: F32, weights: Tensors) -> F32:
        """See `PoolingHead.describe`."""
        x = _unit(cls.local_features(features))
        logits = x @ weights["assignment.weight"].T + weights["assignment.bias"]
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        residuals = shares.T @ x - shares.sum(axis=0)[:, None] * weights["centres"]
        return _unit(_unit(residuals).ravel())

    @classmethod
    def fit(cls, features: F32, sharpness: float) -> dict[str, NDArray]:
        """Fits the centres by k-means on L2-normalised features; w = 2 alpha c, b = -alpha |c|^2.

        Raises SceneGeoLocError if there are fewer features (N, C) than clusters.
        """
        if len(features) < cls.CLUSTERS:
            raise SceneGeoLocError(
                f"NetVLAD cannot be fitted: {len(features)} local features < {cls.CLUSTERS} clusters; take "
                "more or larger images."
            )
        unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-9)
        kmeans = faiss.Kmeans(
            unit.shape[1],
            cls.CLUSTERS,
            niter=25,
            seed=1,
            min_points_per_centroid=1,
            max_points_per_centroid=1024,
        )
        kmeans.train(np.ascontiguousarray(unit, np.float32))
        centres = np.array(kmeans.centroids, np.float32).reshape(cls.CLUSTERS, -1)
        return {
            "centres": centres,
            "assignment.weight": 2 * np.float32(sharpness) * centres,
            "assignment.bias": -np.float32(sharpness) * np.square(centres).sum(axis=1),
        }


class CentredNetVLADHead(NetVLADHead):
    """NetVLAD of features from which half the mean of their image is subtracted.

    Weather, light and camera shift all features of an image alike, which moves them to other clusters.  The
    mean also describes the place, so half of it is kept.
    """

    name = "centred_netvlad"
    SHARE = 0.5

    @classmethod
    def local_features(cls, features: F32) -> F32:
        """See `PoolingHead.local_features`."""
        return features - np.float32(cls.SHARE) * features.mean(axis=0)


class KeypointVLADHead(CentredNetVLADHead):
    """Centred NetVLAD of an image's strongest keypoints, see `strongest_cells`.

    They change less by night and in snow than the late map, which tells more from another lane.
    """

    name = "keypoint_vlad"
    CLUSTERS = 32
    SHARPNESS = 40.0
    """Alpha of the first assignment, see `PoolingHead.fit`."""
    WEIGHT = 0.6
    """Length of the part in the joint descriptor, that of all others together being 1."""


POOLING_HEADS: dict[str, type[PoolingHead]] = {
    head.name: head for head in (NetVLADHead, CentredNetVLADHead, MACHead, GeMHead)
}
"""The poolings by their names in configs."""


def concatenate(parts: Sequence[F32], weights: Tensors) -> F32:
    """Returns the parts (Di,) one after the other, of unit length together."""
    return np.concatenate(parts) / np.float32(len(parts) ** 0.5)


def gated(parts: Sequence[F32], weights: Tensors) -> F32:
    """Returns the parts (Di,), each weighted by a learned gate; the squared gates sum to 1."""
    logits = weights["gates.weight"] @ np.concatenate(parts) + weights["gates.bias"]
    shares = np.exp(logits - logits.max())
    gates = np.sqrt(shares / shares.sum())
    return np.concatenate([part * gate for part, gate in zip(parts, gates, strict=True)])


def with_keypoints(joint: F32, keypoints: F32) -> F32:
    """Returns a joint descriptor (D,) followed by the part of the keypoints (K,), of unit length together."""
    weighted = np.float32(KeypointVLADHead.WEIGHT) * keypoints
    return _unit(np.concatenate([joint, weighted]))


FUSION_HEADS: dict[str, Callable[[Sequence[F32], Tensors], F32]] = {
    "concatenate": concatenate,
    "gated": gated,
}
"""The fusions by their names in configs."""


def project(joint: F32, weights: Tensors) -> F32:
    """Returns the unit projection (D,) of a joint descriptor; the descriptor itself without a projection."""
    if "weight" not in weights:
        return joint
    return _unit(weights["weight"] @ joint + weights["bias"])


def _unit(vectors: F32) -> F32:
    """Returns vectors (..., C) of unit length, as torch.nn.functional.normalize does."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.float32(1e-12)), np.float32)
