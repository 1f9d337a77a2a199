"""Backends: all of them give the same numbers for a network."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from room import Room

from scene_geo_loc.networks.architecture.depth_scale import DEPTH_SCALES
from scene_geo_loc.networks.architecture.descriptors import DESCRIPTORS
from scene_geo_loc.networks.architecture.scene_network import NetworkConfig, SceneNetwork
from scene_geo_loc.networks.checkpoint import imagenet_network
from scene_geo_loc.networks.runtime import backends
from scene_geo_loc.networks.runtime.backends import (
    LATE,
    ForwardPass,
    OpenVinoBackend,
    Outputs,
    TorchBackend,
    choose_backend,
)
from scene_geo_loc.networks.runtime.extractor import Extractor

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def images(room: Room) -> list[NDArray[np.uint8]]:
    return [room.frame(x, 0.5, 40 * x).image for x in range(-3, 4)]


@pytest.fixture(scope="module")
def others(room: Room) -> list[NDArray[np.uint8]]:
    """Not fitted on: NetVLAD clusters of one local feature give that feature but rounding errors."""
    return [room.frame(x + 0.5, 1.5, 40 * x).image[:112] for x in range(-2, 2)]


@pytest.fixture(scope="module")
def network(images: list[NDArray[np.uint8]]) -> SceneNetwork:
    """An ImageNet encoder for images of their size, fitted on them."""
    network = imagenet_network(NetworkConfig(input_width=160, input_height=112, descriptor_size=16))
    backend = TorchBackend(network, CPU)
    network.fit([backend.run(image[:112])["late"]] for image in images)
    return network


@pytest.fixture
def without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "find_spec", lambda name: None)


def of_system(
    descriptor: str, pooling: str, images: list[NDArray[np.uint8]], depth_scale: str = "log"
) -> SceneNetwork:
    """A network with every layer at work, fitted on images."""
    config = NetworkConfig(
        descriptor=descriptor,
        depth_encoder="efficientnet_lite0",
        pooling=pooling,
        depth_scale=depth_scale,
        descriptor_size=16,
        input_width=160,
        input_height=112,
    )
    network = imagenet_network(config)
    generator = torch.Generator().manual_seed(0)
    for module in network.descriptor.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.add_(0.1 * torch.rand(module.running_mean.shape, generator=generator))
    late = [TorchBackend(network, CPU).run(image[:112]) for image in images]
    network.fit([maps[name] for name in LATE if name in maps] for maps in late)
    return network


def by_the_network_itself(network: SceneNetwork, image: NDArray[np.uint8]) -> Outputs:
    """Returns the outputs as training and its validation compute them."""
    with torch.inference_mode():
        told = network(network.normalise(torch.from_numpy(image)[None].float()))
    outputs = {
        "local_features": told.local_features[0].permute(1, 2, 0).numpy(),
        "coarse_features": told.late[0].permute(1, 2, 0).numpy(),
        "global_descriptor": told.global_descriptor[0].numpy(),
    }
    if told.depth is None:
        return outputs
    return {**outputs, "depth": network.depth_scale.metres(told.depth[0, 0]).numpy()}


@pytest.mark.parametrize(
    ("descriptor", "pooling"),
    [*((name, "netvlad") for name in DESCRIPTORS), ("rgb", "mac"), ("rgbtd", "gem")],
)
def test_every_backend_gives_all_numbers_of_every_system(
    descriptor: str, pooling: str, images: list[NDArray[np.uint8]], others: list[NDArray[np.uint8]]
) -> None:
    pytest.importorskip("openvino")
    network = of_system(descriptor, pooling, images)
    wanted = [by_the_network_itself(network, image) for image in others]
    for kind in ("torch", "openvino"):
        backend = _backend(network, kind)
        for image, by_network in zip(others, wanted, strict=True):
            ours = backend.run(image)
            assert ours.keys() == by_network.keys()
            for name, value in by_network.items():
                np.testing.assert_allclose(
                    ours[name], value, atol=1e-3, rtol=1e-4, err_msg=f"{name} by {kind}"
                )


@pytest.mark.parametrize("kind", ["torch", "openvino"])
def test_a_network_that_is_not_fitted_gives_the_maps_to_fit_it_to(
    images: list[NDArray[np.uint8]], others: list[NDArray[np.uint8]], kind: str
) -> None:
    network = of_system("rgbtd", "mac", images)
    wanted = by_the_network_itself(network, others[0])
    network.fitted.fill_(False)
    told = _backend(network, kind).run(others[0])
    assert list(told) == ["local_features", "coarse_features", "late", "second_late", "depth"]
    with torch.inference_mode():
        described = network.describe([torch.from_numpy(told[name])[None] for name in LATE])[0]
    np.testing.assert_allclose(described, wanted["global_descriptor"], atol=1e-3)


def test_no_batch_norm_is_left(images: list[NDArray[np.uint8]]) -> None:
    modules = ForwardPass(of_system("rgbtd", "mac", images)).modules()
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in modules)


def test_an_extractor_gives_descriptors_from_its_fitting_on(
    images: list[NDArray[np.uint8]], others: list[NDArray[np.uint8]]
) -> None:
    config = NetworkConfig(input_width=160, input_height=112, pooling="mac", descriptor_size=8)
    extractor = Extractor(imagenet_network(config), "cpu")
    before = extractor.extract(others[0])
    assert before.global_descriptor is None
    assert before.late is not None
    extractor.fit([extractor.extract(image).late or () for image in images])
    after = extractor.extract(others[0])
    assert after.late is None
    np.testing.assert_allclose(after.global_descriptor, extractor.describe(before.late), atol=1e-3)


def test_a_network_that_knows_how_far_off_its_depth_may_be_says_so(images: list[NDArray[np.uint8]]) -> None:
    config = NetworkConfig(
        descriptor="rgb_depth", pooling="mac", input_width=160, input_height=112, uncertainty=True
    )
    network = imagenet_network(config)
    features = Extractor(network, "cpu").extract(images[0])
    assert features.depth is not None
    assert features.depth_error is not None
    assert features.depth_error.shape == features.depth.shape == (112, 160)
    assert (features.depth_error >= 0).all()


def test_without_depth_a_network_matches_and_describes_as_before(images: list[NDArray[np.uint8]]) -> None:
    network = of_system("rgb_depth", "mac", images)
    lighter = network.without_depth()
    with_depth, without = (Extractor(one, "cpu").extract(images[0]) for one in (network, lighter))
    assert with_depth.depth is not None
    assert without.depth is None
    assert with_depth.global_descriptor is not None
    assert without.global_descriptor is not None
    np.testing.assert_allclose(without.global_descriptor, with_depth.global_descriptor, atol=1e-5)
    np.testing.assert_allclose(without.local_features, with_depth.local_features, atol=1e-5)
    of_depth = of_system("rgbtd", "mac", images)
    assert of_depth.without_depth() is of_depth


@pytest.mark.parametrize("scale", DEPTH_SCALES)
def test_depth_is_in_metres_at_the_size_of_the_input(images: list[NDArray[np.uint8]], scale: str) -> None:
    depth = Extractor(of_system("rgbtd", "mac", images, scale), "cpu").extract(images[0]).depth
    assert depth is not None
    assert (depth.shape, depth.dtype) == ((112, 160), np.float32)
    assert 0 <= depth.min() < depth.max() <= DEPTH_SCALES[scale].max_m * 1.001
    assert depth.max() > 1  # not the decoder's 0 to 1


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
        "from scene_geo_loc.networks.runtime.backends import OpenVinoBackend\n"
        "from scene_geo_loc.networks.architecture.scene_network import NetworkConfig, SceneNetwork\n"
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
    with pytest.warns(match=r"^OpenVINO cannot run the network \(no such operator\): torch is used\.$"):
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
    of_view, of_copy = backend.run(view), backend.run(view.copy())
    for name, array in of_copy.items():
        np.testing.assert_array_equal(of_view[name], array)


@pytest.mark.parametrize("kind", ["torch", "openvino"])
def test_the_next_image_leaves_the_features_of_the_last_alone(
    network: SceneNetwork, images: list[NDArray[np.uint8]], kind: str
) -> None:
    backend = _backend(network, kind)
    first = backend.run(images[0][:112])
    kept = {name: array.copy() for name, array in first.items()}
    backend.run(images[1][:112])
    for name, before in kept.items():
        np.testing.assert_array_equal(first[name], before)


@pytest.mark.parametrize("kind", ["torch", "openvino"])
def test_later_training_does_not_change_what_a_backend_gives(
    images: list[NDArray[np.uint8]], kind: str
) -> None:
    network = imagenet_network(NetworkConfig(input_width=160, input_height=112))
    backend = _backend(network, kind)
    before = backend.run(images[0][:112])["late"]
    with torch.no_grad():
        network.encoder.conv_stem.weight.zero_()  # type: ignore[operator]
    np.testing.assert_array_equal(backend.run(images[0][:112])["late"], before)


def _backend(network: SceneNetwork, kind: str) -> backends.Backend:
    if kind == "torch":
        return TorchBackend(network, CPU)
    pytest.importorskip("openvino")
    return OpenVinoBackend(network)
