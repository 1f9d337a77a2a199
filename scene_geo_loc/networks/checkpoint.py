"""Checkpoints: the weights of a network in one safetensors file that describes itself."""

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
"""The one key of the metadata: safetensors does not keep the order of keys, and equal networks must give
equal files."""

# In format 1 the only descriptor was "rgb"; its pooling was a module beside it, its projection had no bias.
_POOLING, _POOLING_1 = "descriptor.poolings.0.", "pooling."
_PROJECTION = "projection."
_FIELDS_1 = {"encoder", "pooling", "input_width", "input_height", "descriptor_size"}


def save_checkpoint(network: SceneNetwork, path: Path, provenance: dict[str, Any]) -> None:
    """Writes architecture, weights and provenance. The file is replaced atomically.

    The projection of a network that is not fitted is left out, since it is zero and may be most of the file.

    Raises SceneGeoLocError if the file cannot be written.
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
    """Returns the network of a checkpoint in inference mode, and its provenance.

    Raises CheckpointError if the file is missing, damaged or of a newer format, or if its weights do not fit
    the architecture it names.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            if METADATA_KEY not in metadata:
                raise CheckpointError(f"{path} is not a checkpoint of scene_geo_loc: name another file.")
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
        raise CheckpointError(f"{path} names an unknown architecture: update scene_geo_loc.") from error
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"{path} is damaged or does not fit its architecture ({reason}): get it again."
        ) from error
    return network.eval(), description["provenance"]


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


def digest(network: SceneNetwork) -> str:
    """SHA-256 of config and weights in hexadecimal: equal for networks that compute equal features.

    A network that format 1 could hold is hashed as it was then, since maps store the digest of their network.
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
    """Returns the tensors by their current names."""
    named = {
        _POOLING + key.removeprefix(_POOLING_1) if key.startswith(_POOLING_1) else key: value
        for key, value in tensors.items()
    }
    return named | {"projection.bias": torch.zeros(len(named["projection.weight"]))}
