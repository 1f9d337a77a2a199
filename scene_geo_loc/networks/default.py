"""The default network, which comes with the package and is used unless another one is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scene_geo_loc.networks.architecture.network_config import NetworkConfig
from scene_geo_loc.networks.architecture.scene_network import SceneNetwork
from scene_geo_loc.networks.checkpoint import imagenet_network, load_checkpoint

CHECKPOINT = Path(__file__).with_name("default.safetensors")
"""The checkpoint of the default network. Its input is adapted to the images:
`SceneNetwork.with_input_for`.
"""
FITTED_SIZE = 512
"""Length of the descriptor of a network that is fitted to the images of a place."""


def default_network() -> tuple[SceneNetwork, dict[str, Any]]:
    """Returns the network that comes with the package, and its provenance.

    Its encoder is trained; its pooling and projection may still have to be fitted to images of a place
    (`SceneNetwork.is_fitted`).

    Raises CheckpointError if it is damaged.
    """
    return load_checkpoint(CHECKPOINT)


def untrained_network() -> SceneNetwork:
    """Returns EfficientNet-Lite0 with ImageNet weights, NetVLAD and a projection, still to be fitted.

    Raises CheckpointError if the weights are not installed.
    """
    return imagenet_network(NetworkConfig(descriptor_size=FITTED_SIZE))
