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

"""Graphs: what a run time is given, and what is refused in one sentence before it is."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from typer.testing import CliRunner

from scene_geo_loc.cli.main import app
from scene_geo_loc.core.errors import CheckpointError
from scene_geo_loc.mapping.upgrade import upgrade
from scene_geo_loc.networks import checkpoint
from scene_geo_loc.networks.architecture.checkpoint import digest, load_checkpoint
from scene_geo_loc.networks.checkpoint import load_network, save_network
from scene_geo_loc.networks.default import CHECKPOINT, default_network
from scene_geo_loc.networks.forward_pass import IMAGE, OPSET, check_graph, with_outputs
from scene_geo_loc.networks.inference_network import InferenceNetwork
from scene_geo_loc.networks.runtime.extractor import Extractor


@pytest.fixture(scope="module")
def network() -> InferenceNetwork:
    """The default network with a small input."""
    network, _ = default_network()
    return InferenceNetwork(
        {**network.config, "input_width": 96, "input_height": 64},
        network.signature,
        network.graph,
        network.tensors,
    )


@pytest.fixture
def model(network: InferenceNetwork) -> onnx.ModelProto:
    return onnx.load_model_from_string(network.graph)


def test_a_graph_has_one_image_of_any_size_and_the_outputs_of_its_signature(
    network: InferenceNetwork, model: onnx.ModelProto
) -> None:
    (given,) = model.graph.input
    sides = [dimension.dim_param or dimension.dim_value for dimension in given.type.tensor_type.shape.dim]
    assert (given.name, sides) == (IMAGE, [1, "height", "width", 3])
    assert given.type.tensor_type.elem_type == TensorProto.UINT8
    assert tuple(output.name for output in model.graph.output) == network.signature.outputs
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", OPSET)]


@pytest.mark.slow
def test_a_graph_without_depth_is_smaller_and_gives_the_same_features(network: InferenceNetwork) -> None:
    lighter = network.without_depth()
    assert len(lighter.graph) < 0.8 * len(network.graph)
    assert lighter.parameters < network.parameters
    assert lighter.without_depth() is lighter
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    whole, part = (Extractor(each, "cpu").extract(image) for each in (network, lighter))
    assert part.depth is None
    np.testing.assert_allclose(part.local_features, whole.local_features, atol=1e-5)
    np.testing.assert_allclose(part.coarse_features, whole.coarse_features, atol=1e-3)
    assert with_outputs(network.graph, network.signature.outputs) == network.graph


def rename_input(model: onnx.ModelProto) -> None:
    old = model.graph.input[0].name
    model.graph.input[0].name = "pixels"
    for node in model.graph.node:
        node.input[:] = ["pixels" if name == old else name for name in node.input]


def keep_weights_in_a_file(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"


def keep_weights_of_a_branch_in_a_file(model: onnx.ModelProto) -> None:
    tensor = TensorProto(name="hidden", data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    branch = helper.make_graph([helper.make_node("Constant", [], ["y"], value=tensor)], "branch", [], [])
    node = helper.make_node("If", ["c"], ["z"], then_branch=branch, else_branch=branch)
    model.graph.node.append(node)


def add_a_custom_operator(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Run", [IMAGE], ["x"], domain="com.example"))


def add_a_function(model: onnx.ModelProto) -> None:
    model.functions.append(helper.make_function("", "Relu", ["x"], ["y"], [], []))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (rename_input, "has the inputs pixels and not image"),
        (lambda model: model.graph.output.pop(), "has the outputs .*depth and not"),
        (keep_weights_in_a_file, "in another file, which is not opened"),
        (keep_weights_of_a_branch_in_a_file, "keeps hidden in another file"),
        (add_a_custom_operator, r"custom operator com\.example\.Run"),
        (add_a_function, "functions of its own"),
    ],
)
def test_a_graph_that_cannot_be_run_or_trusted_is_refused(
    change: Callable[[onnx.ModelProto], object],
    said: str,
    network: InferenceNetwork,
    model: onnx.ModelProto,
    tmp_path: Path,
) -> None:
    change(model)
    path = tmp_path / "network.safetensors"
    changed = InferenceNetwork(network.config, network.signature, model.SerializeToString(), network.tensors)
    save_network(changed, path, {})
    with pytest.raises(CheckpointError, match=said) as refused:
        load_network(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_truncated_graph_is_refused(network: InferenceNetwork, share: float) -> None:
    part = network.graph[: int(share * len(network.graph))]
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        check_graph(part, [IMAGE], network.signature.outputs, "it")


def test_a_graph_of_other_weights_is_refused(network: InferenceNetwork, tmp_path: Path) -> None:
    weights = dict(network.tensors)
    weights["encoder.conv_stem.weight"] = weights["encoder.conv_stem.weight"] + 1
    path = tmp_path / "network.safetensors"
    save_network(InferenceNetwork(network.config, network.signature, network.graph, weights), path, {})
    with pytest.raises(CheckpointError, match="forward pass was made from other weights"):
        load_network(path)


def test_a_head_of_another_shape_is_refused(network: InferenceNetwork, tmp_path: Path) -> None:
    weights = {**network.tensors, "projection.weight": np.zeros((512, 5), np.float32)}
    path = tmp_path / "network.safetensors"
    save_network(InferenceNetwork(network.config, network.signature, network.graph, weights), path, {})
    with pytest.raises(CheckpointError, match=r"projection has the shape \(512, 5\)"):
        load_network(path)


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """The default network as format 2 had it: weights alone."""
    from safetensors.numpy import save_file

    file = checkpoint.read_checkpoint(CHECKPOINT)
    description = {"format_version": 2, "config": file.config, "provenance": file.provenance}
    path = tmp_path / "older.safetensors"
    save_file(file.tensors, str(path), {checkpoint.METADATA_KEY: json.dumps(description)})
    return path


@pytest.mark.slow
def test_a_checkpoint_without_a_graph_is_given_one_and_stays_the_same_network(older: Path) -> None:
    network, provenance = default_network()
    opened, same = load_network(older)
    assert (opened.digest, opened.signature, same) == (network.digest, network.signature, provenance)
    assert digest(load_checkpoint(older)[0]) == network.digest
    said = [CliRunner().invoke(app, ["upgrade", str(older)], catch_exceptions=False).output for _ in range(2)]
    assert [sentence.split(": ")[1] for sentence in said] == ["upgraded.\n", "is up to date.\n"]
    assert checkpoint.read_checkpoint(older).version == 3
    assert load_network(older)[0].digest == network.digest
    assert not upgrade(older)


def test_without_torch_such_a_checkpoint_is_refused_with_the_way_out(
    older: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    monkeypatch.setitem(sys.modules, "scene_geo_loc.networks.architecture.checkpoint", None)
    with pytest.raises(CheckpointError, match=r"format 2.*the extra `training`, or upgrade the file"):
        load_network(older)
