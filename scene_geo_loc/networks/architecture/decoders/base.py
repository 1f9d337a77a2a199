"""What every decoder is: an encoder's feature maps to the depth of the scene."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scene_geo_loc.networks.architecture.depth_scale import DepthScale
from scene_geo_loc.networks.architecture.encoders import Encoder, FeatureMaps


class InferredDepth(NamedTuple):
    """What a decoder gives.

    Attributes:
        depth: (B, 1, H, W) in 0..1 of a depth scale.
        log_scale: (B, 1, H, W), the logarithm of the scale of the depth's error, in the same unit; or None.
        coarser: depth (B, 1, h, w) of the levels before the last, which training supervises, too.
    """

    depth: Tensor
    log_scale: Tensor | None
    coarser: tuple[Tensor, ...] = ()


class Decoder(nn.Module, ABC):
    """Base of the decoders.

    Attributes:
        name: what configs call it.
        uncertainty: whether it infers a scale of the depth's error, too.
    """

    name: ClassVar[str]

    @abstractmethod
    def __init__(self, encoder: Encoder, scale: DepthScale, uncertainty: bool = False) -> None:
        """For the maps of an encoder.

        Args:
            encoder: whose maps it takes.
            scale: of the depth that it is to infer.
            uncertainty: whether it infers a scale of the depth's error, too.
        """
        super().__init__()
        self.uncertainty = uncertainty

    @abstractmethod
    def logits(self, maps: FeatureMaps) -> tuple[Tensor, ...]:
        """The depth of each level before its sigmoid, (B, 1 or 2, h, w), the finest last.

        Of the last one, a second channel is the logarithm of the scale of the depth's error.
        """

    def forward(self, maps: FeatureMaps, size: tuple[int, int]) -> InferredDepth:
        """The depth of images of a size (H, W) from their feature maps."""
        *coarser, last = self.logits(maps)
        # In float32 also in mixed precision, whose steps would be as coarse as the depth's error.
        told = F.interpolate(last.float(), size, mode="bilinear", align_corners=False)
        log_scale = told[:, 1:] if self.uncertainty else None
        return InferredDepth(
            told[:, :1].sigmoid(), log_scale, tuple(one.float().sigmoid() for one in coarser)
        )


def resized(x: Tensor, like: Tensor) -> Tensor:
    """A map at the size of another one, bilinearly."""
    return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)


def first_logit(scale: DepthScale) -> float:
    """The logit that a new decoder's depth begins with.

    From 0 it would begin far away or very near, and Adam's small steps would take hundreds of them to get
    to where most of the scene is.
    """
    return float(scale.normalise(torch.tensor(scale.typical_m)).logit())
