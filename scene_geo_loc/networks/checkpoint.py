"""Checkpoints: a network's weights in one safetensors file that describes itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.core.errors import CheckpointError
from scene_geo_loc.core.versioned import FileFormat
from scene_geo_loc.networks.architecture.network_config import NetworkConfig
from scene_geo_loc.networks.architecture.scene_network import SceneNetwork

FORMAT = FileFormat("scene_geo_loc checkpoint", 2, again="get it again", error=CheckpointError)
METADATA_KEY = "scene_geo_loc"
"""Everything stands under one key: safetensors keeps no order, and equal networks give equal files."""

# Format 1 knew the descriptor "rgb" alone, whose pooling stood beside it and whose projection had no bias.
_POOLING, _POOLING_1 = "descriptor.poolings.0.", "pooling."
_PROJECTION = "projection."
_FIELDS_1 = {"encoder", "pooling", "input_width", "input_height", "descriptor_size"}


def save_checkpoint(network: SceneNetwork, path: Path, provenance: dict[str, Any]) -> None:
    """Writes architecture, weights and provenance, aside first and renamed.

    The projection of a network that is not fitted says nothing and is left out: it may be most of the file.

    Raises SceneGeoLocError where the file cannot be written.
    """
    description = {
        "format_version": FORMAT.version,
        "config": network.config.model_dump(),
        "provenance": provenance,
    }
    tensors = {key: value.contiguous().cpu() for key, value in network.state_dict().items()}
    if not network.is_fitted:
        tensors = {key: value for key, value in tensors.items() if not key.startswith(_PROJECTION)}
    write_aside(path, save(tensors, {METADATA_KEY: json.dumps(description)}))


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
            version = FORMAT.check_version(description["format_version"], path)
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        if version == 1:
            tensors = _of_format_1(tensors)
        network = SceneNetwork(NetworkConfig.model_validate(description["config"]))
        if not tensors["fitted"]:
            empty = network.state_dict()
            tensors |= {key: empty[key] for key in empty if key.startswith(_PROJECTION)}
        network.load_state_dict(tensors)
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no checkpoint at {path}: name an existing file.") from error
    except ValidationError as error:
        raise CheckpointError(
            f"{path} names an architecture that is not known here: update scene_geo_loc."
        ) from error
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"{path} is damaged or does not fit its architecture ({reason}): get it again."
        ) from error
    return network.eval(), description["provenance"]


def imagenet_network(
    config: NetworkConfig, files: Mapping[str, Path] | None = None, seed: int = 0
) -> SceneNetwork:
    """A network with encoders trained on ImageNet; what else it has is at its random beginning, by a seed.

    Args:
        config: what to build.
        files: an encoder's name to a file with weights for it, where they shall not be ImageNet's or cannot
            be fetched; see `Encoder.load_weights`.
        seed: the same one gives the same network.

    Raises CheckpointError where weights are not at hand or do not fit.
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


def digest(network: SceneNetwork) -> str:
    """SHA-256 of config and weights, in hexadecimal: equal for networks that give equal features.

    What format 1 could hold is hashed as it was then, since maps remember the digest of their network.
    """
    config = network.config
    fields = type(config).model_fields
    later = {name for name in fields if name not in _FIELDS_1}
    unused = {name for name in later if getattr(config, name) == fields[name].default}
    total = hashlib.sha256(config.model_dump_json(exclude=unused).encode())
    tensors = network.state_dict()
    if unused == later:
        tensors = {key.replace(_POOLING, _POOLING_1): value for key, value in tensors.items()}
        if "projection.bias" in tensors and not tensors["projection.bias"].any():
            del tensors["projection.bias"]
    for key, value in sorted(tensors.items()):
        total.update(key.encode())
        total.update(value.cpu().numpy().tobytes())
    return total.hexdigest()


def _of_format_1(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under the names of today."""
    named = {
        _POOLING + key.removeprefix(_POOLING_1) if key.startswith(_POOLING_1) else key: value
        for key, value in tensors.items()
    }
    return named | {"projection.bias": torch.zeros(len(named["projection.weight"]))}
