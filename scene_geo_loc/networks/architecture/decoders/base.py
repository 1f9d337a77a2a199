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

"""Base of the decoders: feature maps of an encoder to the depth of the scene."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scene_geo_loc.networks.architecture.depth_scale import DepthScale
from scene_geo_loc.networks.architecture.encoders import Encoder, FeatureMaps


class InferredDepth(NamedTuple):
    """Output of a decoder.

    Attributes:
        depth: (B, 1, H, W) in 0..1 of a depth scale.
        log_scale: (B, 1, H, W), logarithm of the scale of the depth's error, in the same unit; or None.
        coarser: depth (B, 1, h, w) of the levels before the last, which training supervises as well.
    """

    depth: Tensor
    log_scale: Tensor | None
    coarser: tuple[Tensor, ...] = ()


class Decoder(nn.Module, ABC):
    """Base of the decoders.

    Attributes:
        name: name in configs.
        uncertainty: whether it also infers a scale of the depth's error.
    """

    name: ClassVar[str]

    @abstractmethod
    def __init__(self, encoder: Encoder, scale: DepthScale, uncertainty: bool = False) -> None:
        """Creates the decoder for the maps of an encoder.

        Args:
            encoder: gives the maps.
            scale: of the inferred depth.
            uncertainty: whether to infer a scale of the depth's error as well.
        """
        super().__init__()
        self.uncertainty = uncertainty

    @abstractmethod
    def logits(self, maps: FeatureMaps) -> tuple[Tensor, ...]:
        """Returns the depth of each level before its sigmoid, (B, 1 or 2, h, w), the finest last.

        The second channel of the last one is the logarithm of the scale of the depth's error.
        """

    def forward(self, maps: FeatureMaps, size: tuple[int, int]) -> InferredDepth:
        """Returns the depth of images of size (H, W) for their feature maps."""
        *coarser, last = self.logits(maps)
        # In float32 also in mixed precision, whose steps would be as coarse as the depth's error.
        logits = F.interpolate(last.float(), size, mode="bilinear", align_corners=False)
        log_scale = logits[:, 1:] if self.uncertainty else None
        return InferredDepth(
            logits[:, :1].sigmoid(), log_scale, tuple(level.float().sigmoid() for level in coarser)
        )


def resized(x: Tensor, like: Tensor) -> Tensor:
    """Resizes a map bilinearly to the size of another one."""
    return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)


def first_logit(scale: DepthScale) -> float:
    """Logit of the depth that a new decoder infers before training.

    With a logit of 0 depth would start far away or very near, and Adam would need hundreds of steps to reach
    the depth of most of the scene.
    """
    return float(scale.normalise(torch.tensor(scale.typical_m)).logit())
