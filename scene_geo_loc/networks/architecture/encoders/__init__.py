"""Encoders: an image to an early, a late and two skip feature maps in one forward pass."""

from __future__ import annotations

from scene_geo_loc.networks.architecture.encoders.alexnet import AlexNet
from scene_geo_loc.networks.architecture.encoders.base import Encoder, FeatureMaps, Stage
from scene_geo_loc.networks.architecture.encoders.efficientnet_lite0 import EfficientNetLite0
from scene_geo_loc.networks.architecture.encoders.pnlp import PnlpEncoder
from scene_geo_loc.networks.architecture.encoders.resnet18 import ResNet18, TruncatedResNet18

__all__ = ["ENCODERS", "Encoder", "FeatureMaps", "Stage"]

ENCODERS: dict[str, type[Encoder]] = {
    encoder.name: encoder
    for encoder in (EfficientNetLite0, AlexNet, ResNet18, TruncatedResNet18, PnlpEncoder)
}
"""The encoders by their names in configs."""
