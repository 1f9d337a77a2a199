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


"""A network for scene coordinates: from the features of an image's cells to the points of the map they show.

One safetensors file holds it, as a robot runs it:

| part | contents |
|---|---|
| metadata `scene_geo_loc_scene_coordinates` | JSON: `Description` |
| tensor `forward_pass.onnx` | image (1, H, W, 3) uint8 RGB to `local_features` and `coarse_features`, uint8 |
| further tensors | of the head: `landmarks.LandmarkHead` or `layers.LayerHead` |
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from scene_geo_loc.core.errors import CheckpointError
from scene_geo_loc.core.versioned import FileFormat
from scene_geo_loc.localization.scene_coordinates.calibration import CoordinateCalibration
from scene_geo_loc.localization.scene_coordinates.landmarks import LandmarkHead
from scene_geo_loc.localization.scene_coordinates.layers import LayerHead
from scene_geo_loc.networks.described_tensors import read_described, write_described
from scene_geo_loc.networks.forward_pass import COARSE, IMAGE, LOCAL, check_graph
from scene_geo_loc.networks.stage import Stage

FORMAT = FileFormat("scene_geo_loc scene coordinates", 1, again="train it again", error=CheckpointError)
METADATA_KEY = "scene_geo_loc_scene_coordinates"
GRAPH = "forward_pass.onnx"


class Description(BaseModel):
    """Description of a network for scene coordinates.

    Attributes:
        input_width, input_height: size of its input for images of the training, pixels.
        multiple: the sides of an input are multiples of this many pixels.
        local, late: grids of the two feature maps, which are joined on the cells of the first.
        landmarks: number of landmarks of the head; 0 for a head of layers.
        blocks: number of residual blocks of a head of layers.
        scale_m: an output of 1 of such a head is as many metres from a centre.
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
    landmarks: int = Field(default=0, ge=0)
    blocks: int = Field(ge=0, le=100)
    scale_m: float = Field(gt=0, allow_inf_nan=False)
    extent_m: float = Field(ge=0, allow_inf_nan=False)
    soft_inliers: bool = False
    calibration: CoordinateCalibration | None = None
    provenance: dict[str, Any] = {}


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
        local, late = description.local.channels, description.late.channels
        self._head: LandmarkHead | LayerHead
        if description.landmarks:
            self._head = LandmarkHead(self.tensors, local, late)
        else:
            self._head = LayerHead(self.tensors, local + late, description.blocks, description.scale_m)

    def points(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Returns the points (N, 3) in the map of the features (N, F) of cells, metres."""
        return self._head.points(features)

    def with_calibration(self, calibration: CoordinateCalibration) -> CoordinateNetwork:
        """Returns the network with what was measured."""
        description = self.description.model_copy(update={"calibration": calibration})
        return CoordinateNetwork(description, self.graph, self.tensors)

    def save(self, path: Path) -> None:
        """Writes the file, replaced atomically. Raises SceneGeoLocError if it cannot be written."""
        graph = np.frombuffer(self.graph, np.uint8)
        write_described(path, METADATA_KEY, self.description, {**self.tensors, GRAPH: graph})

    @classmethod
    def read(cls, path: Path) -> CoordinateNetwork:
        """Reads a file. Raises CheckpointError where it is missing, damaged or of a newer format."""

        def make(values: Any, tensors: dict[str, NDArray]) -> CoordinateNetwork:
            graph = tensors.pop(GRAPH).tobytes()
            return cls(Description.model_validate(values), graph, tensors)

        made = read_described(path, METADATA_KEY, FORMAT, "network for scene coordinates", make)
        check_graph(made.graph, [IMAGE], [LOCAL, COARSE], str(path))
        return made
