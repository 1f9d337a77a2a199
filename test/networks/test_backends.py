"""Backends: whichever runs the network, the numbers are the same."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from room import Room

from scene_geo_loc.networks import backends
from scene_geo_loc.networks.backends import ForwardPass, OpenVinoBackend, TorchBackend, choose_backend
from scene_geo_loc.networks.checkpoint import imagenet_network
from scene_geo_loc.networks.extractor import Extractor
from scene_geo_loc.networks.scene_network import NetworkConfig, SceneNetwork

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def images(room: Room) -> list[NDArray[np.uint8]]:
    return [room.frame(x, 0.5, 40 * x).image for x in range(-3, 4)]


@pytest.fixture(scope="module")
def network(images: list[NDArray[np.uint8]]) -> SceneNetwork:
    """An ImageNet encoder for images of their size, fitted on them."""
    network = imagenet_network(NetworkConfig(input_width=160, input_height=112, descriptor_size=16))
    backend = TorchBackend(network, CPU)
    network.fit(backend.run(image[:112])[1] for image in images)
    return network


@pytest.fixture
def without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "find_spec", lambda name: None)


def test_merging_the_batch_norms_leaves_the_maps_as_they_are(
    network: SceneNetwork, images: list[NDArray[np.uint8]]
) -> None:
    pixels = torch.from_numpy(images[0][:112])[None]
    with torch.inference_mode():
        early, late, *_ = network(network.normalise(pixels.float()))
        merged_early, merged_late = ForwardPass(network)(pixels)
    np.testing.assert_allclose(merged_early, early.permute(0, 2, 3, 1), atol=1e-4)
    np.testing.assert_allclose(merged_late, late, atol=1e-3)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in ForwardPass(network).modules())


def test_openvino_gives_the_numbers_of_torch(
    network: SceneNetwork, images: list[NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    fast = Extractor(network, "cpu")
    assert fast.backend_name == "openvino"
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    plain = Extractor(network, "cpu")
    assert plain.backend_name == "torch"
    for image in images:
        ours, torchs = fast.extract(image), plain.extract(image)
        np.testing.assert_allclose(ours.local_features, torchs.local_features, atol=1e-3)
        np.testing.assert_allclose(ours.late, torchs.late, atol=1e-3)
        np.testing.assert_allclose(ours.global_descriptor, torchs.global_descriptor, atol=1e-3)


def test_opening_openvino_reports_nothing_to_its_makers(
    network: SceneNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    telemetry = pytest.importorskip("openvino_telemetry").Telemetry
    reports: list[object] = []
    monkeypatch.setattr(telemetry, "init", lambda *arguments: reports.append(arguments))
    OpenVinoBackend(network)
    assert reports == []


def test_ctrl_c_arrives_after_networks_have_come_and_gone() -> None:
    pytest.importorskip("openvino")
    code = (
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job ignores it
        "from scene_geo_loc.networks.backends import OpenVinoBackend\n"
        "from scene_geo_loc.networks.scene_network import NetworkConfig, SceneNetwork\n"
        "network = SceneNetwork(NetworkConfig(input_width=32, input_height=32))\n"
        "first, second = OpenVinoBackend(network), OpenVinoBackend(network)\n"
        "del first\n"
        "del second\n"
        "try: signal.raise_signal(signal.SIGINT)\n"
        "except KeyboardInterrupt: print('interrupted')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "interrupted\n")


def test_a_cpu_runs_torch_where_openvino_is_not_installed(
    network: SceneNetwork, without_openvino: None
) -> None:
    assert Extractor(network, "cpu").backend_name == "torch"


def test_torch_stands_in_where_openvino_fails(
    network: SceneNetwork, images: list[NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Misfit:
        def __init__(self, network: SceneNetwork) -> None:
            raise RuntimeError("no such operator\n  at a place nobody knows")

    monkeypatch.setattr(backends, "find_spec", lambda name: name)
    monkeypatch.setattr(backends, "OpenVinoBackend", Misfit)
    with pytest.warns(match=r"^OpenVINO cannot run the network \(no such operator\): torch does\.$"):
        extractor = Extractor(network, "cpu")
    assert extractor.backend_name == "torch"
    assert extractor.extract(images[0]).global_descriptor is not None


def test_another_device_is_left_to_torch(network: SceneNetwork) -> None:
    assert isinstance(choose_backend(network, torch.device("meta")), TorchBackend)


@pytest.mark.parametrize("kind", ["torch", "openvino"])
def test_a_view_of_an_image_gives_what_its_copy_gives(
    network: SceneNetwork, images: list[NDArray[np.uint8]], kind: str
) -> None:
    backend = _backend(network, kind)
    view = images[0][4:116, ::-1]
    for of_view, of_copy in zip(backend.run(view), backend.run(view.copy()), strict=True):
        np.testing.assert_array_equal(of_view, of_copy)


@pytest.mark.parametrize("kind", ["torch", "openvino"])
def test_the_next_image_leaves_the_features_of_the_last_alone(
    network: SceneNetwork, images: list[NDArray[np.uint8]], kind: str
) -> None:
    backend = _backend(network, kind)
    first = backend.run(images[0][:112])
    kept = [array.copy() for array in first]
    backend.run(images[1][:112])
    for array, before in zip(first, kept, strict=True):
        np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize("kind", ["torch", "openvino"])
def test_later_training_does_not_change_what_a_backend_gives(
    images: list[NDArray[np.uint8]], kind: str
) -> None:
    network = imagenet_network(NetworkConfig(input_width=160, input_height=112))
    backend = _backend(network, kind)
    before = backend.run(images[0][:112])[1]
    with torch.no_grad():
        network.encoder.conv_stem.weight.zero_()
    np.testing.assert_array_equal(backend.run(images[0][:112])[1], before)


def _backend(network: SceneNetwork, kind: str) -> backends.Backend:
    if kind == "torch":
        return TorchBackend(network, CPU)
    pytest.importorskip("openvino")
    return OpenVinoBackend(network)
