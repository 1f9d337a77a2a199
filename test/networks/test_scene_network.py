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

"""The scene network: positions of its cells, its fit, and the outputs of one forward pass."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.networks.architecture.checkpoint import imagenet_network
from scene_geo_loc.networks.architecture.descriptors import DESCRIPTORS
from scene_geo_loc.networks.architecture.encoders.efficientnet_lite0 import EfficientNetLite0
from scene_geo_loc.networks.architecture.export import inference_network
from scene_geo_loc.networks.architecture.scene_network import NetworkConfig, SceneNetwork
from scene_geo_loc.networks.forward_pass import INPUT_AREA
from scene_geo_loc.networks.projection import whitened_axes
from scene_geo_loc.networks.runtime.extractor import Extractor, has_contrast

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def network() -> SceneNetwork:
    return imagenet_network(NetworkConfig(input_width=96, input_height=64, descriptor_size=8))


def system(descriptor: str, **fields: object) -> SceneNetwork:
    torch.manual_seed(0)
    config = {"depth_encoder": "efficientnet_lite0", "pooling": "mac", "input_width": 96, "input_height": 64}
    return SceneNetwork(NetworkConfig.model_validate({**config, "descriptor": descriptor, **fields})).eval()


class Tensors(torch.nn.Module):
    """A network without what its system does not give, as tracing wants it."""

    def __init__(self, network: SceneNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(value for value in self.network(images) if value is not None)


@pytest.fixture
def images() -> np.ndarray:
    rng = np.random.default_rng(3)
    coarse = torch.from_numpy(rng.uniform(0, 255, (12, 3, 8, 12)))
    fine = torch.nn.functional.interpolate(coarse, (64, 96), mode="bilinear")
    return fine.permute(0, 2, 3, 1).numpy().astype(np.uint8)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((640, 480), (320, 240)), ((540, 360), (336, 224)), ((1242, 375), (496, 144)), ((480, 640), (240, 320))],
)
def test_the_input_has_the_shape_of_the_images(size: tuple, expected: tuple) -> None:
    config = NetworkConfig().with_input_for(*size)
    assert (config.input_width, config.input_height) == expected
    assert config.input_width * config.input_height <= INPUT_AREA


def test_local_features_have_unit_length_and_a_cell_every_eight_pixels(
    network: SceneNetwork, images: np.ndarray
) -> None:
    features = Extractor(inference_network(network), "cpu").extract(images[0]).local_features
    assert features.shape == (8, 12, 40)
    np.testing.assert_allclose(np.linalg.norm(features, axis=2), 1, atol=1e-5)


def test_cells_are_centred_on_the_pixels_they_cover(network: SceneNetwork) -> None:
    cells = network.cell_centres()
    assert cells.shape == (8 * 12, 2)
    np.testing.assert_array_equal(cells[0], (3.5, 3.5))
    np.testing.assert_array_equal(cells[1], (11.5, 3.5))
    np.testing.assert_array_equal(cells[-1], (91.5, 59.5))


def test_shifting_the_image_by_a_cell_shifts_the_features(network: SceneNetwork, images: np.ndarray) -> None:
    big = np.tile(images[0], (2, 2, 1))
    extractor = Extractor(inference_network(network), "cpu")
    first = extractor.extract(np.ascontiguousarray(big[:64, :96])).local_features
    shifted = extractor.extract(np.ascontiguousarray(big[16:80, 16:112])).local_features
    # Away from the borders, where padding changes them.
    similarity = (first[4:6, 5:9] * shifted[2:4, 3:7]).sum(axis=2)
    assert similarity.min() > 0.9


def test_imagenet_weights_are_those_of_the_wheel() -> None:
    encoder = EfficientNetLite0()
    before = encoder.conv_stem.weight.clone()
    encoder.load_imagenet_weights()
    assert not torch.equal(encoder.conv_stem.weight, before)
    assert sum(p.numel() for p in encoder.parameters()) == 700_768


def test_a_fitted_network_gives_each_image_the_descriptor_of_its_late_map(images: np.ndarray) -> None:
    network = imagenet_network(NetworkConfig(input_width=96, input_height=64, descriptor_size=32))
    extractor = Extractor(inference_network(network), "cpu")
    assert extractor.extract(images[0]).global_descriptor is None
    late = [extractor.extract(image).pooled for image in images]
    extractor.fit(late)
    descriptors = np.stack([extractor.network.describe(one) for one in late])
    np.testing.assert_allclose(np.linalg.norm(descriptors, axis=1), 1, atol=1e-5)
    # On average, different images are less similar than before the projection.
    unprojected = extractor.network.with_descriptor_size(None)
    pooled = np.stack([unprojected.describe(one) for one in late])
    others = ~np.eye(len(images), dtype=bool)
    assert (descriptors @ descriptors.T)[others].mean() < (pooled @ pooled.T)[others].mean()
    np.testing.assert_allclose(extractor.extract(images[0]).global_descriptor, descriptors[0], atol=1e-5)


@pytest.mark.parametrize("descriptor", DESCRIPTORS)
def test_one_pass_gives_what_training_and_matching_see(descriptor: str) -> None:
    network = system(descriptor)
    images = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        features = network(images)
        description = network.describe_images(images)
        local = network.local_features(images, network.encoder(images))
        described = network.global_descriptor(description, local)
        np.testing.assert_array_equal(features.global_descriptor, described)
        np.testing.assert_array_equal(features.late, network.encoder(images).late)
    np.testing.assert_allclose(features.local_features.norm(dim=1), 1, atol=1e-5)
    assert (features.depth is not None) == (descriptor in ("rgbtd", "rgb_depth"))


@pytest.mark.parametrize("descriptor", DESCRIPTORS)
@pytest.mark.parametrize("pooling", ["mac", "gem", "netvlad"])
def test_every_system_can_be_traced(descriptor: str, pooling: str) -> None:
    network = system(descriptor, pooling=pooling)
    network.fit_poolings([torch.randn(8, 3, 64, 96)])
    tensors = Tensors(network)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("error", torch.jit.TracerWarning)
        traced = torch.jit.trace(tensors, torch.randn(1, 3, 64, 96), check_trace=False)
        images = torch.randn(1, 3, 64, 96)
        for ours, theirs in zip(traced(images), tensors(images), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_network_is_fitted_as_soon_as_nothing_in_it_is_left_to_fit() -> None:
    assert system("rgbtd", pooling="mac").is_fitted
    assert not system("rgb", pooling="mac", descriptor_size=4).is_fitted
    network = system("rgbtd", pooling="netvlad")
    assert not network.is_fitted
    network.fit_poolings([torch.randn(8, 3, 64, 96)])
    assert network.is_fitted
    smaller = network.with_descriptor_size(4)
    assert not smaller.is_fitted
    smaller.fit_projection(torch.randn(9, network.config.system_size).numpy())
    assert smaller.is_fitted
    assert smaller.with_descriptor_size(None).is_fitted


def test_fitting_the_poolings_leaves_the_batch_norms_alone() -> None:
    network = system("rgbtd", pooling="netvlad").train()
    before = {name: value.clone() for name, value in network.named_buffers() if "running" in name}
    network.fit_poolings([torch.randn(8, 3, 64, 96)])
    assert network.training
    assert before
    for name, value in network.named_buffers():
        if name in before:
            np.testing.assert_array_equal(value, before[name])


def test_there_is_nothing_to_fit_a_pooling_to_without_images() -> None:
    with pytest.raises(SceneGeoLocError, match="0 local features < 64 clusters"):
        system("rgb", pooling="netvlad").fit_poolings([])


@pytest.mark.parametrize("images", [20, 300])
def test_a_projection_is_to_the_whitened_axes_and_rows_without_one_are_zero(images: int) -> None:
    rng = np.random.default_rng(5)
    network = system("rgbtd", descriptor_size=30)
    joint = rng.normal(size=(images, network.config.system_size)).astype(np.float32)
    network.fit_projection(joint)
    assert network.is_fitted
    assert network.projection is not None
    axes = whitened_axes(joint, 30)
    np.testing.assert_array_equal(network.projection.weight[: len(axes)].detach(), axes)
    assert not network.projection.weight[len(axes) :].any()
    assert len(axes) == min(images, 30)


def test_a_projection_is_fitted_only_where_there_is_one() -> None:
    with pytest.raises(SceneGeoLocError, match="no projection"):
        system("rgb").fit_projection(np.zeros((3, 112), np.float32))
    for size in (0, 113):
        with pytest.raises(SceneGeoLocError, match="between 1 and 112"):
            system("rgb").with_descriptor_size(size)


@pytest.mark.parametrize("descriptor", ["rgbtd", "hallucination"])
def test_both_parts_are_fitted_to_their_own_late_maps(descriptor: str) -> None:
    network = system(descriptor, pooling="netvlad", depth_encoder="alexnet", descriptor_size=6)
    rng = np.random.default_rng(0)
    shapes = [(4, 5, encoder.late.channels) for encoder in network.encoders]
    late = [[rng.normal(size=shape).astype(np.float32) for shape in shapes] for _ in range(12)]
    fitted = inference_network(network).fit(late)
    assert fitted.is_fitted
    described = np.stack([fitted.describe(maps) for maps in late])
    np.testing.assert_allclose(np.linalg.norm(described, axis=1), 1, atol=1e-5)
    for number in (0, 1):
        assert fitted.tensors[f"descriptor.poolings.{number}.centres"].any()


@pytest.mark.parametrize("encoder", ["efficientnet_lite0", "alexnet"])
def test_the_same_network_takes_images_of_another_shape(encoder: str) -> None:
    network = system("rgbtd", encoder=encoder)
    wide = network.with_input_for(1242, 375)
    assert (wide.config.input_width, wide.config.input_height) == (496, 144)
    assert wide.config.encoder == encoder
    assert wide.cell_centres().max(axis=0).tolist() > network.cell_centres().max(axis=0).tolist()
    images = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        np.testing.assert_array_equal(wide(images).global_descriptor, network(images).global_descriptor)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"encoder": "resnet9000"}, "unknown encoder 'resnet9000'; known are efficientnet_lite0, alexnet"),
        ({"depth_encoder": "x"}, "unknown depth_encoder 'x'"),
        ({"pooling": "max"}, "unknown pooling 'max'; known are netvlad, centred_netvlad, mac, gem"),
        (
            {"descriptor": "rgbd"},
            "unknown descriptor 'rgbd'; known are rgb, rgb_depth, rgb_plus, rgbtd, hallucination",
        ),
        ({"colouring": "hot"}, "unknown colouring 'hot'; known are jet, smooth"),
        ({"fusion": "sum"}, "unknown fusion 'sum'; known are concatenate, gated"),
        ({"fusion": "gated"}, "fusion gated needs two parts and rgb has one"),
        ({"uncertainty": True, "descriptor": "rgb_plus"}, "inferred depth and rgb_plus infers none"),
        (
            {"pooling": "mac", "descriptor_size": 113},
            "113 is more than the 112 numbers of rgb with mac",
        ),
        ({"descriptor_size": 0}, "greater than or equal to 1"),
        ({"input_width": 16}, "greater than or equal to 32"),
    ],
)
def test_what_is_unknown_or_impossible_is_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        NetworkConfig.model_validate(fields)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_an_image_of_one_colour_has_no_contrast(value: int) -> None:
    assert not has_contrast(np.full((48, 64, 3), value, np.uint8))


def test_a_picture_has_contrast(images: np.ndarray) -> None:
    assert has_contrast(images[0])
