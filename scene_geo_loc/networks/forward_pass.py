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

"""The forward pass of a network: an ONNX graph, and the description of what it takes and gives.

A checkpoint carries both, so a robot runs a network without the code that trained it.  The graph has opset
`OPSET`, only the operators of ONNX itself, and all weights within.  Its one input `image` (1, H, W, 3) is RGB
in uint8; height and width are free, and should be multiples of `Signature.multiple`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import onnx
import onnx.utils
from pydantic import BaseModel, ConfigDict

from scene_geo_loc.core.errors import CheckpointError
from scene_geo_loc.networks.stage import Stage

IMAGE = "image"
OPSET = 17
INPUT_AREA = 320 * 240
"""Largest input made for images of any shape, pixels, of a network whose features belong to cells."""
LEAST_AREA = 2 * INPUT_AREA
"""Input that smaller images are enlarged to, pixels, where the network's largest input allows that.

Of a walk indoors in images 160 pixels wide, every fifth mapped, 60 of 75 are localized at 320x224 and 69 at
480x320; at Gardens Point R@1 is 91 and 94 %.
"""
LOCAL, COARSE, SECOND = "local_features", "coarse_features", "second_features"
LATE = (COARSE, SECOND)
"""Outputs that hold the late map of each part of the descriptor."""
KEYPOINTS = "keypoint_scores"
STRONGEST_KEYPOINTS = "strongest_keypoints"
"""No output of the graph: chosen of the local features by their scores, see `strongest_cells`."""
DEPTH, DEPTH_ERROR = "depth", "depth_error"
FEATURES = "features"
"""The one output of the graph of a pose regressor."""
_OWN_DOMAINS = ("", "ai.onnx")
AGAIN = "train or export the network again"


class Part(BaseModel):
    """A part of the global descriptor.

    Attributes:
        stage: its late map, pooled to the part.
        netvlad_sharpness: alpha of NetVLAD's first assignment, see `PoolingHead.fit`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: Stage
    netvlad_sharpness: float


class Signature(BaseModel):
    """Description of a graph: its feature maps, its outputs and the weights that it was made from.

    Outputs, all float32: `local_features` (1, h, w, C) of unit length; `coarse_features` (1, h', w', C'), the
    late map of the image; `second_features` (1, h'', w'', C''), the late map of a second part;
    `keypoint_scores` (1, H, W), how good a keypoint each pixel is, 0 to 1; `depth` (1, H', W') in metres, up
    to `max_depth_m`, at the size that the encoder sees; `depth_error` (1, H', W') in metres, one scale of the
    error.

    Attributes:
        local_features: stage of the local features.
        sees_around: whether a local feature already describes the surroundings of its cell.
        finds_keypoints: whether `keypoint_scores` is given; else the local features belong to the cells.
        parts: of the global descriptor, that of the image first.
        describes_keypoints: whether the strongest keypoints are one more part of the global descriptor.
        multiple: the sides of the input should be multiples of this many pixels.
        input_area: largest input that is made for images of any shape, pixels.
        max_depth_m: largest depth, which also stands for everything farther; None where no depth is given.
        has_depth_error: whether `depth_error` is given.
        name_without_depth: name of the descriptor system that gives the same without depth, or None.
        weights_sha256: of the weights that the graph was made from, see `weights_digest`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    local_features: Stage
    sees_around: bool
    finds_keypoints: bool = False
    parts: tuple[Part, ...]
    describes_keypoints: bool = False
    multiple: int
    input_area: int = INPUT_AREA
    max_depth_m: float | None = None
    has_depth_error: bool = False
    name_without_depth: str | None = None
    weights_sha256: str

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        given = {KEYPOINTS: self.finds_keypoints, DEPTH: self.infers_depth, DEPTH_ERROR: self.has_depth_error}
        return (LOCAL, *LATE[: len(self.parts)], *(name for name, is_given in given.items() if is_given))

    @property
    def pooled(self) -> tuple[str, ...]:
        """Names of the maps that the global descriptor pools, in the order of its parts."""
        keypoints = (STRONGEST_KEYPOINTS,) if self.describes_keypoints else ()
        return (*LATE[: len(self.parts)], *keypoints)

    @property
    def infers_depth(self) -> bool:
        """True if `depth` is given."""
        return self.max_depth_m is not None


def check_graph(graph: bytes, inputs: Iterable[str], outputs: Iterable[str], name: str) -> onnx.ModelProto:
    """Returns the model of an ONNX graph that is safe to hand to a run time.

    Args:
        graph: the serialised model.
        inputs: names of all its inputs.
        outputs: names of all its outputs.
        name: name in messages, such as the file's.

    Raises CheckpointError where the graph has other inputs or outputs, and as `check_safe` does.
    """
    model = check_safe(graph, name)
    for kind, wanted, found in (
        ("inputs", list(inputs), [value.name for value in graph_inputs(model)]),
        ("outputs", list(outputs), [value.name for value in model.graph.output]),
    ):
        if sorted(wanted) != sorted(found):
            raise CheckpointError(
                f"The ONNX graph of {name} has the {kind} {', '.join(found) or 'none'} and not "
                f"{', '.join(wanted)}: {AGAIN}."
            )
    return model


def graph_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Returns the inputs of a model without its weights, which older exports also list as inputs."""
    held = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in held]


def check_safe(graph: bytes, name: str) -> onnx.ModelProto:
    """Returns the model of an ONNX graph that is safe to hand to a run time, whatever its inputs are.

    Args:
        graph: the serialised model.
        name: name in messages, such as the file's.

    Raises CheckpointError where the graph is truncated, refers to files outside of itself, which are never
    opened, or has operators that are not ONNX's own.
    """
    try:
        model = onnx.load_model_from_string(graph)
    except Exception as error:  # of protobuf, whose versions raise different ones
        raise CheckpointError(f"The ONNX graph of {name} is truncated or damaged: {AGAIN}.") from error
    if not model.graph.node:
        raise CheckpointError(f"The ONNX graph of {name} is truncated or damaged: {AGAIN}.")
    for proto in _graphs(model.graph):
        tensors = [*proto.initializer, *(sparse.values for sparse in proto.sparse_initializer)]
        attributes = [attribute for node in proto.node for attribute in node.attribute]
        tensors += [attribute.t for attribute in attributes if attribute.HasField("t")]
        for tensor in tensors:
            if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
                raise CheckpointError(
                    f"The ONNX graph of {name} keeps {tensor.name or 'a tensor'} in another file, which is "
                    "not opened: write it as one file."
                )
        for node in proto.node:
            if node.domain not in _OWN_DOMAINS:
                raise CheckpointError(
                    f"The ONNX graph of {name} has the custom operator {node.domain}.{node.op_type}, which "
                    f"no run time here knows: {AGAIN}."
                )
    if model.functions:
        raise CheckpointError(f"The ONNX graph of {name} defines functions of its own: {AGAIN}.")
    return model


def with_outputs(graph: bytes, outputs: Iterable[str]) -> bytes:
    """Returns a graph with some of its outputs, and without the operators that only the others need."""
    model = onnx.load_model_from_string(graph)
    if [value.name for value in model.graph.output] == list(outputs):
        return graph
    inputs = [value.name for value in model.graph.input]
    cut = onnx.utils.Extractor(model).extract_model(inputs, list(outputs))
    return cut.SerializeToString()


def with_shape(graph: bytes, shape: Sequence[int]) -> bytes:
    """Returns a graph whose one input has a fixed shape, which GPUs need to plan their memory."""
    model = onnx.load_model_from_string(graph)
    (given,) = graph_inputs(model)
    for dimension, size in zip(given.type.tensor_type.shape.dim, shape, strict=True):
        dimension.dim_value = size
    for output in model.graph.output:  # found anew from the input
        output.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]
    return model.SerializeToString()


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yields a graph and those within its operators, such as the branches of an If."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                yield from _graphs(inner)
