"""RGBtD: the image's descriptor, and one of the depth inferred from it (ICRA paper, section III)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor, nn

from scene_geo_loc.networks.architecture.colouring import COLOURINGS, smooth_jet
from scene_geo_loc.networks.architecture.descriptors.base import DescriptorSystem, Inference
from scene_geo_loc.networks.architecture.encoders import Encoder, FeatureMaps

if TYPE_CHECKING:
    from scene_geo_loc.networks.architecture.network_config import NetworkConfig


def encode_depth(encoder: Encoder, colouring: Callable[[Tensor], Tensor], depth: Tensor) -> Tensor:
    """Late maps of depth (B, 1, H, W) in 0..1, coloured and normalised as the encoder's images are."""
    colours = colouring(depth)
    mean = colours.new_tensor(encoder.mean)[:, None, None]
    std = colours.new_tensor(encoder.std)[:, None, None]
    return encoder((255 * colours - mean) / std).late


class RGBtD(DescriptorSystem):
    """An image descriptor, and a depth descriptor of the depth that a decoder infers from the image's maps.

    No gradient goes from the decoder to the image encoder.  With the colouring "jet" none goes from the
    depth descriptor to the decoder either, which the depth loss alone trains; with "smooth" it does.
    """

    name = "rgbtd"
    has_second_encoder = True
    infers_depth = True
    has_decoder = True

    def __init__(self, encoder: Encoder, config: NetworkConfig) -> None:
        super().__init__(encoder, config)
        self.colouring = COLOURINGS[config.colouring]

    def infer(self, images: Tensor, maps: FeatureMaps) -> Inference:
        """See `DescriptorSystem.infer`."""
        inferred = self.decode(images, maps)
        assert self.second_encoder is not None
        late = encode_depth(self.second_encoder, self.colouring, inferred.depth)
        return Inference((maps.late, late), inferred.depth, inferred.log_scale)


class RGBPlus(RGBtD):
    """The layers of RGBtD trained without depth: what its mere size is worth (ICRA paper, table II).

    The triplet losses train the decoder, by way of a colouring that lets their gradient through.  What it
    gives is no depth then, and `Description.depth` is None.
    """

    name = "rgb_plus"
    infers_depth = False

    def __init__(self, encoder: Encoder, config: NetworkConfig) -> None:
        super().__init__(encoder, config)
        self.colouring = smooth_jet

    def infer(self, images: Tensor, maps: FeatureMaps) -> Inference:
        """See `DescriptorSystem.infer`."""
        return Inference(super().infer(images, maps).late)

    def descriptor_parameters(self) -> list[nn.Parameter]:
        """Of RGBtD, and the decoder."""
        assert self.decoder is not None
        return [*super().descriptor_parameters(), *self.decoder.parameters()]
