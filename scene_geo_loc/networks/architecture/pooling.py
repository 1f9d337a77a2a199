"""Poolings: a feature map to one global descriptor."""

from __future__ import annotations

from abc import ABC, abstractmethod

import faiss
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from scene_geo_loc.core.errors import SceneGeoLocError


class Pooling(nn.Module, ABC):
    """Base of the poolings.

    A pooling is built from the number of channels that it pools.

    Attributes:
        output_size: length of the descriptor.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.output_size = self.size_of(channels)

    @classmethod
    def size_of(cls, channels: int) -> int:
        """Length of the descriptor of a map with so many channels."""
        return channels

    @property
    def is_fitted(self) -> bool:
        """Whether what it gives is of use."""
        return True

    def local_features(self, features: Tensor) -> Tensor:
        """The local features (B, H W, C) of feature maps (B, C, H, W), as `fit` takes them."""
        return features.flatten(2).transpose(1, 2)

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """Unit descriptors (B, output_size) of feature maps (B, C, H, W)."""

    def fit(self, features: NDArray[np.float32], sharpness: float) -> None:
        """Adapts to local features (N, C) of a place, for poolings that need it before use.

        Args:
            features: rows that need not have unit length.
            sharpness: how much nearer than the others a cluster's centre must be to win a feature.
        """


class MAC(Pooling):
    """The maximum of each channel (Tolias et al., ICLR 2016), without any weights."""

    def forward(self, features: Tensor) -> Tensor:
        """Unit descriptors (B, C) of feature maps (B, C, H, W)."""
        return F.normalize(features.amax(dim=(2, 3)), dim=1)


class GeM(Pooling):
    """The generalised mean of each channel (Radenović et al., TPAMI 2019), equation 3.

    Its exponent is learned: 1 would be the average, and infinity the maximum.  What is negative in a map
    counts as nothing.
    """

    EXPONENT = 3.0
    SMALLEST = 1e-6
    """Features are raised to this at least: the root has no slope at 0."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.exponent = nn.Parameter(torch.tensor(self.EXPONENT))

    def forward(self, features: Tensor) -> Tensor:
        """Unit descriptors (B, C) of feature maps (B, C, H, W)."""
        # In float32 also in mixed precision: third powers leave what shorter numbers resolve.
        powers = features.float().clamp(min=self.SMALLEST) ** self.exponent
        return F.normalize(powers.mean(dim=(2, 3)) ** (1 / self.exponent), dim=1)


class NetVLAD(Pooling):
    """Residuals to cluster centres, softly assigned (Arandjelović et al., CVPR 2016).

    Features are L2-normalised at each location; residuals are summed per cluster, normalised per
    cluster, flattened and normalised again.  Assignment weights and centres are separate parameters,
    so that training may part them.
    """

    CLUSTERS = 64

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.centres = nn.Parameter(torch.zeros(self.CLUSTERS, channels))
        self.assignment = nn.Linear(channels, self.CLUSTERS)

    @property
    def is_fitted(self) -> bool:
        """Whether there are centres."""
        return bool(self.centres.any())

    @classmethod
    def size_of(cls, channels: int) -> int:
        """A residual of each cluster."""
        return cls.CLUSTERS * channels

    def forward(self, features: Tensor) -> Tensor:
        """Unit descriptors (B, 64 C) of feature maps (B, C, H, W)."""
        x = F.normalize(self.local_features(features), dim=2)
        weights = self.assignment(x).softmax(dim=2)
        residuals = weights.transpose(1, 2) @ x - weights.sum(1)[:, :, None] * self.centres
        return F.normalize(F.normalize(residuals, dim=2).flatten(1), dim=1)

    def fit(self, features: NDArray[np.float32], sharpness: float) -> None:
        """Centres by k-means on L2-normalised features; w = 2 alpha c, b = -alpha |c|^2, alpha the sharpness.

        Raises SceneGeoLocError where there are fewer features (N, C) than clusters.
        """
        if len(features) < self.CLUSTERS:
            raise SceneGeoLocError(
                f"NetVLAD needs at least {self.CLUSTERS} local features to be fitted to, and there are "
                f"{len(features)}: take more or larger images."
            )
        unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-9)
        kmeans = faiss.Kmeans(
            unit.shape[1],
            self.CLUSTERS,
            niter=25,
            seed=1,
            min_points_per_centroid=1,
            max_points_per_centroid=1024,
        )
        kmeans.train(np.ascontiguousarray(unit, np.float32))
        centres = torch.from_numpy(np.array(kmeans.centroids).reshape(self.CLUSTERS, -1))
        with torch.no_grad():
            self.centres.copy_(centres)
            self.assignment.weight.copy_(2 * sharpness * centres)
            self.assignment.bias.copy_(-sharpness * centres.square().sum(1))


class CentredNetVLAD(NetVLAD):
    """NetVLAD of features that have lost half of their image's mean.

    Weather, light and the camera shift all features of an image alike, and shifted features go to other
    clusters.  The mean tells of the place, too, so that half of it stays.
    """

    SHARE = 0.5

    def local_features(self, features: Tensor) -> Tensor:
        """See `Pooling.local_features`."""
        x = super().local_features(features)
        return x - self.SHARE * x.mean(dim=1, keepdim=True)


POOLINGS: dict[str, type[Pooling]] = {
    "netvlad": NetVLAD,
    "centred_netvlad": CentredNetVLAD,
    "mac": MAC,
    "gem": GeM,
}
