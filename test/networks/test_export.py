"""ONNX: another runtime reads the file and gives the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from room import Room
from typer.testing import CliRunner

from scene_geo_loc.cli.main import app
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.networks.architecture.scene_network import NetworkConfig
from scene_geo_loc.networks.checkpoint import imagenet_network, load_checkpoint, save_checkpoint
from scene_geo_loc.networks.runtime import export
from scene_geo_loc.networks.runtime.backends import openvino_core
from scene_geo_loc.networks.runtime.extractor import Extractor

pytestmark = pytest.mark.slow


def read_by_openvino(path: Path, image: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """Returns the outputs of an ONNX file by name, as read and run by OpenVINO."""
    core = openvino_core()
    model = core.read_model(path)
    assert [port.get_any_name() for port in model.inputs] == ["image"]
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    results = compiled([image[None].astype(np.float32)])
    return {port.get_any_name(): value[0] for port, value in results.items()}


@pytest.fixture
def needs_onnx() -> None:
    for module in ("onnx", "onnxscript", "openvino"):
        pytest.importorskip(module)


@pytest.mark.usefixtures("needs_onnx")
def test_a_map_s_network_gives_the_same_numbers_in_another_runtime(
    room: Room, room_map: Path, tmp_path: Path
) -> None:
    checkpoint, out = room_map / "network.safetensors", tmp_path / "deep" / "room.onnx"
    shown = CliRunner().invoke(app, ["export", str(checkpoint), str(out)], catch_exceptions=False).output
    assert "320x240" in shown
    assert [path.name for path in out.parent.iterdir()] == ["room.onnx"]
    image = np.repeat(np.repeat(room.frame(1.0, 0.5, 30.0).image, 2, axis=0), 2, axis=1)
    features = Extractor(load_checkpoint(checkpoint)[0], "cpu").extract(image)
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
    extractor = Extractor(imagenet_network(config), "cpu")
    extractor.fit([extractor.extract(image).late or () for image in images])
    outputs = export.export_onnx(extractor.network, tmp_path / "out.onnx")
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
    assert outputs == ("local_features", "coarse_features", "late")
    image = room.frame(1.0, 0.5, 30.0).image[:112]
    assert read_by_openvino(tmp_path / "out.onnx", image).keys() == set(outputs)


def test_without_what_writes_onnx_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    network = imagenet_network(NetworkConfig(input_width=96, input_height=64))
    save_checkpoint(network, tmp_path / "a.safetensors", {})
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    arguments = ["export", str(tmp_path / "a.safetensors"), str(tmp_path / "a.onnx")]
    with pytest.raises(SceneGeoLocError, match=r"pip install 'scene_geo_loc\[training\]'"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert not (tmp_path / "a.onnx").exists()
