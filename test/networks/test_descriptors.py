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

"""Descriptor systems: their sizes, the input of their parts, and the weights that each loss trains."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scene_geo_loc.networks.architecture.checkpoint import imagenet_network
from scene_geo_loc.networks.architecture.colouring import jet
from scene_geo_loc.networks.architecture.descriptors import DESCRIPTORS, FUSIONS, Description
from scene_geo_loc.networks.architecture.descriptors.hallucination import Hallucination
from scene_geo_loc.networks.architecture.scene_network import NetworkConfig, SceneNetwork

pytestmark = pytest.mark.slow

SIZE = (64, 96)


def config_of(descriptor: str, **fields: object) -> NetworkConfig:
    config = {"encoder": "efficientnet_lite0", "depth_encoder": "efficientnet_lite0", "pooling": "gem"}
    return NetworkConfig.model_validate({**config, "descriptor": descriptor, **fields})


def network(descriptor: str, **fields: object) -> SceneNetwork:
    torch.manual_seed(0)
    return SceneNetwork(config_of(descriptor, **fields)).eval()


def images(count: int = 2) -> Tensor:
    return torch.randn(count, 3, *SIZE, generator=torch.Generator().manual_seed(1))


def reached(network: SceneNetwork, loss: Tensor) -> set[str]:
    """The parts of a network that the gradient of a loss reaches."""
    head = {id(p) for module in network.encoder.head_modules() for p in module.parameters()}
    trunk = [p for p in network.encoder.parameters() if id(p) not in head]
    parts: dict[str, list[nn.Parameter]] = {
        "trunk": trunk,
        "head": [p for p in network.encoder.parameters() if id(p) in head],
    }
    for name, module in network.descriptor.named_children():
        if isinstance(module, nn.ModuleList):
            parts |= {f"pooling {i}": list(one.parameters()) for i, one in enumerate(module)}
        else:
            parts[name] = list(module.parameters())
    network.zero_grad(set_to_none=True)
    loss.backward()
    return {name for name, some in parts.items() if any(p.grad is not None and p.grad.any() for p in some)}


def some(tensor: Tensor | None) -> Tensor:
    """A loss of a tensor whose gradient is not the same everywhere."""
    assert tensor is not None
    return (tensor * torch.linspace(0.5, 1, tensor[0].numel()).view_as(tensor[0])).square().sum()


LOSSES: dict[str, Callable[[Description], Tensor]] = {
    "image": lambda description: some(description.parts[0]),
    "second": lambda description: some(description.parts[1]),
    "joint": lambda description: some(description.joint),
    "depth": lambda description: some(description.depth),
    "log_scale": lambda description: some(description.log_scale),
    "hallucinated": lambda description: some(description.hallucinated),
}
IMAGE = {"head", "pooling 0"}
SECOND = {"second_encoder", "pooling 1"}


@pytest.mark.parametrize(
    ("descriptor", "fields", "loss", "expected"),
    [
        ("rgb", {}, "image", IMAGE),
        ("rgb", {}, "joint", IMAGE),
        ("rgbtd", {}, "image", IMAGE),
        ("rgbtd", {}, "second", SECOND),
        ("rgbtd", {}, "joint", IMAGE | SECOND),
        ("rgbtd", {}, "depth", {"decoder"}),
        ("rgbtd", {"uncertainty": True}, "log_scale", {"decoder"}),
        ("rgbtd", {"colouring": "smooth"}, "second", SECOND | {"decoder"}),
        ("rgbtd", {"colouring": "smooth"}, "depth", {"decoder"}),
        ("rgbtd", {"fusion": "gated"}, "joint", IMAGE | SECOND | {"fusion"}),
        ("rgb_plus", {}, "image", IMAGE),
        ("rgb_plus", {}, "second", SECOND | {"decoder"}),
        ("rgb_plus", {}, "joint", IMAGE | SECOND | {"decoder"}),
        ("hallucination", {}, "image", IMAGE),
        ("hallucination", {}, "second", SECOND),
        ("hallucination", {}, "joint", IMAGE | SECOND),
        ("hallucination", {}, "hallucinated", {"second_encoder"}),
    ],
)
def test_gradients_go_where_the_paper_says_and_nowhere_else(
    descriptor: str, fields: dict[str, object], loss: str, expected: set[str]
) -> None:
    # With weights of ImageNet: the deep maps of random ones are so faint that GeM cuts them off.
    one = imagenet_network(config_of(descriptor, **fields))
    assert reached(one, LOSSES[loss](one.describe_images(images()))) == expected


def test_the_trunk_learns_only_where_it_is_asked_to() -> None:
    one = network("rgbtd")
    assert reached(one, some(one.describe_images(images(), trunk_grad=True).parts[0])) == IMAGE | {"trunk"}
    # The decoder is cut off from the encoder all the same.
    assert reached(one, some(one.describe_images(images(), trunk_grad=True).depth)) == {"decoder"}


@pytest.mark.parametrize(
    ("descriptor", "decoder_by"),
    [("rgb", None), ("rgbtd", "depth loss"), ("rgb_plus", "triplet losses"), ("hallucination", None)],
)
def test_each_optimiser_has_the_weights_that_its_losses_train(
    descriptor: str, decoder_by: str | None
) -> None:
    one = network(descriptor)
    by_triplets = {id(p) for p in one.descriptor_parameters()}
    by_depth = {id(p) for p in one.decoder_parameters()}
    decoder = {id(p) for name, p in one.named_parameters() if name.startswith("descriptor.decoder.")}
    assert len(by_triplets) == len(one.descriptor_parameters())
    assert not by_triplets & by_depth
    assert by_depth == (decoder if decoder_by == "depth loss" else set())
    assert (decoder <= by_triplets) == (decoder_by != "depth loss")
    trunk = {name for name, p in one.named_parameters() if id(p) not in by_triplets | by_depth}
    assert trunk
    assert all(name.startswith(("encoder.conv_stem", "encoder.bn0", "encoder.blocks")) for name in trunk)


@pytest.mark.parametrize(
    ("descriptor", "encoder", "millions"),
    [("rgb", "alexnet", 2.5), ("rgb_plus", "alexnet", 7.9), ("rgbtd", "alexnet", 7.9)],
)
def test_the_systems_are_as_large_as_the_paper_s(descriptor: str, encoder: str, millions: float) -> None:
    # ICRA paper, table II, with MAC.
    one = network(descriptor, encoder=encoder, depth_encoder="alexnet", pooling="mac")
    assert round(sum(p.numel() for p in one.parameters()) / 1e6, 1) == millions


@pytest.mark.parametrize("descriptor", DESCRIPTORS)
@pytest.mark.parametrize("pooling", ["mac", "netvlad"])
def test_parts_and_joint_descriptors_have_unit_length(descriptor: str, pooling: str) -> None:
    one = network(descriptor, pooling=pooling)
    one.fit_poolings([images(8)])
    with torch.no_grad():
        description = one.describe_images(images(3))
    for unit in (*description.parts, description.joint):
        np.testing.assert_allclose(unit.norm(dim=1), 1, atol=1e-5)
    assert description.joint.shape == (3, one.config.system_size)
    assert sum(part.shape[1] for part in description.parts) == one.config.system_size


@pytest.mark.parametrize(
    ("descriptor", "has_depth"), [("rgb", False), ("rgb_depth", True), ("rgbtd", True), ("rgb_plus", False)]
)
def test_only_what_learns_depth_tells_it(descriptor: str, has_depth: bool) -> None:
    depth = network(descriptor).describe_images(images()).depth
    assert (None if depth is None else tuple(depth.shape)) == ((2, 1, *SIZE) if has_depth else None)


def test_the_depth_encoder_sees_the_coloured_depth_as_an_image() -> None:
    one = network("rgbtd", depth_encoder="alexnet")
    with torch.no_grad():
        description = one.describe_images(images())
        assert description.depth is not None
        second, pooling = one.encoders[1], one.descriptor.poolings[1]
        pixels = 255 * jet(description.depth).permute(0, 2, 3, 1)
        seen = (pixels - torch.tensor(second.mean)) / torch.tensor(second.std)
        expected = pooling(second(seen.permute(0, 3, 1, 2)).late)
    np.testing.assert_allclose(description.parts[1], expected, atol=1e-5)


@pytest.mark.parametrize("depth_encoder", ["alexnet", "efficientnet_lite0"])
def test_the_hallucination_encoder_sees_the_image_normalised_as_its_own(depth_encoder: str) -> None:
    one = network("hallucination", depth_encoder=depth_encoder)
    alone = network("rgb", encoder=depth_encoder)
    hallucination = one.descriptor
    assert isinstance(hallucination, Hallucination)
    hallucination.start_from(alone.encoder, alone.descriptor.poolings[0])  # type: ignore[arg-type]
    pixels = torch.rand(2, *SIZE, 3) * 255
    with torch.no_grad():
        ours = one.describe_images(one.normalise(pixels))
        maps = alone.encoder(alone.normalise(pixels))
        theirs = alone.describe_images(alone.normalise(pixels)).joint
    np.testing.assert_allclose(ours.hallucinated, maps.late, atol=1e-3 * maps.late.abs().max())
    np.testing.assert_allclose(ours.parts[1], theirs, atol=1e-4)


def test_untrained_gates_weigh_all_parts_alike() -> None:
    parts = tuple(torch.nn.functional.normalize(torch.randn(4, size), dim=1) for size in (3, 5))
    gated, plain = FUSIONS["gated"]((3, 5)), FUSIONS["concatenate"]((3, 5))
    np.testing.assert_allclose(gated(parts).detach(), plain(parts), atol=1e-6)


def test_gates_part_the_weight_of_an_image_among_its_parts() -> None:
    torch.manual_seed(0)
    parts = tuple(torch.nn.functional.normalize(torch.randn(4, size), dim=1) for size in (3, 5))
    gated = FUSIONS["gated"]((3, 5))
    torch.nn.init.normal_(gated.gates.weight, std=3.0)  # type: ignore[arg-type]
    joint = gated(parts).detach()
    np.testing.assert_allclose(joint.norm(dim=1), 1, atol=1e-5)
    assert joint[:, :3].norm(dim=1).std() > 0.1


def test_a_closed_gate_leaves_the_gradient_finite() -> None:
    parts = tuple(torch.nn.functional.normalize(torch.randn(4, size), dim=1) for size in (3, 5))
    gated = FUSIONS["gated"]((3, 5))
    with torch.no_grad():
        gated.gates.bias.copy_(torch.tensor([500.0, -500.0]))  # type: ignore[operator]
    joint = gated(parts)
    np.testing.assert_allclose(joint[:, 3:].detach(), 0, atol=1e-6)
    joint.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in gated.parameters())
