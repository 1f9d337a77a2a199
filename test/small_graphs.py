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

"""Small networks of a user, as ONNX graphs: a descriptor, a detector of corners, and a matcher of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper

WIDTH, HEIGHT, CELL = 96, 72, 12
"""Size of the descriptor's input, and side of the squares that it averages."""
DESCRIPTOR_SIZE = 3 * (WIDTH // CELL) * (HEIGHT // CELL)
PATCH = 9
"""Side of the patch that describes a corner."""
CORNERS = 300


class Graph:
    """An ONNX graph that is written node by node."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, values: Any, dtype: Any = np.int64) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(values, dtype), name))
        return name

    def add(self, operator: str, *inputs: str, to: str = "", **attributes: Any) -> str:
        output = to or f"value_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def cast(self, value: str, kind: int) -> str:
        output = f"value_{len(self.nodes)}"
        self.nodes.append(helper.make_node("Cast", [value], [output], to=kind))
        return output

    def model(self, inputs: dict[str, tuple[int, Sequence]], outputs: dict[str, int]) -> onnx.ModelProto:
        """Returns the model; inputs have a type and a shape, outputs a type."""
        graph = helper.make_graph(
            self.nodes,
            "small",
            [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
            [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()],
            self.constants,
        )
        opset = [helper.make_opsetid("", 17)]
        return helper.make_model(graph, opset_imports=opset, ir_version=8)


def descriptor_model() -> onnx.ModelProto:
    """Averages of the squares of an RGB image, without their mean."""
    graph = Graph()
    averages = graph.add("AveragePool", "image", kernel_shape=[CELL, CELL], strides=[CELL, CELL])
    mean = graph.add("ReduceMean", averages, axes=[2, 3], keepdims=1)
    graph.add("Flatten", graph.add("Sub", averages, mean), to="descriptor")
    return graph.model(
        {"image": (TensorProto.FLOAT, [1, 3, HEIGHT, WIDTH])}, {"descriptor": TensorProto.FLOAT}
    )


def corner_model(count: int = CORNERS) -> onnx.ModelProto:
    """The strongest corners (Harris) of a grey image of any size, described by the patch around them."""
    graph = Graph()

    def filtered(value: str, kernels: np.ndarray) -> str:
        side = kernels.shape[-1] // 2
        padded = graph.add("Pad", value, graph.constant([0, 0, side, side, 0, 0, side, side]), mode="edge")
        return graph.add("Conv", padded, graph.constant(kernels, np.float32))

    sobel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32)
    box = np.ones((1, 1, 5, 5), np.float32)
    across, down = (filtered("image", kernel[None, None]) for kernel in (sobel, sobel.T))
    xx, yy, xy = (
        filtered(graph.add("Mul", *pair), box) for pair in ((across, across), (down, down), (across, down))
    )
    determinant = graph.add("Sub", graph.add("Mul", xx, yy), graph.add("Mul", xy, xy))
    trace = graph.add("Add", xx, yy)
    penalty = graph.add("Mul", graph.add("Mul", trace, trace), graph.constant(0.05, np.float32))
    response = graph.add("Sub", determinant, penalty)
    largest = graph.add("MaxPool", response, kernel_shape=[5, 5], pads=[2, 2, 2, 2], strides=[1, 1])
    is_largest = graph.cast(graph.add("Equal", response, largest), TensorProto.FLOAT)
    flat = graph.add("Reshape", graph.add("Mul", response, is_largest), graph.constant([1, -1]))
    graph.nodes.append(
        helper.make_node("TopK", [flat, graph.constant([count])], ["scores", "places"], axis=1)
    )
    width = graph.add("Gather", graph.add("Shape", "image"), graph.constant([3]))
    x, y = graph.add("Mod", "places", width), graph.add("Div", "places", width)
    columns = [graph.add("Unsqueeze", value, graph.constant([2])) for value in (x, y)]
    graph.add("Concat", *columns, to="keypoints", axis=2)
    patches = filtered("image", np.eye(PATCH**2, dtype=np.float32).reshape(-1, 1, PATCH, PATCH))
    centred = graph.add("Sub", patches, graph.add("ReduceMean", patches, axes=[1], keepdims=1))
    table = graph.add("Reshape", centred, graph.constant([PATCH**2, -1]))
    row = graph.add("Reshape", "places", graph.constant([-1]))
    described = graph.add("Transpose", graph.add("Gather", table, row, axis=1), perm=[1, 0])
    graph.add("Unsqueeze", described, graph.constant([0]), to="descriptors")
    return graph.model(
        {"image": (TensorProto.FLOAT, [1, 1, "height", "width"])},
        {"keypoints": TensorProto.INT64, "descriptors": TensorProto.FLOAT, "scores": TensorProto.FLOAT},
    )


def pair_model(form: str = "pairs") -> onnx.ModelProto:
    """Mutual nearest neighbours of two sets of descriptors, with their cosine as the score."""
    graph = Graph()
    second = graph.add("Transpose", "descriptors1", perm=[0, 2, 1])
    similarity = graph.add("MatMul", "descriptors0", second)
    places = [graph.add("ReduceSum", f"keypoints{number}", keepdims=0) for number in (0, 1)]
    nothing = graph.add("Mul", graph.add("Add", *places), graph.constant(0, np.float32))
    similarity = graph.add("Add", similarity, nothing)
    of_first = graph.add("ArgMax", similarity, axis=2, keepdims=0)
    of_second = graph.add("ArgMax", similarity, axis=1, keepdims=0)
    back = graph.add("GatherElements", of_second, of_first, axis=1)
    count = graph.add("Gather", graph.add("Shape", of_first), graph.constant(1))
    rows = graph.add("Range", graph.constant(0), count, graph.constant(1))
    is_mutual = graph.add("Equal", back, rows)
    scores = graph.add("ReduceMax", similarity, axes=[2], keepdims=0)
    if form == "of_first":
        graph.add("Where", is_mutual, of_first, graph.constant(-1), to="matches")
        graph.add("Identity", scores, to="scores")
    else:
        found = graph.add("NonZero", is_mutual)
        first = graph.add("Gather", found, graph.constant(1), axis=0)
        chosen = graph.add("Transpose", found, perm=[1, 0])
        matched = graph.add("GatherND", of_first, chosen)
        columns = [graph.add("Unsqueeze", value, graph.constant([1])) for value in (first, matched)]
        graph.add("Concat", *columns, to="matches", axis=1)
        graph.add("GatherND", scores, chosen, to="scores")
    inputs: dict[str, tuple[int, Sequence]] = {}
    for number in (0, 1):
        inputs[f"keypoints{number}"] = (TensorProto.FLOAT, [1, f"count{number}", 2])
        inputs[f"descriptors{number}"] = (TensorProto.FLOAT, [1, f"count{number}", "channels"])
    return graph.model(inputs, {"matches": TensorProto.INT64, "scores": TensorProto.FLOAT})


def changed_output(model: onnx.ModelProto, name: str, operator: str, *more: str, **attributes: Any) -> None:
    """Lets an operator change an output of a model, which keeps its name."""
    before = f"{name}_before_{len(model.graph.node)}"
    for node in model.graph.node:
        node.output[:] = [before if output == name else output for output in node.output]
        node.input[:] = [before if given == name else given for given in node.input]
    model.graph.node.append(helper.make_node(operator, [before, *more], [name], **attributes))


def with_constant(model: onnx.ModelProto, values: Any, dtype: Any = np.float32) -> str:
    """Adds a constant to a model and returns its name."""
    name = f"added_{len(model.graph.initializer)}"
    model.graph.initializer.append(numpy_helper.from_array(np.array(values, dtype), name))
    return name


def write_network(path: Path, model: onnx.ModelProto, **description: Any) -> Path:
    """Writes a graph and the YAML file beside it; returns the graph's path."""
    path.write_bytes(model.SerializeToString())
    path.with_suffix(".yaml").write_text(yaml.safe_dump(description) if description else "")
    return path


def write_descriptor(folder: Path) -> Path:
    return write_network(folder / "averages.onnx", descriptor_model())


def write_corners(folder: Path) -> Path:
    return write_network(folder / "corners.onnx", corner_model(), colour="grey")


def write_pairs(folder: Path, form: str = "pairs") -> Path:
    return write_network(folder / "pairs.onnx", pair_model(form), form=form)
