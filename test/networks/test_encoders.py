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

"""Encoders: shapes and cell positions of their maps, their two parts, and files of weights."""

from __future__ import annotations

import urllib.error
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from scene_geo_loc.core.errors import CheckpointError
from scene_geo_loc.networks.architecture.checkpoint import save_checkpoint
from scene_geo_loc.networks.architecture.encoders import ENCODERS, Encoder
from scene_geo_loc.networks.architecture.encoders.alexnet import AlexNet
from scene_geo_loc.networks.architecture.encoders.resnet18 import ResNet18, TruncatedResNet18
from scene_geo_loc.networks.architecture.scene_network import NetworkConfig, SceneNetwork
from scene_geo_loc.networks.architecture.weights import METADATA_KEY, save_weights

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def encoders() -> dict[str, Encoder]:
    torch.manual_seed(0)
    return {name: encoder().eval() for name, encoder in ENCODERS.items()}


every_encoder = pytest.mark.parametrize("name", ENCODERS)


@pytest.mark.parametrize(
    ("name", "skips", "late", "parameters"),
    [
        ("alexnet", [(64, 55, 55), (192, 27, 27)], (256, 13, 13), 2_469_696),
        ("resnet18", [(64, 56, 56), (128, 28, 28)], (512, 7, 7), 11_176_512),
        ("resnet18_truncated", [(64, 56, 56), (128, 28, 28)], (256, 14, 14), 2_782_784),
        ("efficientnet_lite0", [(24, 56, 56), (40, 28, 28)], (112, 14, 14), 700_768),
        ("pnlp", [(128, 56, 56), (256, 28, 28)], (256, 14, 14), 6_404_448),
    ],
)
def test_maps_of_224_pixels_are_those_of_the_paper(
    encoders: dict[str, Encoder], name: str, skips: list, late: tuple, parameters: int
) -> None:
    with torch.inference_mode():
        maps = encoders[name](torch.zeros(1, 3, 224, 224))
    assert [tuple(skip.shape[1:]) for skip in maps.skips] == skips
    assert tuple(maps.late.shape[1:]) == late
    assert sum(weight.numel() for weight in encoders[name].parameters()) == parameters


@every_encoder
@settings(max_examples=8, deadline=None)
@given(height=st.integers(64, 150), width=st.integers(64, 150))
def test_stages_tell_the_shapes_of_the_maps_of_any_input(
    encoders: dict[str, Encoder], name: str, height: int, width: int
) -> None:
    encoder = encoders[name]
    with torch.inference_mode():
        maps = encoder(torch.zeros(1, 3, height, width))
    for stage, made in zip(
        (encoder.early, encoder.late, *encoder.skips), (maps.early, maps.late, *maps.skips), strict=True
    ):
        assert made.shape == (1, stage.channels, stage.cells(height), stage.cells(width))


@every_encoder
def test_a_side_of_the_multiple_has_a_cell_a_stride_or_one_less(name: str) -> None:
    encoder = ENCODERS[name]
    for stage in (encoder.early, encoder.late, *encoder.skips):
        lost = 1 if name == "alexnet" else 0
        assert stage.cells(10 * encoder.multiple) == 10 * encoder.multiple // stage.stride - lost


def seen_by(map_: Tensor, image: Tensor, row: int, column: int) -> np.ndarray:
    """The first and the last pixel of the image, (y, x), that a cell depends on."""
    (gradient,) = torch.autograd.grad(map_[0, :, row, column].sum(), image, retain_graph=True)
    pixels = np.argwhere(gradient[0].abs().sum(0).numpy() > 0)
    return np.stack([pixels.min(0), pixels.max(0)])


@pytest.mark.parametrize(("name", "side"), [("alexnet", 255), ("resnet18_truncated", 255), ("pnlp", 256)])
def test_a_cell_lies_in_the_middle_of_the_pixels_that_it_sees(name: str, side: int) -> None:
    encoder = ENCODERS[name]().eval()
    for module in encoder.modules():
        # Means for maxima, no ReLU, no norm of whole maps: every pixel in reach has its gradient then.
        for child_name, child in list(module.named_children()):
            if isinstance(child, nn.MaxPool2d):
                pool = nn.AvgPool2d(child.kernel_size, child.stride, child.padding)
                setattr(module, child_name, pool)
            elif isinstance(child, (nn.ReLU, nn.GroupNorm)):
                setattr(module, child_name, nn.Identity())
    image = torch.rand(1, 3, side, side, requires_grad=True)
    maps = encoder(image)
    for stage, made in zip(encoder.skips, maps.skips, strict=True):
        row, column = made.shape[2] // 2, made.shape[3] // 2 + 1
        first, last = seen_by(made, image, row, column)
        centre = np.array([row, column]) * stage.stride + stage.offset
        np.testing.assert_array_equal((first + last) / 2, centre)


def test_the_cells_of_alexnet_begin_where_its_padding_puts_them() -> None:
    network = SceneNetwork(NetworkConfig(encoder="alexnet", input_width=96, input_height=64))
    assert network.grid == (7, 11)
    cells = network.cell_centres()
    assert cells.shape == (7 * 11, 2)
    np.testing.assert_array_equal(cells[[0, 1, -1]], [(7, 7), (15, 7), (87, 55)])


@pytest.mark.parametrize("name", ["alexnet", "resnet18", "resnet18_truncated"])
def test_a_late_map_ends_before_its_relu(encoders: dict[str, Encoder], name: str) -> None:
    images = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        maps = encoders[name](images)
    assert maps.late.min() < 0
    assert min(skip.min() for skip in maps.skips) >= 0


@pytest.mark.parametrize("name", ["alexnet", "resnet18"])
def test_maps_are_those_of_torchvision(name: str) -> None:
    from torchvision import models

    torch.manual_seed(1)
    whole = getattr(models, name)(weights=None).eval()
    encoder = ENCODERS[name]().eval()
    encoder.load_state_dict({key: whole.state_dict()[key] for key in encoder.state_dict()})
    images = torch.randn(2, 3, 96, 128)
    with torch.inference_mode():
        maps = encoder(images)
        if name == "alexnet":
            early, late = whole.features[:5](images), whole.features[:12](images)
        else:
            stem = whole.maxpool(whole.relu(whole.bn1(whole.conv1(images))))
            early = whole.layer2(whole.layer1(stem))
            late = whole.layer4(whole.layer3(early))
    torch.testing.assert_close(maps.early, early)
    torch.testing.assert_close(maps.late.relu(), late)


@every_encoder
def test_the_head_is_what_comes_after_the_trunk(encoders: dict[str, Encoder], name: str) -> None:
    encoder = ENCODERS[name]()
    head = [weight for module in encoder.head_modules() for weight in module.parameters()]
    trunk = {id(weight) for weight in encoder.parameters()} - {id(weight) for weight in head}
    encoder.head(
        tuple(part.detach() for part in encoder.trunk(torch.rand(2, 3, 96, 96)))
    ).late.sum().backward()
    assert all(weight.grad is not None for weight in head)
    assert all(weight.grad is None for weight in encoder.parameters() if id(weight) in trunk)


def test_the_fine_tuned_layers_are_the_authors() -> None:
    def trained(encoder: type[Encoder]) -> set[str]:
        made = encoder()
        head = {id(weight) for module in made.head_modules() for weight in module.parameters()}
        return {name.split(".w")[0] for name, weight in made.named_parameters() if id(weight) in head}

    assert {name for name in trained(AlexNet) if not name.endswith("bias")} == {"features.8", "features.10"}
    assert {name.split(".")[0] for name in trained(ResNet18)} == {"layer3", "layer4"}
    assert {name.split(".")[0] for name in trained(TruncatedResNet18)} == {"layer3"}


@pytest.mark.parametrize("name", ["alexnet", "resnet18", "resnet18_truncated"])
def test_images_of_imagenet_s_mean_become_zero(name: str) -> None:
    encoder = ENCODERS[name]
    np.testing.assert_allclose(encoder.mean, (123.675, 116.28, 103.53))
    np.testing.assert_allclose(encoder.std, (58.395, 57.12, 57.375))


def test_weights_come_back_from_their_file_with_what_is_told_of_them(tmp_path: Path) -> None:
    made, again, path = AlexNet(), AlexNet(), tmp_path / "new folder" / "alexnet.safetensors"
    save_weights(made, made.name, path, {"steps": 3})
    again.load_weights(path)
    for key, value in made.state_dict().items():
        assert torch.equal(again.state_dict()[key], value)
    with safe_open(str(path), framework="pt") as file:
        assert file.metadata()[METADATA_KEY] == '{"encoder": "alexnet", "provenance": {"steps": 3}}'


def test_the_truncated_resnet_takes_its_part_from_the_whole_one(tmp_path: Path) -> None:
    whole, truncated = ResNet18(), TruncatedResNet18()
    save_weights(whole, whole.name, tmp_path / "whole.safetensors", {})
    truncated.load_weights(tmp_path / "whole.safetensors")
    assert torch.equal(truncated.state_dict()["layer3.1.bn2.weight"], whole.layer3[1].bn2.weight)  # type: ignore[index]


def test_an_encoder_is_taken_from_a_checkpoint_of_a_network(tmp_path: Path) -> None:
    network = SceneNetwork(NetworkConfig(encoder="alexnet", input_width=96, input_height=64))
    save_checkpoint(network, tmp_path / "a.safetensors", {})
    encoder = AlexNet()
    encoder.load_weights(tmp_path / "a.safetensors")
    assert torch.equal(
        encoder.state_dict()["features.0.weight"], network.state_dict()["encoder.features.0.weight"]
    )


def test_weights_without_counts_of_batches_do_as_well(tmp_path: Path) -> None:
    made = TruncatedResNet18()
    tensors = {k: v for k, v in made.state_dict().items() if not k.endswith("num_batches_tracked")}
    save_file(tensors, str(tmp_path / "a.safetensors"))
    again = TruncatedResNet18()
    again.load_weights(tmp_path / "a.safetensors")
    assert torch.equal(again.state_dict()["conv1.weight"], tensors["conv1.weight"])


def test_weights_of_another_encoder_are_refused(tmp_path: Path) -> None:
    save_weights(AlexNet(), "alexnet", tmp_path / "a.safetensors", {})
    with pytest.raises(CheckpointError, match=r"holds no conv1\.weight, which TruncatedResNet18 needs"):
        TruncatedResNet18().load_weights(tmp_path / "a.safetensors")


def test_weights_of_another_shape_are_refused_and_change_nothing(tmp_path: Path) -> None:
    encoder = AlexNet()
    tensors = {key: value + 1 for key, value in encoder.state_dict().items()}
    tensors["features.10.bias"] = torch.zeros(9)
    save_file(tensors, str(tmp_path / "a.safetensors"))
    before = encoder.features[0].weight.clone()
    with pytest.raises(CheckpointError, match=r"features\.10\.bias .* has shape \(9,\) .* needs \(256,\)"):
        encoder.load_weights(tmp_path / "a.safetensors")
    assert torch.equal(encoder.features[0].weight, before)


def test_weights_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    encoder = AlexNet()
    encoder.features[0].weight.data[0] = torch.nan
    save_weights(encoder, encoder.name, tmp_path / "a.safetensors", {})
    with pytest.raises(CheckpointError, match="not finite"):
        AlexNet().load_weights(tmp_path / "a.safetensors")


@pytest.mark.parametrize("content", [None, b"", b"no safetensors at all"])
def test_weights_that_are_missing_or_damaged_are_said(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"no weights at|cannot be read"):
        AlexNet().load_weights(path)


def test_torchvision_s_weights_are_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import models

    torch.manual_seed(2)
    tensors = models.resnet18(weights=None).state_dict()
    monkeypatch.setattr(models.ResNet18_Weights, "get_state_dict", lambda self, **options: tensors)
    encoder = TruncatedResNet18()
    encoder.load_imagenet_weights()
    assert torch.equal(encoder.state_dict()["conv1.weight"], tensors["conv1.weight"])


@pytest.mark.parametrize(
    "error", [urllib.error.URLError("no route to host"), RuntimeError("invalid hash value")]
)
def test_where_torchvision_s_weights_cannot_be_had_the_way_out_is_named(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    from torchvision import models

    def fail(self: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(models.AlexNet_Weights, "get_state_dict", fail)
    with pytest.raises(CheckpointError, match="name a file of weights"):
        AlexNet().load_imagenet_weights()


def test_lite0_keeps_the_names_that_checkpoints_have(encoders: dict[str, Encoder], tmp_path: Path) -> None:
    save_weights(encoders["efficientnet_lite0"], "efficientnet_lite0", tmp_path / "a.safetensors", {})
    keys = set(load_file(str(tmp_path / "a.safetensors")))
    assert {"conv_stem.weight", "bn0.weight", "blocks.0.depthwise_conv.weight", "blocks.10.bn2.bias"} <= keys
