"""The network that the package comes with: what describes images where no other is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scene_geo_loc.networks.architecture.network_config import NetworkConfig
from scene_geo_loc.networks.architecture.scene_network import SceneNetwork
from scene_geo_loc.networks.checkpoint import imagenet_network, load_checkpoint

CHECKPOINT = Path(__file__).with_name("default.safetensors")
"""A checkpoint as others are; its input takes the shape of the images, see `SceneNetwork.with_input_for`."""
FITTED_SIZE = 512
"""Length of the descriptor of a network that is fitted on a place's own images."""


def default_network() -> tuple[SceneNetwork, dict[str, Any]]:
    """The network that the package comes with, and its provenance.

    It may be one whose encoder is trained and whose pooling and projection are not fitted: who uses it then
    fits it on a place's own images.

    Raises CheckpointError where it is damaged.
    """
    return load_checkpoint(CHECKPOINT)


def untrained_network() -> SceneNetwork:
    """EfficientNet-Lite0 with ImageNet's weights, NetVLAD and a projection, to be fitted on a place's images.

    Raises CheckpointError where the weights are not installed.
    """
    return imagenet_network(NetworkConfig(descriptor_size=FITTED_SIZE))
