"""Poolings: a feature map to one global descriptor."""

from __future__ import annotations

from abc import ABC, abstractmethod

import faiss
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn


class Pooling(nn.Module, ABC):
    """Base of the poolings.

    A pooling is built from the number of channels that it pools and declares its output's size.
    """

    output_size: int

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """Unit descriptors (B, output_size) of feature maps (B, C, H, W)."""

    def fit(self, features: NDArray[np.float32]) -> None:
        """Adapts to local features (N, C) of a place, for poolings that need it before use."""


class NetVLAD(Pooling):
    """Residuals to cluster centres, softly assigned (Arandjelović et al., CVPR 2016).

    Features are L2-normalised at each location; residuals are summed per cluster, normalised per
    cluster, flattened and normalised again.  Assignment weights and centres are separate parameters,
    so that training may part them.
    """

    CLUSTERS = 64
    SHARPNESS = 40.0
    """alpha of the assignment: how much nearer than the others a centre must be to win."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.output_size = self.CLUSTERS * channels
        self.centres = nn.Parameter(torch.zeros(self.CLUSTERS, channels))
        self.assignment = nn.Linear(channels, self.CLUSTERS)

    def forward(self, features: Tensor) -> Tensor:
        """Unit descriptors (B, 64 C) of feature maps (B, C, H, W)."""
        x = F.normalize(features.flatten(2).transpose(1, 2), dim=2)
        weights = self.assignment(x).softmax(dim=2)
        residuals = weights.transpose(1, 2) @ x - weights.sum(1)[:, :, None] * self.centres
        return F.normalize(F.normalize(residuals, dim=2).flatten(1), dim=1)

    def fit(self, features: NDArray[np.float32]) -> None:
        """Centres by k-means on L2-normalised features; w = 2 alpha c, b = -alpha |c|^2.

        `features` (N, C) needs at least as many rows as there are clusters.
        """
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
            self.assignment.weight.copy_(2 * self.SHARPNESS * centres)
            self.assignment.bias.copy_(-self.SHARPNESS * centres.square().sum(1))


POOLINGS: dict[str, type[Pooling]] = {"netvlad": NetVLAD}
