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

"""Checkpoints: a network in one safetensors file that describes itself and carries its forward pass.

| part | contents |
|---|---|
| metadata `scene_geo_loc` | JSON: version, config, provenance, and the signature of the forward pass |
| tensor `forward_pass.onnx` | the forward pass as ONNX, uint8; see `networks.forward_pass` |
| other tensors | the weights by the names of the layers that trained them |

Formats 1 and 2 have no forward pass: torch has to make it, see `architecture.export`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.core.errors import CheckpointError, reason_of
from scene_geo_loc.core.regular_file import regular
from scene_geo_loc.core.versioned import FileFormat
from scene_geo_loc.networks.descriptor_head import FUSION_HEADS, POOLING_HEADS, KeypointVLADHead
from scene_geo_loc.networks.forward_pass import IMAGE, Signature, check_graph
from scene_geo_loc.networks.inference_network import POOLING_1, InferenceNetwork, weights_digest

FORMAT = FileFormat("scene_geo_loc checkpoint", 3, again="get it again", error=CheckpointError)
FIRST_WITH_GRAPH = 3
METADATA_KEY = "scene_geo_loc"
"""The one key of the metadata: safetensors does not keep the order of keys, and equal networks must give
equal files."""
GRAPH = "forward_pass.onnx"


@dataclass(frozen=True)
class CheckpointFile:
    """The contents of a checkpoint.

    Attributes:
        path: the file.
        version: of its format.
        config: as `NetworkConfig` writes it.
        provenance: where the network comes from.
        signature: of the graph; None before format 3.
        graph: the forward pass; None before format 3.
        tensors: the weights by name, by their present names.
    """

    path: Path
    version: int
    config: Mapping[str, Any]
    provenance: dict[str, Any]
    signature: Mapping[str, Any] | None
    graph: bytes | None
    tensors: dict[str, NDArray]

    def damaged(self, reason: str) -> CheckpointError:
        """Returns the error for contents that contradict each other."""
        return CheckpointError(
            f"{self.path} is damaged or does not fit its architecture ({reason}): get it again."
        )


def read_tensors(path: Path) -> dict[str, NDArray]:
    """Returns the tensors of a safetensors file. Raises CheckpointError if it is missing or damaged."""
    try:
        with safe_open(str(regular(path)), framework="numpy") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise CheckpointError(f"There are no weights at {path}: name an existing file.") from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} cannot be read as a safetensors file ({reason_of(error)}): get it again."
        ) from error


def read_checkpoint(path: Path) -> CheckpointFile:
    """Returns the contents of a checkpoint of any format.

    Raises CheckpointError if the file is missing, damaged or of a newer format.
    """
    try:
        with safe_open(str(regular(path)), framework="numpy") as file:
            metadata = file.metadata() or {}
            if METADATA_KEY not in metadata:
                raise CheckpointError(f"{path} is not a checkpoint of scene_geo_loc: name another file.")
            description = json.loads(metadata[METADATA_KEY])
            version = FORMAT.check_version(description["format_version"], path)
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        graph = tensors.pop(GRAPH, None)
        return CheckpointFile(
            path,
            version,
            description["config"],
            description["provenance"],
            description.get("forward_pass"),
            None if graph is None else graph.tobytes(),
            _of_format_1(tensors) if version == 1 else tensors,
        )
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no checkpoint at {path}: name an existing file.") from error
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        reason = reason_of(error)
        raise CheckpointError(
            f"{path} is damaged or does not fit its architecture ({reason}): get it again."
        ) from error


def load_network(path: Path) -> tuple[InferenceNetwork, dict[str, Any]]:
    """Returns the network of a checkpoint as it is run, and its provenance.

    Raises CheckpointError if the file is missing, damaged or of a newer format, if its graph cannot be run or
    does not belong to its weights, or if it is of a format without a graph and torch is not installed.
    """
    file = read_checkpoint(path)
    if file.version < FIRST_WITH_GRAPH:
        return _converted(file), file.provenance
    config = file.config
    if config.get("pooling") not in POOLING_HEADS or config.get("fusion") not in FUSION_HEADS:
        raise CheckpointError(f"{path} names an unknown architecture: update scene_geo_loc.")
    if file.graph is None or file.signature is None:
        raise file.damaged("it has no forward pass")
    try:
        signature = Signature.model_validate(file.signature)
        network = InferenceNetwork(config, signature, file.graph, file.tensors)
        fault = _fault_of(network)
    except ValidationError as error:
        raise CheckpointError(f"{path} names an unknown architecture: update scene_geo_loc.") from error
    except (KeyError, TypeError, ValueError) as error:
        raise file.damaged(str(error)) from error
    if fault:
        raise file.damaged(fault)
    check_graph(file.graph, [IMAGE], signature.outputs, str(path))
    return network, file.provenance


def save_network(network: InferenceNetwork, path: Path, provenance: Mapping[str, Any]) -> None:
    """Writes a network and its provenance. The file is replaced atomically.

    The projection of a network that is not fitted is left out, since it is zero and may be most of the file.

    Raises SceneGeoLocError if the file cannot be written.
    """
    description = {
        "format_version": FORMAT.version,
        "config": dict(network.config),
        "provenance": dict(provenance),
        "forward_pass": network.signature.model_dump(exclude_defaults=True),
    }
    tensors = {name: np.asarray(value, order="C") for name, value in network.tensors.items()}
    tensors[GRAPH] = np.frombuffer(network.graph, np.uint8)
    write_aside(path, save(tensors, {METADATA_KEY: json.dumps(description)}))


def _fault_of(network: InferenceNetwork) -> str:
    """Returns what contradicts itself in a network; "" where nothing does."""
    if network.signature.weights_sha256 != weights_digest(network.tensors):
        return "its forward pass was made from other weights"
    stages = [part.stage for part in network.signature.parts]
    pooling = POOLING_HEADS[network.config["pooling"]]
    for number, stage in enumerate(stages):
        centres = network.tensors.get(f"descriptor.poolings.{number}.centres")
        if centres is not None and centres.size != pooling.size_of(stage.channels):
            return f"pooling {number} has {centres.size} numbers"
    if network.signature.describes_keypoints:
        centres = network.tensors.get("keypoint_pooling.centres")
        channels = network.signature.local_features.channels
        if centres is None or centres.size != KeypointVLADHead.size_of(channels):
            return "its pooling of keypoints is missing or of another size"
    size, projection = network.config["descriptor_size"], network.tensors.get("projection.weight")
    if size is not None and network.is_fitted and projection is None:
        return "it has no projection"
    if projection is not None and projection.shape != (size, network.system_size):
        return f"its projection has the shape {projection.shape}"
    return ""


def _converted(file: CheckpointFile) -> InferenceNetwork:
    """Returns the network of a file without a graph, which torch makes."""
    try:
        from scene_geo_loc.networks.architecture.checkpoint import scene_network_of
        from scene_geo_loc.networks.architecture.export import inference_network
    except ImportError as error:
        raise CheckpointError(
            f"{file.path} is of format {file.version}, whose forward pass only torch can make ({error}): "
            "install the extra `training`, or upgrade the file on a machine that has it."
        ) from error
    return inference_network(scene_network_of(file))


def _of_format_1(tensors: dict[str, NDArray]) -> dict[str, NDArray]:
    """Returns the tensors by their current names."""
    pooling = "descriptor.poolings.0."
    named = {
        pooling + key.removeprefix(POOLING_1) if key.startswith(POOLING_1) else key: value
        for key, value in tensors.items()
    }
    return named | {"projection.bias": np.zeros(len(named["projection.weight"]), np.float32)}
