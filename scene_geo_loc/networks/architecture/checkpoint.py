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

"""Checkpoints to and from scene networks, for training; `networks.checkpoint` describes the file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from scene_geo_loc.core.errors import CheckpointError, reason_of
from scene_geo_loc.networks import default
from scene_geo_loc.networks.architecture.export import inference_network
from scene_geo_loc.networks.architecture.network_config import NetworkConfig
from scene_geo_loc.networks.architecture.scene_network import SceneNetwork
from scene_geo_loc.networks.checkpoint import CheckpointFile, read_checkpoint, save_network
from scene_geo_loc.networks.inference_network import InferenceNetwork, digest_of

_PROJECTION = "projection."


def save_checkpoint(network: SceneNetwork, path: Path, provenance: Mapping[str, Any]) -> None:
    """Writes architecture, weights, forward pass and provenance. The file is replaced atomically.

    Raises SceneGeoLocError if the file cannot be written.
    """
    save_network(inference_network(network), path, provenance)


def load_checkpoint(path: Path) -> tuple[SceneNetwork, dict[str, Any]]:
    """Returns the network of a checkpoint in inference mode, and its provenance.

    Raises CheckpointError if the file is missing, damaged or of a newer format, or if its weights do not fit
    the architecture it names.
    """
    file = read_checkpoint(path)
    return scene_network_of(file), file.provenance


def scene_network_of(file: CheckpointFile) -> SceneNetwork:
    """Returns the network of a checkpoint in inference mode.

    Raises CheckpointError if the weights do not fit the architecture.
    """
    try:
        return _scene_network(file.config, file.tensors)
    except ValidationError as error:
        raise CheckpointError(f"{file.path} names an unknown architecture: update scene_geo_loc.") from error
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise file.damaged(reason_of(error)) from error


def scene_network_from(network: InferenceNetwork) -> SceneNetwork:
    """Returns the layers and weights that the graph of a network was made from, in inference mode."""
    return _scene_network(network.config, network.tensors)


def _scene_network(config: Mapping[str, Any], weights: Mapping[str, NDArray]) -> SceneNetwork:
    network = SceneNetwork(NetworkConfig.model_validate(config))
    # A copy: torch writes to the arrays that it takes, and those of a file may not be written to.
    tensors = {key: torch.from_numpy(np.array(value)) for key, value in weights.items()}
    if not tensors["fitted"]:
        empty = network.state_dict()
        tensors |= {key: empty[key] for key in empty if key.startswith(_PROJECTION)}
    network.load_state_dict(tensors)
    return network.eval()


def default_scene_network() -> tuple[SceneNetwork, dict[str, Any]]:
    """Returns the network that comes with the package, to train it further, and its provenance.

    Raises CheckpointError if it is damaged.
    """
    return load_checkpoint(default.CHECKPOINT)


def imagenet_network(
    config: NetworkConfig, files: Mapping[str, Path] | None = None, seed: int = 0
) -> SceneNetwork:
    """Returns a network whose encoders have ImageNet weights; all other weights are random.

    Args:
        config: of the network.
        files: by name of the encoder, a file of weights to use instead (`Encoder.load_weights`).
        seed: of the random weights.

    Raises CheckpointError if weights are not available or do not fit.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = SceneNetwork(config)
    for encoder in network.encoders:
        if files and encoder.name in files:
            encoder.load_weights(files[encoder.name])
        else:
            encoder.load_imagenet_weights()
    return network.eval()


def untrained_network() -> SceneNetwork:
    """Returns EfficientNet-Lite0 with ImageNet weights, NetVLAD and a projection, still to be fitted.

    Raises CheckpointError if the weights are not installed.
    """
    return imagenet_network(NetworkConfig(descriptor_size=default.FITTED_SIZE))


def digest(network: SceneNetwork) -> str:
    """SHA-256 of config and weights in hexadecimal, the same as `InferenceNetwork.digest`."""
    tensors = {key: value.cpu().numpy() for key, value in network.state_dict().items()}
    return digest_of(network.config.model_dump(), tensors)
