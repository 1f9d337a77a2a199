"""Local features: feature maps of an encoder to the features that are matched cell by cell."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scene_geo_loc.networks.architecture.encoders import Encoder, FeatureMaps


class FeatureHead(nn.Module, ABC):
    """Base of the local features: feature maps to features (B, C, h, w) on the grid of the early map.

    Attributes:
        name: name in configs.
        channels: length C of a feature.
        sees_around: whether a feature already describes the surroundings of its cell, as the late map does.
    """

    name: ClassVar[str]
    sees_around: ClassVar[bool]
    channels: int

    @abstractmethod
    def __init__(self, encoder: Encoder) -> None:
        """Creates the layers for the maps of an encoder."""
        super().__init__()

    @abstractmethod
    def features(self, maps: FeatureMaps) -> Tensor:
        """Returns features (B, C, h, w) that are not normalised."""

    def learned(self, maps: FeatureMaps) -> Tensor:
        """Returns the trained part of the features, (B, C', h, w) of unit length."""
        return self(maps)  # type: ignore[no-any-return]

    def forward(self, maps: FeatureMaps) -> Tensor:
        """Returns features (B, C, h, w) of unit length at each cell."""
        return F.normalize(self.features(maps), dim=1)


class EarlyMap(FeatureHead):
    """The early map itself (Perspective-n-Learned-Point, section 3.2)."""

    name = "early"
    sees_around = False

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.channels = encoder.early.channels

    def features(self, maps: FeatureMaps) -> Tensor:
        """See `FeatureHead.features`."""
        return maps.early


class LearnedHead(FeatureHead):
    """The early map concatenated with features that layers trained for matching compute from both maps.

    The learned half is robust to changes of light, the early half is accurate in position.  Encoder and
    global descriptor stay as they are.
    """

    name = "learned"
    sees_around = True
    INNER = 128

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.channels = 2 * encoder.early.channels
        seen = encoder.early.channels + encoder.late.channels
        self.scale = nn.BatchNorm2d(seen)
        self.layers = nn.Sequential(
            nn.Conv2d(seen, self.INNER, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(self.INNER, self.INNER, 3, padding=1, groups=self.INNER // 8),
            nn.ReLU(inplace=True),
            nn.Conv2d(self.INNER, encoder.early.channels, 1),
        )

    def features(self, maps: FeatureMaps) -> Tensor:
        """See `FeatureHead.features`."""
        return torch.cat([F.normalize(maps.early, dim=1), self.learned(maps)], dim=1)

    def learned(self, maps: FeatureMaps) -> Tensor:
        """Returns the learned half, the trained part: features (B, C / 2, h, w) of unit length."""
        late = F.interpolate(maps.late, maps.early.shape[2:], mode="bilinear", align_corners=False)
        return F.normalize(self.layers(self.scale(torch.cat([maps.early, late], dim=1))), dim=1)


LOCAL_FEATURES: dict[str, type[FeatureHead]] = {kind.name: kind for kind in (EarlyMap, LearnedHead)}
"""The local features by their names in configs."""
