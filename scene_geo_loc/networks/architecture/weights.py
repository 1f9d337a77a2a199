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

"""Weights of a part of a network: safetensors files that say what they hold and how it was trained."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.core.errors import CheckpointError
from scene_geo_loc.networks.checkpoint import read_tensors

METADATA_KEY = "scene_geo_loc_encoder"
"""The one key of the metadata: safetensors does not keep the order of keys, and equal weights must give equal
files."""
ENCODER = "encoder."
"""Prefix of the encoder's tensors in a checkpoint of a scene network."""


def save_weights(module: nn.Module, name: str, path: Path, provenance: dict[str, Any]) -> None:
    """Writes the weights of an encoder, its name and how it was trained. The file is replaced atomically.

    Raises SceneGeoLocError if the file cannot be written.
    """
    description = json.dumps({"encoder": name, "provenance": provenance})
    tensors = {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
    write_aside(path, save(tensors, {METADATA_KEY: description}))


def read_weights(path: Path) -> dict[str, Tensor]:
    """Returns the tensors of a file; of a checkpoint of a scene network, those of its encoder.

    Raises CheckpointError if the file is missing or is not a safetensors file.
    """
    tensors = {key: torch.from_numpy(value.copy()) for key, value in read_tensors(path).items()}
    encoder = {key.removeprefix(ENCODER): value for key, value in tensors.items() if key.startswith(ENCODER)}
    return encoder or tensors


def wheel_file(wheel: str, path: Path) -> Path | None:
    """Returns a file of an installed package, which is not imported; None where it is not installed.

    Args:
        wheel: name of the package in Python.
        path: path in the package.
    """
    found = find_spec(wheel)
    folders = (found.submodule_search_locations or ()) if found is not None else ()
    return next((Path(folder) / path for folder in folders if (Path(folder) / path).is_file()), None)


def read_published(path: Path) -> dict[str, Tensor]:
    """Returns the tensors of a published file of torch. Raises CheckpointError if it is damaged."""
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # torch's unpickler raises anything for a damaged file
        raise CheckpointError(f"{path} contains no readable weights: download it again.") from error


def fill_in(module: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Sets the weights of a module to the tensors of the same names. Other tensors are ignored.

    Args:
        module: stays unchanged if an error is raised.
        tensors: by name, as in `module.state_dict()`.
        path: file of the tensors, for the messages.

    Raises CheckpointError if a tensor is missing, has another shape or is not finite.
    """
    wanted = module.state_dict()
    for key, value in wanted.items():
        if key not in tensors:
            # Files from before torch counted batches lack the counter, which inference does not need.
            if key.endswith("num_batches_tracked"):
                tensors[key] = value
                continue
            raise CheckpointError(
                f"{path} holds no {key}, which {type(module).__name__} needs: "
                "name weights of the same architecture."
            )
        if tensors[key].shape != value.shape:
            raise CheckpointError(
                f"{key} of {path} has shape {tuple(tensors[key].shape)} and {type(module).__name__} needs "
                f"{tuple(value.shape)}: name weights of the same architecture."
            )
        if not torch.isfinite(tensors[key]).all():
            raise CheckpointError(f"{key} of {path} has values that are not finite: name other weights.")
    module.load_state_dict({key: tensors[key] for key in wanted})
