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


"""A network for scene coordinates: from the features of a cell of an image to the point of the map it shows.

One safetensors file holds it, as a robot runs it:

| part | contents |
|---|---|
| metadata `scene_geo_loc_scene_coordinates` | JSON: `Description` |
| tensor `forward_pass.onnx` | image (1, H, W, 3) uint8 RGB to `local_features` and `coarse_features`, uint8 |
| tensors `input.*`, `first.N.*`, `second.N.*`, `output.*` | the head's layers, float16 or float32 |
| tensors `mean`, `std` | of the features in the training |
| tensor `centres` | (K, 3) float32, parts of the scene, metres |

The head is as in ACE (Brachmann, Cavallari and Prisacariu, "Accelerated coordinate encoding", CVPR 2023,
section 3): layers with residuals on each cell alone, and homogeneous coordinates.  Its outputs are offsets
from the centres of the scene's parts, weighted as the network chooses (Wang et al., "GLACE: global local
accelerated coordinate encoding", CVPR 2024, section 3.3).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.core.errors import CheckpointError, reason_of
from scene_geo_loc.core.regular_file import regular
from scene_geo_loc.core.versioned import FileFormat
from scene_geo_loc.localization.scene_coordinates.calibration import Calibration
from scene_geo_loc.networks.forward_pass import COARSE, IMAGE, LOCAL, check_graph
from scene_geo_loc.networks.stage import Stage

FORMAT = FileFormat("scene_geo_loc scene coordinates", 1, again="train it again", error=CheckpointError)
METADATA_KEY = "scene_geo_loc_scene_coordinates"
GRAPH = "forward_pass.onnx"
LEAST_DIVISOR = 0.05
"""Least homogeneous coordinate, so that no point is infinitely far from its centre."""


class Description(BaseModel):
    """Description of a network for scene coordinates.

    Attributes:
        input_width, input_height: size of its input for images of the training, pixels.
        multiple: the sides of an input are multiples of this many pixels.
        local, late: grids of the two feature maps, which are joined on the cells of the first.
        blocks: number of residual blocks of the head.
        scale_m: an output of 1 is as many metres from a centre.
        extent_m: diagonal of the box around the cameras of the training, metres.
        soft_inliers: whether the pose is refined to the most soft inliers, see `poses.fit_soft_inliers`.
        calibration: None until it is measured.
        provenance: where the network comes from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str = FORMAT.name
    format_version: int = FORMAT.version
    input_width: int = Field(gt=0, le=4096)
    input_height: int = Field(gt=0, le=4096)
    multiple: int = Field(gt=0)
    local: Stage
    late: Stage
    blocks: int = Field(ge=0, le=100)
    scale_m: float = Field(gt=0, allow_inf_nan=False)
    extent_m: float = Field(ge=0, allow_inf_nan=False)
    soft_inliers: bool = False
    calibration: Calibration | None = None
    provenance: dict[str, Any] = {}

    @property
    def layers(self) -> list[str]:
        """Names of the layers of the head, in order."""
        pairs = [f"{name}.{i}" for i in range(self.blocks) for name in ("first", "second")]
        return ["input", *pairs, "output"]


class CoordinateNetwork:
    """Network that gives the point of the map for the features of a cell.

    Attributes:
        description: of the network.
        graph: the forward pass to the features as ONNX.
        tensors: weights of the head by name.
    """

    def __init__(self, description: Description, graph: bytes, tensors: Mapping[str, NDArray]) -> None:
        """Raises ValueError where the weights do not fit each other."""
        self.description, self.graph, self.tensors = description, graph, dict(tensors)
        self._weights = {name: np.asarray(value, np.float32) for name, value in tensors.items()}
        self._centres = np.asarray(tensors["centres"], np.float64)
        width = description.local.channels + description.late.channels
        if self._centres.ndim != 2 or self._centres.shape[1] != 3:
            raise ValueError(f"the centres have the shape {self._centres.shape}")
        if self._weights["mean"].shape != (width,) or self._weights["std"].shape != (width,):
            raise ValueError(f"the features' mean and std are not of {width} channels")
        for name in description.layers:
            weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
            if weight.ndim != 2 or weight.shape[1] != width or bias.shape != weight.shape[:1]:
                raise ValueError(f"layer {name} has the shapes {weight.shape} and {bias.shape}")
            if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
                raise ValueError(f"layer {name} has values that are not finite")
            width = len(weight)
        if width != 4 + len(self._centres):
            raise ValueError(f"the head has {width} outputs for {len(self._centres)} centres")

    def points(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Returns the points (N, 3) in the map of the features (N, F) of cells, metres."""
        w = self._weights

        def layer(name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
            return np.asarray(values @ w[f"{name}.weight"].T + w[f"{name}.bias"], np.float32)

        hidden = np.maximum(layer("input", (features - w["mean"]) / w["std"]), 0)
        for i in range(self.description.blocks):
            inner = np.maximum(layer(f"first.{i}", hidden), 0)
            hidden = hidden + np.maximum(layer(f"second.{i}", inner), 0)
        outputs = layer("output", hidden).astype(np.float64)
        return points_of(outputs, self._centres, self.description.scale_m)

    def with_calibration(self, calibration: Calibration) -> CoordinateNetwork:
        """Returns the network with what was measured."""
        description = self.description.model_copy(update={"calibration": calibration})
        return CoordinateNetwork(description, self.graph, self.tensors)

    def save(self, path: Path) -> None:
        """Writes the file, replaced atomically. Raises SceneGeoLocError if it cannot be written."""
        tensors = {name: np.ascontiguousarray(value) for name, value in self.tensors.items()}
        tensors[GRAPH] = np.frombuffer(self.graph, np.uint8)
        write_aside(path, save(tensors, {METADATA_KEY: self.description.model_dump_json()}))

    @classmethod
    def read(cls, path: Path) -> CoordinateNetwork:
        """Reads a file. Raises CheckpointError where it is missing, damaged or of a newer format."""
        try:
            with safe_open(str(regular(path)), framework="numpy") as file:
                values = json.loads((file.metadata() or {}).get(METADATA_KEY, "null"))
                FORMAT.check(values, path)
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            graph = tensors.pop(GRAPH).tobytes()
            network = cls(Description.model_validate(values), graph, tensors)
        except FileNotFoundError as error:
            raise CheckpointError(
                f"There is no network for scene coordinates at {path}: name an existing file."
            ) from error
        except (SafetensorError, OSError, KeyError, ValueError, TypeError, ValidationError) as error:
            raise CheckpointError(f"{path} is damaged ({reason_of(error)}): {FORMAT.again}.") from error
        check_graph(graph, [IMAGE], [LOCAL, COARSE], str(path))
        return network


def points_of(
    outputs: NDArray[np.float64], centres: NDArray[np.float64], scale_m: float
) -> NDArray[np.float64]:
    """Returns the points (N, 3) of the outputs (N, 4 + K): offset, divisor, weights of K centres."""
    logits = outputs[:, 4:] - outputs[:, 4:].max(axis=1, keepdims=True)
    weights = np.exp(logits)
    centre = (weights / weights.sum(axis=1, keepdims=True)) @ centres
    # Softplus, shifted so that an output of 0 is a divisor of 1.
    divisor = np.logaddexp(0, outputs[:, 3:4] + np.log(np.e - 1)) + LEAST_DIVISOR
    return np.asarray(centre + scale_m * outputs[:, :3] / divisor)
