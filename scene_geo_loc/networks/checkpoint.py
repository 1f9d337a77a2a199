"""Checkpoints: a network's weights in one safetensors file that describes itself."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from scene_geo_loc.errors import CheckpointError
from scene_geo_loc.networks.scene_network import NetworkConfig, SceneNetwork

FORMAT_VERSION = 1
METADATA_KEY = "scene_geo_loc"
"""Everything stands under one key: safetensors keeps no order, and equal networks give equal files."""


def save_checkpoint(network: SceneNetwork, path: Path, provenance: dict[str, Any]) -> None:
    """Writes architecture, weights and provenance, aside first and renamed."""
    aside = path.with_name(path.name + ".partial")
    description = {
        "format_version": FORMAT_VERSION,
        "config": network.config.model_dump(),
        "provenance": provenance,
    }
    tensors = {key: value.contiguous().cpu() for key, value in network.state_dict().items()}
    save_file(tensors, str(aside), {METADATA_KEY: json.dumps(description)})
    aside.replace(path)


def load_checkpoint(path: Path) -> tuple[SceneNetwork, dict[str, Any]]:
    """The network of a checkpoint, ready for inference, and its provenance.

    Raises CheckpointError where the file is missing, damaged, of a newer format, or where its weights
    do not fit the architecture that it names.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            if METADATA_KEY not in metadata:
                raise CheckpointError(f"{path} is no checkpoint of scene_geo_loc: name one that it wrote.")
            description = json.loads(metadata[METADATA_KEY])
            if description["format_version"] > FORMAT_VERSION:
                raise CheckpointError(
                    f"{path} has format {description['format_version']} "
                    f"and this version reads up to {FORMAT_VERSION}: update scene_geo_loc."
                )
            network = SceneNetwork(NetworkConfig.model_validate(description["config"]))
            network.load_state_dict({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no checkpoint at {path}: name an existing file.") from error
    except ValidationError as error:
        raise CheckpointError(
            f"{path} names an architecture that is not known here: update scene_geo_loc."
        ) from error
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"{path} is damaged or does not fit its architecture ({reason}): get it again."
        ) from error
    return network.eval(), description["provenance"]


def imagenet_network(config: NetworkConfig) -> SceneNetwork:
    """A network with an encoder trained on ImageNet, its pooling and projection not yet fitted."""
    torch.manual_seed(0)
    network = SceneNetwork(config)
    network.encoder.load_imagenet_weights()
    return network.eval()


def digest(network: SceneNetwork) -> str:
    """SHA-256 of config and weights, in hexadecimal: equal for networks that give equal features."""
    total = hashlib.sha256(network.config.model_dump_json().encode())
    for key, value in sorted(network.state_dict().items()):
        total.update(key.encode())
        total.update(value.cpu().numpy().tobytes())
    return total.hexdigest()
