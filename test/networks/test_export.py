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

"""ONNX: another runtime reads the file and gives the same numbers."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from room import Room
from typer.testing import CliRunner

from scene_geo_loc.cli.main import app
from scene_geo_loc.networks.architecture import export
from scene_geo_loc.networks.architecture.checkpoint import (
    imagenet_network,
    scene_network_from,
)
from scene_geo_loc.networks.architecture.scene_network import NetworkConfig
from scene_geo_loc.networks.checkpoint import load_network
from scene_geo_loc.networks.runtime.extractor import Extractor
from scene_geo_loc.networks.runtime.openvino_backend import openvino_core

pytestmark = pytest.mark.slow


def read_by_openvino(path: Path, image: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """Returns the outputs of an ONNX file by name, as read and run by OpenVINO."""
    core = openvino_core()
    model = core.read_model(path)
    assert [port.get_any_name() for port in model.inputs] == ["image"]
    names = [output.name for output in onnx.load_model(path).graph.output]
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    results = compiled([image[None].astype(np.float32)])
    return {name: value[0] for name, value in zip(names, results.to_tuple(), strict=True)}


@pytest.fixture
def needs_onnx() -> None:
    for module in ("onnx", "openvino"):
        pytest.importorskip(module)


@pytest.mark.usefixtures("needs_onnx")
def test_a_map_s_network_gives_the_same_numbers_in_another_runtime(
    room: Room, room_map: Path, tmp_path: Path
) -> None:
    checkpoint, out = room_map / "network.safetensors", tmp_path / "deep" / "room.onnx"
    shown = CliRunner().invoke(app, ["export", str(checkpoint), str(out)], catch_exceptions=False).output
    assert "448x320" in shown
    assert [path.name for path in out.parent.iterdir()] == ["room.onnx"]
    image = np.asarray(cv2.resize(room.frame(1.0, 0.5, 30.0).image, (448, 320)), np.uint8)
    features = Extractor(load_network(checkpoint)[0], "cpu").extract(image)
    read = read_by_openvino(out, image)
    assert read.keys() >= {"local_features", "global_descriptor"}
    for name, value in read.items():
        np.testing.assert_allclose(value, getattr(features, name), atol=1e-3)


@pytest.mark.usefixtures("needs_onnx")
@pytest.mark.parametrize("descriptor", ["rgbtd", "hallucination"])
def test_systems_of_two_parts_give_the_same_numbers_in_another_runtime(
    descriptor: str, room: Room, tmp_path: Path
) -> None:
    config = NetworkConfig(
        descriptor=descriptor, depth_encoder="efficientnet_lite0", pooling="gem", descriptor_size=8
    ).model_copy(update={"input_width": 96, "input_height": 64})
    images = [room.frame(x, 0.5, 30.0).image[:64, :96] for x in range(8)]
    extractor = Extractor(export.inference_network(imagenet_network(config)), "cpu")
    extractor.fit([extractor.extract(image).pooled for image in images])
    outputs = export.export_onnx(scene_network_from(extractor.network), tmp_path / "out.onnx")
    depth = ["depth"] if descriptor == "rgbtd" else []
    assert outputs == ("local_features", "coarse_features", "global_descriptor", *depth)
    features, read = extractor.extract(images[0]), read_by_openvino(tmp_path / "out.onnx", images[0])
    assert read.keys() == set(outputs)
    for name, value in read.items():
        np.testing.assert_allclose(value, getattr(features, name), atol=1e-3)


@pytest.mark.usefixtures("needs_onnx")
def test_a_network_that_is_not_fitted_gives_no_descriptor(room: Room, tmp_path: Path) -> None:
    network = imagenet_network(NetworkConfig(input_width=160, input_height=112))
    outputs = export.export_onnx(network, tmp_path / "out.onnx")
    assert outputs == ("local_features", "coarse_features")
    image = room.frame(1.0, 0.5, 30.0).image[:112]
    assert read_by_openvino(tmp_path / "out.onnx", image).keys() == set(outputs)
