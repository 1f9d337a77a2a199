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

"""Base of the descriptor systems: the feature maps of an image to the parts of its global descriptor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from scene_geo_loc.networks.architecture.decoders import Decoder, InferredDepth
from scene_geo_loc.networks.architecture.depth_scale import DepthScale
from scene_geo_loc.networks.architecture.encoders import Encoder, FeatureMaps
from scene_geo_loc.networks.architecture.pooling import Pooling


class Description(NamedTuple):
    """Output of a descriptor system for images, all from one forward pass.

    Attributes:
        parts: unit descriptors (B, Di), the one of the image first; each has a triplet loss of its own.
        joint: unit descriptors (B, sum of Di), the fused parts, which mining and retrieval compare.
        depth: inferred depth (B, 1, H, W) at the size of the images, in 0..1 of the depth scale, or None.
        log_scale: logarithm of the scale of the depth's error (B, 1, H, W), or None.
        hallucinated: late map (B, C, h, w) of the hallucination encoder, or None.
    """

    parts: tuple[Tensor, ...]
    joint: Tensor
    depth: Tensor | None = None
    log_scale: Tensor | None = None
    hallucinated: Tensor | None = None


class Inference(NamedTuple):
    """Output of a descriptor system before its poolings.

    Attributes:
        late: a map (B, C, h, w) for each pooling.
        depth: see `Description`.
        log_scale: see `Description`.
        hallucinated: see `Description`.
    """

    late: tuple[Tensor, ...]
    depth: Tensor | None = None
    log_scale: Tensor | None = None
    hallucinated: Tensor | None = None


@dataclass(frozen=True)
class SystemParts:
    """The plug-ins that a descriptor system is built from; a system uses those that it declares.

    Attributes:
        second_encoder: makes the encoder of the second part.
        pooling: makes the pooling of a part from its number of channels.
        fusion: makes the fusion from the sizes of the parts.
        decoder: makes the depth decoder for the maps of an encoder.
        depth_scale: of the inferred depth.
        colouring: depth (B, 1, H, W) to colours (B, 3, H, W), both in 0..1, for the second encoder.
    """

    second_encoder: Callable[[], Encoder]
    pooling: Callable[[int], Pooling]
    fusion: Callable[[Sequence[int]], nn.Module]
    decoder: Callable[[Encoder], Decoder]
    depth_scale: DepthScale
    colouring: Callable[[Tensor], Tensor]


class DescriptorSystem(nn.Module, ABC):
    """Base of the descriptor systems: everything that follows the image encoder.

    A system has one pooling for each part of its descriptor, and may have a second encoder, which gives the
    second part.  A subclass declares what it has and needs; no other code refers to it by name.

    Attributes:
        name: name in configs.
        title: name in tables; that of the ICRA paper, if it has the system.
        has_second_encoder: whether the descriptor has two parts; else the late map of the image is enough.
        has_decoder: whether it has the layers of a depth decoder.
        infers_depth: whether `Description.depth` is set.
        needs_depth_maps: whether its training needs true depth maps.
        is_trained_in_stages: whether networks of each part are trained first.
        second_part: name of the second part in training logs.
        fixed_colouring: the colouring that the system always uses; None: the one of the config.
        with_depth: name of the system that describes images in the same way and infers depth; None: there is
            none.
        without_depth: name of the system that describes images in the same way without a decoder; None:
            there is none.
        decoder: the layers that infer depth; those of RGB+ do not learn depth; None if `has_decoder` is not
            set.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    has_second_encoder: ClassVar[bool]
    has_decoder: ClassVar[bool] = False
    infers_depth: ClassVar[bool] = False
    needs_depth_maps: ClassVar[bool] = False
    is_trained_in_stages: ClassVar[bool] = False
    second_part: ClassVar[str] = "depth"
    fixed_colouring: ClassVar[str | None] = None
    with_depth: ClassVar[str | None] = None
    without_depth: ClassVar[str | None] = None

    def __init__(self, encoder: Encoder, parts: SystemParts) -> None:
        super().__init__()
        self.second_encoder = parts.second_encoder() if self.has_second_encoder else None
        encoders = [encoder, *([self.second_encoder] if self.second_encoder else [])]
        poolings = [parts.pooling(each.late.channels) for each in encoders]
        self.poolings = nn.ModuleList(poolings)
        self.fusion = parts.fusion([pooling.output_size for pooling in poolings])
        self.decoder: Decoder | None = parts.decoder(encoder) if self.has_decoder else None

    @abstractmethod
    def infer(self, images: Tensor, maps: FeatureMaps) -> Inference:
        """Returns the late maps to pool, and the depth if any, of normalised images (B, 3, H, W)."""

    def forward(self, images: Tensor, maps: FeatureMaps) -> Description:
        """Describes normalised images (B, 3, H, W) by their feature maps."""
        inferred = self.infer(images, maps)
        parts = self.pool(inferred.late)
        return Description(
            parts, self.fusion(parts), inferred.depth, inferred.log_scale, inferred.hallucinated
        )

    def pool(self, late: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Returns the parts, unit descriptors (B, Di), of their late maps."""
        return tuple(pooling(late_map) for pooling, late_map in zip(self.poolings, late, strict=True))

    def descriptor_parameters(self) -> list[nn.Parameter]:
        """Weights trained by the triplet losses: poolings, fusion and the whole second encoder."""
        modules = [self.poolings, self.fusion, *([self.second_encoder] if self.second_encoder else [])]
        return [parameter for module in modules for parameter in module.parameters()]

    def decoder_parameters(self) -> list[nn.Parameter]:
        """Weights trained by the depth loss."""
        return list(self.decoder.parameters()) if self.decoder is not None and self.infers_depth else []

    def fit_to_depth(self, depth: Sequence[Tensor]) -> None:
        """Fits the pooling of the second part to true depth, if that part describes inferred depth.

        Args:
            depth: batches (B, 1, H, W) in 0..1 of the depth scale.
        """

    def decode(self, images: Tensor, maps: FeatureMaps) -> InferredDepth:
        """Returns the depth of images (B, 3, H, W). Its gradient does not reach the encoder of the maps."""
        assert self.decoder is not None
        first, second = maps.skips
        detached = FeatureMaps(maps.early, maps.late.detach(), (first.detach(), second.detach()))
        return self.decoder(detached, (images.shape[2], images.shape[3]))
