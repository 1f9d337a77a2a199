"""The default network, which comes with the package and is used unless another one is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scene_geo_loc.networks.checkpoint import load_network
from scene_geo_loc.networks.inference_network import InferenceNetwork

CHECKPOINT = Path(__file__).with_name("default.safetensors")
"""The checkpoint of the default network. Its input is adapted to the images:
`InferenceNetwork.with_input_for`.
"""
FITTED_SIZE = 512
"""Length of the descriptor of a network that is fitted to the images of a place."""


def default_network() -> tuple[InferenceNetwork, dict[str, Any]]:
    """Returns the network that comes with the package, and its provenance.

    Its encoder is trained; its pooling and projection may still have to be fitted to images of a place
    (`InferenceNetwork.is_fitted`).

    Raises CheckpointError if it is damaged.
    """
    return load_network(CHECKPOINT)
