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

"""Backends: all of them give the same numbers for a network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from room import Room

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.networks.architecture.checkpoint import imagenet_network, scene_network_from
from scene_geo_loc.networks.architecture.depth_scale import DEPTH_SCALES
from scene_geo_loc.networks.architecture.descriptors import DESCRIPTORS
from scene_geo_loc.networks.architecture.export import ForwardPass, inference_network
from scene_geo_loc.networks.architecture.scene_network import NetworkConfig, SceneNetwork
from scene_geo_loc.networks.forward_pass import LATE
from scene_geo_loc.networks.inference_network import InferenceNetwork
from scene_geo_loc.networks.runtime import backends, extractor, onnxruntime_backend, openvino_backend
from scene_geo_loc.networks.runtime.backends import Outputs
from scene_geo_loc.networks.runtime.extractor import Extractor
from scene_geo_loc.networks.runtime.torch_backend import TorchBackend

pytestmark = pytest.mark.slow

KINDS = ("torch", "openvino", "onnxruntime")


@pytest.fixture(scope="module")
def images(room: Room) -> list[NDArray[np.uint8]]:
    return [room.frame(x, 0.5, 40 * x).image for x in range(-3, 4)]


@pytest.fixture(scope="module")
def others(room: Room) -> list[NDArray[np.uint8]]:
    """Not fitted on: NetVLAD clusters of one local feature give that feature but rounding errors."""
    return [room.frame(x + 0.5, 1.5, 40 * x).image[:112] for x in range(-2, 2)]


def fitted(network: SceneNetwork, images: list[NDArray[np.uint8]]) -> InferenceNetwork:
    """Returns a network fitted on images."""
    running = inference_network(network)
    backend = TorchBackend(running, "cpu")
    late = [backend.run(image[:112]) for image in images]
    return running.fit([maps[name] for name in LATE if name in maps] for maps in late)


@pytest.fixture(scope="module")
def network(images: list[NDArray[np.uint8]]) -> InferenceNetwork:
    """An ImageNet encoder for images of their size, fitted on them."""
    network = imagenet_network(NetworkConfig(input_width=160, input_height=112, descriptor_size=16))
    return fitted(network, images)


fitted_systems: dict[tuple[str, str], InferenceNetwork] = {}


def of_system(descriptor: str, pooling: str, images: list[NDArray[np.uint8]]) -> InferenceNetwork:
    """A network with every layer at work, fitted on images."""
    if (descriptor, pooling) not in fitted_systems:
        fitted_systems[descriptor, pooling] = fitted(system(descriptor, pooling), images)
    return fitted_systems[descriptor, pooling]


def system(descriptor: str, pooling: str, depth_scale: str = "log") -> SceneNetwork:
    """A network with every layer at work."""
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
    return network


def by_the_layers(fitted_network: InferenceNetwork, image: NDArray[np.uint8]) -> Outputs:
    """Returns the outputs as training and its validation compute them."""
    network = scene_network_from(fitted_network)
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
    [
        *((name, "netvlad") for name in DESCRIPTORS),
        ("rgb", "mac"),
        ("rgb", "centred_netvlad"),
        ("rgbtd", "gem"),
    ],
)
def test_every_backend_gives_all_numbers_of_every_system(
    descriptor: str, pooling: str, images: list[NDArray[np.uint8]], others: list[NDArray[np.uint8]]
) -> None:
    network = of_system(descriptor, pooling, images)
    wanted = [by_the_layers(network, image) for image in others]
    for kind in KINDS:
        backend = backend_of(network, kind)
        for image, by_layers in zip(others, wanted, strict=True):
            ours = backend.run(image)
            assert tuple(ours) == network.signature.outputs
            late = [ours[name] for name in LATE if name in ours]
            given = {**ours, "global_descriptor": network.describe(late)}
            for name, value in by_layers.items():
                np.testing.assert_allclose(
                    given[name], value, atol=1e-3, rtol=1e-4, err_msg=f"{name} by {kind}"
                )


def test_no_batch_norm_is_left(images: list[NDArray[np.uint8]]) -> None:
    modules = ForwardPass(scene_network_from(of_system("rgbtd", "mac", images))).modules()
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in modules)


def test_an_extractor_gives_descriptors_from_its_fitting_on(
    images: list[NDArray[np.uint8]], others: list[NDArray[np.uint8]]
) -> None:
    config = NetworkConfig(input_width=160, input_height=112, pooling="mac", descriptor_size=8)
    extractor = Extractor(inference_network(imagenet_network(config)), "cpu")
    before = extractor.extract(others[0])
    assert before.global_descriptor is None
    assert before.described_by is before.pooled
    extractor.fit([extractor.extract(image).pooled for image in images])
    after = extractor.extract(others[0])
    assert after.described_by[0] is after.global_descriptor
    np.testing.assert_allclose(after.global_descriptor, extractor.network.describe(before.pooled), atol=1e-3)


def test_an_image_is_read_at_another_size(images: list[NDArray[np.uint8]]) -> None:
    extractor = Extractor(of_system("rgb", "mac", images), "cpu")
    usual, larger = extractor.extract(images[0]), extractor.extract(images[0], (320, 192))
    assert usual.input_size == extractor.input_size == (160, 112)
    assert larger.input_size == (320, 192)
    local = extractor.network.signature.local_features
    assert larger.local_features.shape[:2] == (local.cells(192), local.cells(320))
    assert larger.global_descriptor is not None
    assert larger.global_descriptor.shape == usual.global_descriptor.shape
    other = Extractor(extractor.network.with_input_size(320, 192), "cpu").extract(images[0])
    np.testing.assert_array_equal(larger.global_descriptor, other.global_descriptor)


def test_a_network_that_knows_how_far_off_its_depth_may_be_says_so(images: list[NDArray[np.uint8]]) -> None:
    config = NetworkConfig(
        descriptor="rgb_depth", pooling="mac", input_width=160, input_height=112, uncertainty=True
    )
    network = inference_network(imagenet_network(config))
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
    network = inference_network(system("rgbtd", "mac", scale))
    depth = Extractor(network, "cpu").extract(images[0]).depth
    assert depth is not None
    assert (depth.shape, depth.dtype) == ((112, 160), np.float32)
    assert 0 <= depth.min() < depth.max() <= DEPTH_SCALES[scale].max_m * 1.001
    assert depth.max() > 1  # not the decoder's 0 to 1


def test_opening_openvino_reports_nothing_to_its_makers() -> None:
    pytest.importorskip("openvino")
    code = """
import sys, threading
from scene_geo_loc.networks.runtime.openvino_backend import openvino_core
openvino_core()
print(sum(name.startswith("openvino_telemetry.") for name in sys.modules), threading.active_count())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "1"]


def test_ctrl_c_arrives_after_networks_have_come_and_gone() -> None:
    pytest.importorskip("openvino")
    code = (
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job ignores it
        "from scene_geo_loc.networks.default import default_network\n"
        "from scene_geo_loc.networks.runtime.extractor import Extractor\n"
        "network, _ = default_network()\n"
        "first, second = Extractor(network, 'cpu'), Extractor(network, 'cpu')\n"
        "del first\n"
        "del second\n"
        "try: signal.raise_signal(signal.SIGINT)\n"
        "except KeyboardInterrupt: print('interrupted')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "interrupted\n")


def test_a_network_runs_without_torch(tmp_path: Path, room_map: Path) -> None:
    code = (
        "import importlib.util, sys\n"
        "found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: None if name == 'torch' else found(name, *more)\n"
        "class NotInstalled:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('torch', 'torchvision'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, NotInstalled())\n"
        "from scene_geo_loc.localization.localizer import Localizer\n"
        "from scene_geo_loc.mapping.builder import MapBuilder\n"
        "from scene_geo_loc.mapping.reference_map import ReferenceMap\n"
        "import scene_geo_loc.ros.localization.node, scene_geo_loc.ros.map_builder.node\n"
        "sys.path.insert(0, sys.argv[3])\n"
        "from room import Room\n"
        "room, builder = Room(), MapBuilder(sys.argv[1], device='cpu')\n"
        "for frame in room.drive(8): builder.add_frame(frame)\n"
        "for path in (builder.finish(), sys.argv[2]):\n"
        "    estimate = Localizer(ReferenceMap.open(path)).localize(room.frame(-2.1, 0.4, 7.0))\n"
        "    print(estimate.status.value)\n"
    )
    tests = str(Path(__file__).resolve().parents[1])
    arguments = [sys.executable, "-c", code, str(tmp_path / "map"), str(room_map), tests]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "localized\nlocalized\n"), done.stderr


def installed(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """Makes the backends believe that of their libraries only some are installed."""
    for place in (openvino_backend, onnxruntime_backend, extractor):
        monkeypatch.setattr(place, "find_spec", lambda name: name if name in modules else None)


@pytest.mark.parametrize(
    ("modules", "name"),
    [
        (("openvino", "onnxruntime", "torch"), "openvino"),
        (("onnxruntime", "torch"), "onnxruntime"),
        (("torch",), "torch"),
    ],
)
def test_the_best_installed_backend_is_chosen(
    network: InferenceNetwork, modules: tuple[str, ...], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in modules:
        pytest.importorskip(module)
    installed(monkeypatch, *modules)
    assert Extractor(network, "cpu").backend_name == name
    assert Extractor(network, "auto").backend_name == name


def test_no_backend_at_all_is_said(network: InferenceNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch)
    with pytest.raises(SceneGeoLocError, match=r"'auto' is installed: install openvino or onnxruntime\."):
        Extractor(network)
    with pytest.raises(SceneGeoLocError, match="onnxruntime-gpu"):
        Extractor(network, "cuda")


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "CPU", ""])
def test_a_device_that_there_is_not_is_said(network: InferenceNetwork, device: str) -> None:
    with pytest.raises(SceneGeoLocError, match=r"no device .*: name auto, cpu"):
        Extractor(network, device)


def test_the_next_backend_stands_in_for_one_that_fails(
    network: InferenceNetwork,
    images: list[NDArray[np.uint8]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("onnxruntime")

    def fail(self: object, work: object) -> None:
        raise RuntimeError("at a place nobody knows\nthis processor lacks AVX2")

    monkeypatch.setattr(openvino_backend, "is_installed", lambda: True)
    monkeypatch.setattr(openvino_backend.OpenVinoBackend, "__init__", fail)
    chosen = Extractor(network, "cpu")
    assert chosen.backend_name == "onnxruntime"
    assert caplog.messages == [
        "openvino cannot run the network (this processor lacks AVX2): onnxruntime is used."
    ]
    assert chosen.extract(images[0]).global_descriptor is not None


def test_where_every_backend_fails_the_last_reason_is_given(network: InferenceNetwork) -> None:
    def fail() -> backends.Backend:
        raise backends.BackendError("no driver")

    with pytest.raises(SceneGeoLocError, match=r"^No backend can run .* B fails last \(no driver\)"):
        backends.start_first([("A", fail), ("B", fail)], "auto")


class NoGpu:
    """ONNX Runtime as built for NVIDIA GPUs, on a machine without one: sessions go on with the CPU."""

    class SessionOptions:
        intra_op_num_threads = log_severity_level = 0

    class InferenceSession:
        def __init__(self, graph: bytes, options: object, providers: list) -> None:
            NoGpu.asked.append(providers)

        def get_providers(self) -> list[str]:
            return ["CPUExecutionProvider"]

    asked: ClassVar[list] = []
    __version__ = "1.22.0"

    @staticmethod
    def get_available_providers() -> list[str]:
        return ["CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"]


def test_tensorrt_goes_before_cuda_before_the_cpu_and_keeps_its_engine_in_a_folder(
    network: InferenceNetwork,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setitem(sys.modules, "onnxruntime", NoGpu)  # type: ignore[arg-type]
    monkeypatch.setattr(onnxruntime_backend, "is_installed", lambda: True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    NoGpu.asked.clear()
    assert Extractor(network).backend_name == "openvino"
    (((first, engine),), ((second, options),)) = NoGpu.asked
    assert (first, second) == ("TensorrtExecutionProvider", "CUDAExecutionProvider")
    (kept,) = (tmp_path / "scene_geo_loc" / "engines").iterdir()
    assert engine["trt_engine_cache_path"] == str(kept)
    assert options["use_tf32"] == "0"
    building, *fallbacks = caplog.messages
    assert str(kept) in building
    assert [sentence.split(" cannot")[0] for sentence in fallbacks] == [
        "onnxruntime TensorRT",
        "onnxruntime CUDA",
    ]
    # An engine that was kept is announced no more.
    (kept / "engine").write_bytes(b"")
    caplog.clear()
    Extractor(network)
    assert len(caplog.messages) == 2
    monkeypatch.setattr(extractor, "find_spec", lambda name: None)
    with pytest.raises(SceneGeoLocError, match="onnxruntime CUDA fails last"):
        Extractor(network, "cuda:1")
    assert NoGpu.asked[-1][0][1]["device_id"] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_view_of_an_image_gives_what_its_copy_gives(
    network: InferenceNetwork, images: list[NDArray[np.uint8]], kind: str
) -> None:
    backend = backend_of(network, kind)
    view = images[0][4:116, ::-1]
    of_view, of_copy = backend.run(view), backend.run(view.copy())
    for name, array in of_copy.items():
        np.testing.assert_array_equal(of_view[name], array)


@pytest.mark.parametrize("kind", KINDS)
def test_the_next_image_leaves_the_features_of_the_last_alone(
    network: InferenceNetwork, images: list[NDArray[np.uint8]], kind: str
) -> None:
    backend = backend_of(network, kind)
    first = backend.run(images[0][:112])
    kept = {name: array.copy() for name, array in first.items()}
    backend.run(images[1][:112])
    for name, before in kept.items():
        np.testing.assert_array_equal(first[name], before)


def backend_of(network: InferenceNetwork, kind: str) -> backends.Backend:
    if kind == "torch":
        return TorchBackend(network, "cpu")
    pytest.importorskip(kind)
    shape = (1, network.input_height, network.input_width, 3)
    work = backends.Work(network.graph, network.signature.outputs, shape)
    if kind == "openvino":
        return openvino_backend.OpenVinoBackend(work)
    return onnxruntime_backend.CpuBackend(work, 0)
