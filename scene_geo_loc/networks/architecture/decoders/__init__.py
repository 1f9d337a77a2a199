"""Decoders: feature maps of an encoder to the depth of the scene."""

from __future__ import annotations

from scene_geo_loc.networks.architecture.decoders.base import Decoder, InferredDepth
from scene_geo_loc.networks.architecture.decoders.pyramid import ConvLSTM, FullyConvolutional
from scene_geo_loc.networks.architecture.decoders.unet import UNet

__all__ = ["DECODERS", "Decoder", "InferredDepth"]

DECODERS: dict[str, type[Decoder]] = {
    decoder.name: decoder for decoder in (UNet, FullyConvolutional, ConvLSTM)
}
"""The decoders by their names in configs."""
