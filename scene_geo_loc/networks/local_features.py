"""Local features: what of an encoder's maps is matched between images, cell by cell."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scene_geo_loc.networks.encoders import Encoder, FeatureMaps


class LocalFeatures(nn.Module, ABC):
    """Base of the local features: maps to features (B, C, h, w) on the grid of the early map.

    Attributes:
        name: what configs call it.
    """

    name: ClassVar[str]

    @abstractmethod
    def __init__(self, encoder: Encoder) -> None:
        """For the maps of an encoder."""
        super().__init__()

    @abstractmethod
    def features(self, maps: FeatureMaps) -> Tensor:
        """Features (B, C, h, w) of any length."""

    def forward(self, maps: FeatureMaps) -> Tensor:
        """Features (B, C, h, w) of unit length at each cell."""
        return F.normalize(self.features(maps), dim=1)


class EarlyMap(LocalFeatures):
    """The early map as it is: Perspective-n-Learned-Point, section 3.2."""

    name = "early"

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder)

    def features(self, maps: FeatureMaps) -> Tensor:
        """See `LocalFeatures.features`."""
        return maps.early


class LearnedHead(LocalFeatures):
    """The early map joined with the late one, which sees more around each cell, by layers learned to match.

    As many channels as the early map's, so that a map takes as much space.  The encoder, and what describes
    images, need not change for it.
    """

    name = "learned"
    INNER = 128

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder)
        channels = encoder.early.channels + encoder.late.channels
        self.scale = nn.BatchNorm2d(channels)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, self.INNER, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(self.INNER, self.INNER, 3, padding=1, groups=self.INNER // 8),
            nn.ReLU(inplace=True),
            nn.Conv2d(self.INNER, encoder.early.channels, 1),
        )

    def features(self, maps: FeatureMaps) -> Tensor:
        """See `LocalFeatures.features`."""
        late = F.interpolate(maps.late, maps.early.shape[2:], mode="bilinear", align_corners=False)
        return self.layers(self.scale(torch.cat([maps.early, late], dim=1)))  # type: ignore[no-any-return]


LOCAL_FEATURES: dict[str, type[LocalFeatures]] = {kind.name: kind for kind in (EarlyMap, LearnedHead)}
"""The local features by the names that configs give them."""
