"""The network: where its cells lie, what it is fitted on, and the file that it lives in."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from scene_geo_loc.errors import CheckpointError
from scene_geo_loc.networks.checkpoint import (
    METADATA_KEY,
    digest,
    imagenet_network,
    load_checkpoint,
    save_checkpoint,
)
from scene_geo_loc.networks.encoders.efficientnet_lite0 import EfficientNetLite0
from scene_geo_loc.networks.extractor import Extractor, has_contrast
from scene_geo_loc.networks.pooling import NetVLAD
from scene_geo_loc.networks.network_config import INPUT_AREA
from scene_geo_loc.networks.scene_network import NetworkConfig, SceneNetwork


@pytest.fixture(scope="module")
def network() -> SceneNetwork:
    return imagenet_network(NetworkConfig(input_width=96, input_height=64, descriptor_size=8))


@pytest.fixture
def images() -> np.ndarray:
    rng = np.random.default_rng(3)
    coarse = torch.from_numpy(rng.uniform(0, 255, (12, 3, 8, 12)))
    fine = torch.nn.functional.interpolate(coarse, (64, 96), mode="bilinear")
    return fine.permute(0, 2, 3, 1).numpy().astype(np.uint8)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((640, 480), (320, 240)), ((540, 360), (336, 224)), ((1242, 375), (480, 160)), ((480, 640), (240, 320))],
)
def test_the_input_has_the_shape_of_the_images(size: tuple, expected: tuple) -> None:
    config = NetworkConfig.for_images(*size)
    assert (config.input_width, config.input_height) == expected
    assert config.input_width * config.input_height <= INPUT_AREA


def test_local_features_have_unit_length_and_a_cell_every_eight_pixels(
    network: SceneNetwork, images: np.ndarray
) -> None:
    features = Extractor(network, "cpu").extract(images[0]).local_features
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
    extractor = Extractor(network, "cpu")
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


def test_netvlad_is_the_soft_assigned_residuals_to_the_centres() -> None:
    torch.manual_seed(0)
    pooling = NetVLAD(3)
    pooling.fit(np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32), 40.0)
    features = torch.randn(1, 3, 2, 2)
    x = torch.nn.functional.normalize(features[0].flatten(1).T, dim=1).double()
    centres = pooling.centres.double()
    # The assignment by its definition: a softmax of -alpha times the squared distances.
    weights = (-40.0 * torch.cdist(x, centres).square()).softmax(dim=1)
    residuals = torch.stack([(weights[:, k, None] * (x - centres[k])).sum(0) for k in range(64)])
    expected = torch.nn.functional.normalize(torch.nn.functional.normalize(residuals, dim=1).flatten(), dim=0)
    np.testing.assert_allclose(pooling(features)[0].detach(), expected.detach(), atol=1e-4)


def test_fitting_keeps_the_cosines_between_the_images_fitted_on(images: np.ndarray) -> None:
    network = imagenet_network(NetworkConfig(input_width=96, input_height=64, descriptor_size=32))
    extractor = Extractor(network, "cpu")
    assert extractor.extract(images[0]).global_descriptor is None
    late = [extractor.extract(image).late for image in images]
    network.fit(late)
    descriptors = np.stack([extractor.describe(one) for one in late])
    pooled = torch.cat([network.descriptor.poolings[0](torch.from_numpy(one)[None]) for one in late]).detach().numpy()
    np.testing.assert_allclose(descriptors @ descriptors.T, pooled @ pooled.T, atol=1e-4)
    np.testing.assert_allclose(extractor.extract(images[0]).global_descriptor, descriptors[0], atol=1e-5)


def test_a_checkpoint_gives_the_same_network_back(
    network: SceneNetwork, images: np.ndarray, tmp_path: Path
) -> None:
    save_checkpoint(network, tmp_path / "a.safetensors", {"trained_on": "nothing"})
    again, provenance = load_checkpoint(tmp_path / "a.safetensors")
    assert provenance == {"trained_on": "nothing"}
    assert digest(again) == digest(network)
    np.testing.assert_array_equal(
        Extractor(again, "cpu").extract(images[0]).late, Extractor(network, "cpu").extract(images[0]).late
    )


def test_one_different_weight_changes_the_digest(network: SceneNetwork, tmp_path: Path) -> None:
    save_checkpoint(network, tmp_path / "a.safetensors", {})
    other, _ = load_checkpoint(tmp_path / "a.safetensors")
    with torch.no_grad():
        other.encoder.conv_stem.weight[0, 0, 0, 0] += 1e-3
    assert digest(other) != digest(network)


def test_a_missing_checkpoint_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        load_checkpoint(tmp_path / "none.safetensors")


def test_a_truncated_checkpoint_is_said(network: SceneNetwork, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_checkpoint(network, path, {})
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(2)}, str(tmp_path / "x.safetensors"))
    with pytest.raises(CheckpointError, match="no checkpoint of scene_geo_loc"):
        load_checkpoint(tmp_path / "x.safetensors")


def test_a_newer_format_is_refused(network: SceneNetwork, tmp_path: Path) -> None:
    description = {"format_version": 99, "config": {}, "provenance": {}}
    save_file({"x": torch.zeros(2)}, str(tmp_path / "x.safetensors"), {METADATA_KEY: json.dumps(description)})
    with pytest.raises(CheckpointError, match="update scene_geo_loc"):
        load_checkpoint(tmp_path / "x.safetensors")


def test_an_unknown_encoder_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ValidationError, match="efficientnet_lite0"):
        NetworkConfig(encoder="resnet9000")


@pytest.mark.parametrize("value", [0, 128, 255])
def test_an_image_of_one_colour_has_no_contrast(value: int) -> None:
    assert not has_contrast(np.full((48, 64, 3), value, np.uint8))


def test_a_picture_has_contrast(images: np.ndarray) -> None:
    assert has_contrast(images[0])
