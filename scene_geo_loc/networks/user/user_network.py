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

"""A user's network as a map keeps it: the graph, its description, and the name of its file.

The copy in a map is one safetensors file:

| part | contents |
|---|---|
| metadata `scene_geo_loc` | JSON: name of the user's file, description, length of a descriptor |
| tensor `forward_pass.onnx` | the user's file, uint8 |
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Generic, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.core.errors import CheckpointError, reason_of
from scene_geo_loc.core.regular_file import regular
from scene_geo_loc.networks.checkpoint import GRAPH, METADATA_KEY
from scene_geo_loc.networks.forward_pass import check_safe, graph_inputs
from scene_geo_loc.networks.user.description import (
    AnyDescription,
    GlobalDescriptor,
    ImageDescription,
    Keypoints,
    PairMatches,
    parsed,
    read_description,
)

_TYPES: dict[int, type[np.generic]] = {
    onnx.TensorProto.FLOAT: np.float32,
    onnx.TensorProto.FLOAT16: np.float16,
    onnx.TensorProto.UINT8: np.uint8,
}
"""Types of inputs that can be given."""


class GraphInput(NamedTuple):
    """An input of a graph.

    Attributes:
        dtype: type of its numbers.
        shape: length of each axis; None where it is free.
    """

    name: str
    dtype: type[np.generic]
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class UserNetwork(Generic[AnyDescription]):
    """A user's network.

    Attributes:
        name: name of the user's file, such as "superpoint.onnx".
        graph: the user's file.
        description: what the YAML file beside it says.
        length: length of a descriptor; None until the network has been run for the first time.
    """

    name: str
    graph: bytes
    description: AnyDescription
    length: int | None = None

    @classmethod
    def read(cls, path: Path, kind: type[AnyDescription]) -> UserNetwork[AnyDescription]:
        """Returns the network of an ONNX file with its YAML file beside it.

        Raises CheckpointError where one of them is missing, damaged or contradicts the other.
        """
        try:
            graph = regular(path).read_bytes()
        except OSError as error:
            raise CheckpointError(
                f"There is no network at {path} ({error.strerror}): name an ONNX file."
            ) from error
        network = cls(path.name, graph, read_description(path, kind))
        _ = network.inputs  # checked
        return network

    @classmethod
    def read_copy(cls, path: Path, kind: type[AnyDescription]) -> UserNetwork[AnyDescription]:
        """Returns the network that a map keeps. Raises CheckpointError where the file is damaged."""
        try:
            with safe_open(str(regular(path)), framework="numpy") as file:
                values = json.loads((file.metadata() or {})[METADATA_KEY])
                graph = file.get_tensor(GRAPH).tobytes()
            name, length = str(values["name"]), values["length"]
            if not (length is None or (isinstance(length, int) and length > 0)):
                raise ValueError(f"length {length}")
        except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
            reason = reason_of(error)
            raise CheckpointError(
                f"{path} holds no network of a user ({reason}): copy the map again, or build it again."
            ) from error
        network = cls(name, graph, parsed(values["description"], kind, str(path)), length)
        _ = network.inputs  # checked
        return network

    def save_copy(self, path: Path) -> None:
        """Writes the copy that a map keeps."""
        values = {
            "name": self.name,
            "description": self.description.model_dump(mode="json"),
            "length": self.length,
        }
        tensors = {GRAPH: np.frombuffer(self.graph, np.uint8)}
        write_aside(path, save(tensors, {METADATA_KEY: json.dumps(values)}))

    def with_length(self, length: int) -> UserNetwork[AnyDescription]:
        """Returns the network with the length of its descriptors."""
        return replace(self, length=length)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the user's file in hexadecimal."""
        return hashlib.sha256(self.graph).hexdigest()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of file and description: equal for networks that compute equal features."""
        described = json.dumps(self.description.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256((self.sha256 + described).encode()).hexdigest()

    @cached_property
    def inputs(self) -> dict[str, GraphInput]:
        """The inputs of the graph by name, in its order.

        Raises CheckpointError where graph and description contradict each other, or the graph cannot be
        trusted, see `check_safe`.
        """
        model = check_safe(self.graph, self.name)
        found = {value.name: self._input_of(value) for value in graph_inputs(model)}
        outputs = [value.name for value in model.graph.output]
        description = self.description
        if isinstance(description, ImageDescription):
            self._check_image_input(description, found)
        if isinstance(description, GlobalDescriptor):
            if description.descriptor is None and len(outputs) != 1:
                raise CheckpointError(
                    f"{self.name} has the outputs {', '.join(outputs)}: its YAML file has to say which one "
                    "is the `descriptor`."
                )
            wanted = [description.descriptor]
        elif isinstance(description, Keypoints):
            wanted = [description.keypoints, description.descriptors, description.scores]
        elif isinstance(description, PairMatches):
            wanted = [description.matches, description.scores]
            self._check_pair_inputs(description, found)
        missing = [name for name in wanted if name is not None and name not in outputs]
        if missing:
            raise CheckpointError(
                f"{self.name} has the outputs {', '.join(outputs)} and not {', '.join(missing)}, as its YAML "
                "file says: name its outputs there."
            )
        return found

    @property
    def image_input(self) -> GraphInput:
        """The one input of a network that takes an image."""
        (given,) = self.inputs.values()
        return given

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        """Width and height of the image that the network takes; None where any size will do."""
        description = self.description
        assert isinstance(description, ImageDescription)
        if description.width is not None and description.height is not None:
            return description.width, description.height
        shape = dict(zip(description.layout, self.image_input.shape, strict=True))
        return (shape["w"], shape["h"]) if shape["w"] and shape["h"] else None

    def _input_of(self, value: onnx.ValueInfoProto) -> GraphInput:
        tensor = value.type.tensor_type
        if tensor.elem_type not in _TYPES:
            kind = onnx.TensorProto.DataType.Name(tensor.elem_type)
            raise CheckpointError(
                f"The input {value.name} of {self.name} takes {kind}: export it with float32 or uint8 inputs."
            )
        shape = tuple(
            axis.dim_value if axis.HasField("dim_value") and axis.dim_value > 0 else None
            for axis in tensor.shape.dim
        )
        return GraphInput(value.name, _TYPES[tensor.elem_type], shape)

    def _check_names(self, wanted: list[str], found: dict[str, GraphInput]) -> None:
        if sorted(wanted) != sorted(found):
            raise CheckpointError(
                f"{self.name} has the inputs {', '.join(found) or 'none'} and not {', '.join(wanted)}, as "
                "its YAML file says: name its inputs there, or export it with these."
            )

    def _check_image_input(self, description: ImageDescription, found: dict[str, GraphInput]) -> None:
        if description.input is not None or len(found) != 1:
            self._check_names([description.input or "one image"], found)
        (given,) = found.values()
        layout = description.layout
        wanted = {"n": 1, "c": 1 if description.colour == "grey" else 3}
        wanted |= {"w": description.width or 0, "h": description.height or 0}
        fits = len(given.shape) == len(layout) and all(
            not length or not wanted[axis] or length == wanted[axis]
            for axis, length in zip(layout, given.shape, strict=True)
        )
        if not fits:
            expected = [str(wanted[axis]) if wanted[axis] else axis for axis in layout]
            raise CheckpointError(
                f"The input {given.name} of {self.name} has the shape ({_text(given.shape)}) and not "
                f"({', '.join(expected)}), as its YAML file says: mend layout, colour or size there."
            )
        if given.dtype is np.uint8 and (description.mean, description.std) != ((0.0,), (1.0,)):
            raise CheckpointError(
                f"The input {given.name} of {self.name} takes uint8, without mean and std: leave them out "
                "of its YAML file."
            )

    def _check_pair_inputs(self, description: PairMatches, found: dict[str, GraphInput]) -> None:
        wanted = [
            name
            for role in ("keypoints", "descriptors", "size")
            for name in (getattr(description, f"{role}0"), getattr(description, f"{role}1"))
            if name is not None
        ]
        self._check_names(wanted, found)
        count_axis = {"keypoints": 1, "descriptors": 1 + description.descriptor_axes.index("n")}
        for role, axis in count_axis.items():
            for number in "01":
                given = found[getattr(description, role + number)]
                if len(given.shape) != 3 or given.shape[0] not in (1, None):
                    raise CheckpointError(
                        f"The input {given.name} of {self.name} has the shape ({_text(given.shape)}): it "
                        "should have three axes, the first of length 1."
                    )
                if given.shape[axis] is not None:
                    raise CheckpointError(
                        f"The input {given.name} of {self.name} takes {given.shape[axis]} keypoints only: "
                        "export it with dynamic axes."
                    )


def _text(shape: tuple[int | None, ...]) -> str:
    return ", ".join("any" if length is None else str(length) for length in shape)


def without_batch(array: NDArray, axes: int) -> NDArray:
    """Returns an output with a number of axes, without leading axes of length 1.

    Raises ValueError where it has fewer axes, or more of them are longer.
    """
    if array.ndim < axes or any(length != 1 for length in array.shape[: array.ndim - axes]):
        raise ValueError(f"the shape {tuple(array.shape)}")
    return array.reshape(array.shape[array.ndim - axes :])
