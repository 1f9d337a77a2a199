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

"""Poolings: a feature map to one global descriptor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from scene_geo_loc.networks.descriptor_head import KeypointVLADHead, NetVLADHead


class Pooling(nn.Module, ABC):
    """Base of the poolings, which are built for a number of channels.

    Attributes:
        name: name in configs.
        title: name in tables.
        output_size: length of the descriptor.
    """

    name: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.output_size = self.size_of(channels)

    @classmethod
    def size_of(cls, channels: int) -> int:
        """Length of the descriptor of a map with this many channels."""
        return channels

    @property
    def is_fitted(self) -> bool:
        """True if the descriptors are usable: always, unless the pooling must be fitted first."""
        return True

    def local_features(self, features: Tensor) -> Tensor:
        """Returns the local features (B, H W, C) of feature maps (B, C, H, W) that `fit` expects."""
        return features.flatten(2).transpose(1, 2)

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """Returns unit descriptors (B, output_size) of feature maps (B, C, H, W)."""

    def fit(self, features: NDArray[np.float32], sharpness: float) -> None:
        """Fits the pooling to local features (N, C) of a place, if it needs that before use.

        Args:
            features: rows, not necessarily of unit length.
            sharpness: alpha of the soft assignment to clusters; large values approach a hard assignment.
        """


class MAC(Pooling):
    """Maximum of each channel (Tolias et al., ICLR 2016), without weights."""

    name = "mac"
    title = "MAC"

    def forward(self, features: Tensor) -> Tensor:
        """Returns unit descriptors (B, C) of feature maps (B, C, H, W)."""
        return F.normalize(features.amax(dim=(2, 3)), dim=1)


class GeM(Pooling):
    """Generalised mean of each channel (Radenović et al., TPAMI 2019, equation 3).

    The exponent is learned: 1 is the average, infinity the maximum.  Negative values count as 0.
    """

    name = "gem"
    title = "GeM"

    EXPONENT = 3.0
    SMALLEST = 1e-6
    """Smallest value of a feature; the root has no slope at 0."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.exponent = nn.Parameter(torch.tensor(self.EXPONENT))

    def forward(self, features: Tensor) -> Tensor:
        """Returns unit descriptors (B, C) of feature maps (B, C, H, W)."""
        # In float32 also in mixed precision, which cannot resolve third powers.
        powers = features.float().clamp(min=self.SMALLEST) ** self.exponent
        return F.normalize(powers.mean(dim=(2, 3)) ** (1 / self.exponent), dim=1)


class NetVLAD(Pooling):
    """Softly assigned residuals to cluster centres (Arandjelović et al., CVPR 2016).

    Features are L2-normalised at each location; residuals are summed and normalised per cluster, flattened
    and normalised again.  Assignment weights and centres are separate parameters, as in the paper.
    """

    name = "netvlad"
    title = "NetVLAD"

    HEAD: ClassVar[type[NetVLADHead]] = NetVLADHead
    """The same at run time, which fits it."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.centres = nn.Parameter(torch.zeros(self.HEAD.CLUSTERS, channels))
        self.assignment = nn.Linear(channels, self.HEAD.CLUSTERS)

    @property
    def is_fitted(self) -> bool:
        """True if the centres are fitted or trained."""
        return bool(self.centres.any())

    @classmethod
    def size_of(cls, channels: int) -> int:
        """Length of the residuals of all clusters."""
        return cls.HEAD.size_of(channels)

    def forward(self, features: Tensor) -> Tensor:
        """Returns unit descriptors (B, output_size) of feature maps (B, C, H, W)."""
        x = F.normalize(self.local_features(features), dim=2)
        weights = self.assignment(x).softmax(dim=2)
        residuals = weights.transpose(1, 2) @ x - weights.sum(1)[:, :, None] * self.centres
        return F.normalize(F.normalize(residuals, dim=2).flatten(1), dim=1)

    def fit(self, features: NDArray[np.float32], sharpness: float) -> None:
        """Fits the centres by k-means on L2-normalised features; w = 2 alpha c, b = -alpha |c|^2.

        Raises SceneGeoLocError if there are fewer features (N, C) than clusters.
        """
        fitted = self.HEAD.fit(features, sharpness)
        with torch.no_grad():
            self.centres.copy_(torch.from_numpy(fitted["centres"]))
            self.assignment.weight.copy_(torch.from_numpy(fitted["assignment.weight"]))
            self.assignment.bias.copy_(torch.from_numpy(fitted["assignment.bias"]))


class CentredNetVLAD(NetVLAD):
    """NetVLAD of features from which half the mean of their image is subtracted.

    Weather, light and camera shift all features of an image alike, which moves them to other clusters.  The
    mean also describes the place, so half of it is kept.
    """

    name = "centred_netvlad"
    title = "centred NetVLAD"

    SHARE = 0.5

    def local_features(self, features: Tensor) -> Tensor:
        """See `Pooling.local_features`."""
        x = super().local_features(features)
        return x - self.SHARE * x.mean(dim=1, keepdim=True)


class KeypointVLAD(CentredNetVLAD):
    """Centred NetVLAD of an image's strongest keypoints; fitted to a place, and not trained."""

    HEAD = KeypointVLADHead

    @staticmethod
    def joined(joint: Tensor, keypoints: Tensor) -> Tensor:
        """Returns unit descriptors (B, D + K) of joint ones (B, D) and those of the keypoints (B, K)."""
        return F.normalize(torch.cat([joint, KeypointVLADHead.WEIGHT * keypoints], dim=1), dim=1)


POOLINGS: dict[str, type[Pooling]] = {
    pooling.name: pooling for pooling in (NetVLAD, CentredNetVLAD, MAC, GeM)
}
"""The poolings by their names in configs."""
