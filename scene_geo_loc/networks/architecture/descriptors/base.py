"""What every descriptor system is: an image's feature maps to the parts of its global descriptor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from torch import Tensor, nn

from scene_geo_loc.networks.architecture.decoders import DECODERS, Decoder, InferredDepth
from scene_geo_loc.networks.architecture.depth_scale import DEPTH_SCALES
from scene_geo_loc.networks.architecture.descriptors.fusion import FUSIONS
from scene_geo_loc.networks.architecture.encoders import ENCODERS, Encoder, FeatureMaps
from scene_geo_loc.networks.architecture.pooling import POOLINGS

if TYPE_CHECKING:
    from scene_geo_loc.networks.architecture.network_config import NetworkConfig


class Description(NamedTuple):
    """What a descriptor system says of images, all of one forward pass.

    Attributes:
        parts: unit descriptors (B, Di), the image's first; each has a triplet loss of its own.
        joint: unit descriptors (B, sum of Di), the parts fused: what mining and retrieval compare.
        depth: inferred depth (B, 1, H, W) of the images' size, in 0..1 of the depth scale, or None.
        log_scale: logarithm of the scale of the depth's error (B, 1, H, W), or None.
        hallucinated: late map (B, C, h, w) of the hallucination encoder, or None.
    """

    parts: tuple[Tensor, ...]
    joint: Tensor
    depth: Tensor | None = None
    log_scale: Tensor | None = None
    hallucinated: Tensor | None = None


class Inference(NamedTuple):
    """What a system infers before its poolings.

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


class DescriptorSystem(nn.Module, ABC):
    """Base of the descriptor systems.

    A system is what follows the image encoder.  It has a pooling for each part, and may have an encoder of
    its own that gives the second part.

    Attributes:
        name: what configs call it.
        has_second_encoder: whether it has two parts; else the image's late map is all that it needs.
        infers_depth: whether its `Description` has a depth.
        decoder: what infers it; of RGB+, what has the layers of one; else None.
    """

    name: ClassVar[str]
    has_second_encoder: ClassVar[bool]
    infers_depth: ClassVar[bool] = False
    has_decoder: ClassVar[bool] = False

    def __init__(self, encoder: Encoder, config: NetworkConfig) -> None:
        super().__init__()
        self.second_encoder = ENCODERS[config.depth_encoder]() if self.has_second_encoder else None
        pooling = POOLINGS[config.pooling]
        encoders = [encoder, *([self.second_encoder] if self.second_encoder else [])]
        channels = [one.late.channels for one in encoders]
        self.poolings = nn.ModuleList(pooling(count) for count in channels)
        self.fusion = FUSIONS[config.fusion]([pooling.size_of(count) for count in channels])
        self.decoder: Decoder | None = None
        if self.has_decoder:
            scale = DEPTH_SCALES[config.depth_scale]
            self.decoder = DECODERS[config.decoder](encoder, scale, config.uncertainty)

    @abstractmethod
    def infer(self, images: Tensor, maps: FeatureMaps) -> Inference:
        """The late maps that are pooled, and what else there is, of normalised images (B, 3, H, W)."""

    def forward(self, images: Tensor, maps: FeatureMaps) -> Description:
        """Describes normalised images (B, 3, H, W) by their feature maps."""
        inferred = self.infer(images, maps)
        parts = self.pool(inferred.late)
        return Description(
            parts, self.fusion(parts), inferred.depth, inferred.log_scale, inferred.hallucinated
        )

    def pool(self, late: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The parts, unit descriptors (B, Di), of their late maps."""
        return tuple(pooling(one) for pooling, one in zip(self.poolings, late, strict=True))

    def descriptor_parameters(self) -> list[nn.Parameter]:
        """What the triplet losses train: poolings, fusion and the second encoder, all of it."""
        modules = [self.poolings, self.fusion, *([self.second_encoder] if self.second_encoder else [])]
        return [parameter for module in modules for parameter in module.parameters()]

    def decoder_parameters(self) -> list[nn.Parameter]:
        """What the depth loss trains."""
        return list(self.decoder.parameters()) if self.decoder is not None and self.infers_depth else []

    def decode(self, images: Tensor, maps: FeatureMaps) -> InferredDepth:
        """The depth of images (B, 3, H, W); no gradient goes from it to the encoder that gave the maps."""
        assert self.decoder is not None
        first, second = maps.skips
        detached = FeatureMaps(maps.early, maps.late.detach(), (first.detach(), second.detach()))
        return self.decoder(detached, (images.shape[2], images.shape[3]))
