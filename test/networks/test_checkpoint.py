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

"""Checkpoints: round trips, older formats, and errors for unusable files."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from scene_geo_loc.core.errors import CheckpointError, SceneGeoLocError
from scene_geo_loc.networks.architecture.checkpoint import (
    digest,
    imagenet_network,
    load_checkpoint,
    save_checkpoint,
)
from scene_geo_loc.networks.architecture.descriptors import DESCRIPTORS
from scene_geo_loc.networks.architecture.scene_network import NetworkConfig, SceneNetwork
from scene_geo_loc.networks.checkpoint import GRAPH, METADATA_KEY

SMALL = NetworkConfig(input_width=96, input_height=64, descriptor_size=8)


def system(descriptor: str, **fields: object) -> SceneNetwork:
    config = {"depth_encoder": "efficientnet_lite0", "input_width": 96, "input_height": 64, **fields}
    return SceneNetwork(NetworkConfig.model_validate({**config, "descriptor": descriptor})).eval()


@pytest.fixture(scope="module")
def network() -> SceneNetwork:
    return SceneNetwork(SMALL).eval()


@pytest.mark.parametrize("descriptor", DESCRIPTORS)
@pytest.mark.parametrize("fields", [{"pooling": "mac"}, {"pooling": "gem", "descriptor_size": 16}, {}])
def test_a_checkpoint_gives_the_same_network_back(
    descriptor: str, fields: dict[str, object], tmp_path: Path
) -> None:
    network = system(descriptor, **fields)
    save_checkpoint(network, tmp_path / "deep" / "a.safetensors", {"trained_on": "nothing"})
    again, provenance = load_checkpoint(tmp_path / "deep" / "a.safetensors")
    assert provenance == {"trained_on": "nothing"}
    assert again.config == network.config
    assert digest(again) == digest(network)
    assert again.is_fitted == network.is_fitted
    images = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        ours, theirs = again(images), network(images)
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_array_equal(a, b)


def test_equal_networks_give_equal_files(network: SceneNetwork, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_checkpoint(network, tmp_path / name, {})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_network_of_the_first_format_still_loads_under_the_digest_that_maps_know(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    whole = SceneNetwork(SMALL)
    whole.fitted.fill_(True)
    save_checkpoint(whole, path, {})
    # As the first format was: the pooling beside the encoder, a projection without bias, five fields.
    with safe_open(str(path), framework="pt") as file:
        shapes = {
            key.replace("descriptor.poolings.0.", "pooling."): file.get_tensor(key)
            for key in file.keys()  # noqa: SIM118
            if key not in ("projection.bias", GRAPH)
        }
    tensors = {
        key: torch.full_like(value, i % 7 / 8 + 0.5)
        if value.dtype.is_floating_point
        else torch.ones_like(value)
        for i, (key, value) in enumerate(sorted(shapes.items()))
    }
    config = {
        "encoder": "efficientnet_lite0",
        "pooling": "netvlad",
        "input_width": 96,
        "input_height": 64,
        "descriptor_size": 8,
    }
    description = {"format_version": 1, "config": config, "provenance": {"fitted_on": "a drive"}}
    save_file(tensors, str(path), {METADATA_KEY: json.dumps(description)})
    network, provenance = load_checkpoint(path)
    assert provenance == {"fitted_on": "a drive"}
    assert network.config == SMALL
    assert network.is_fitted
    # The digest that the version before the second format gave this network.
    assert digest(network) == "f2845a9449160f7fbfd450346c32e7971c9e1aa15109af151336b8b66bb8b098"
    save_checkpoint(network, tmp_path / "b.safetensors", {})
    assert digest(load_checkpoint(tmp_path / "b.safetensors")[0]) == digest(network)


def test_a_projection_that_is_not_fitted_takes_no_space(tmp_path: Path) -> None:
    network = SceneNetwork(SMALL)
    save_checkpoint(network, tmp_path / "a.safetensors", {})
    with safe_open(str(tmp_path / "a.safetensors"), framework="pt") as file:
        assert not any(key.startswith("projection") for key in file.keys())  # noqa: SIM118
    loaded, _ = load_checkpoint(tmp_path / "a.safetensors")
    assert not loaded.is_fitted
    assert digest(loaded) == digest(network)


@pytest.mark.parametrize("name", ["encoder.conv_stem.weight", "projection.bias", "fitted"])
def test_one_different_number_changes_the_digest(network: SceneNetwork, name: str, tmp_path: Path) -> None:
    save_checkpoint(network, tmp_path / "a.safetensors", {})
    other, _ = load_checkpoint(tmp_path / "a.safetensors")
    before = digest(other)
    first = other.state_dict()[name].view(-1)[:1]
    first.copy_(first + 1)
    assert digest(other) != before


def test_networks_that_differ_in_a_switch_alone_have_different_digests() -> None:
    jet, smooth = system("rgbtd", pooling="mac"), system("rgbtd", pooling="mac", colouring="smooth")
    smooth.load_state_dict(jet.state_dict())
    assert digest(jet) != digest(smooth)


def test_encoders_begin_with_the_weights_of_files_that_are_named(tmp_path: Path) -> None:
    path, trained = tmp_path / "trained.safetensors", system("rgb")
    save_checkpoint(trained, path, {})
    source = trained.encoder
    network = imagenet_network(system("hallucination").config, {source.name: path})
    for encoder in network.encoders:
        np.testing.assert_array_equal(encoder.conv_stem.weight.detach(), source.conv_stem.weight.detach())  # type: ignore[operator]


def test_the_seed_decides_what_is_not_trained_and_nothing_else() -> None:
    config = system("rgbtd").config
    first, again, other = (imagenet_network(config, seed=seed) for seed in (1, 1, 2))
    assert digest(first) == digest(again) != digest(other)
    differing = {
        name
        for (name, a), b in zip(first.named_parameters(), other.parameters(), strict=True)
        if not torch.equal(a, b)
    }
    assert {name.split(".")[1] for name in differing} == {"decoder", "poolings"}


def test_making_a_network_leaves_the_random_numbers_of_others_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    imagenet_network(SMALL)
    np.testing.assert_array_equal(torch.rand(3), expected)


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
    with pytest.raises(CheckpointError, match="not a checkpoint of scene_geo_loc"):
        load_checkpoint(tmp_path / "x.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("version", "config", "said"),
    [
        (99, {}, "version 99 and this release reads up to 3: update"),
        (2, {"descriptor": "telepathy"}, "names an unknown architecture"),
        (2, {"encoder": "alexnet"}, "does not fit its architecture"),
        (1, {}, "does not fit its architecture"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_sentence(
    version: int, config: dict[str, str], said: str, tmp_path: Path
) -> None:
    description = {"format_version": version, "config": config, "provenance": {}}
    save_file({"x": torch.zeros(2)}, str(tmp_path / "x.safetensors"), {METADATA_KEY: json.dumps(description)})
    with pytest.raises(CheckpointError, match=said) as caught:
        load_checkpoint(tmp_path / "x.safetensors")
    assert "\n" not in str(caught.value)


def test_a_place_that_cannot_be_written_is_said(network: SceneNetwork, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SceneGeoLocError, match="cannot be written"):
        save_checkpoint(network, tmp_path / "file" / "a.safetensors", {})


def test_a_full_disk_is_said_and_leaves_the_checkpoint_before(
    network: SceneNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.safetensors"
    save_checkpoint(network, path, {})
    before = path.read_bytes()

    def fill_up(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("scene_geo_loc.core.atomic.Path.write_bytes", fill_up)
    with pytest.raises(SceneGeoLocError, match="No space left on device"):
        save_checkpoint(network, path, {"new": True})
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["a.safetensors"]
