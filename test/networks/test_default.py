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

"""The default network of the package is used where no other is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from room import Room

from scene_geo_loc.benchmarks.descriptors.systems import runs_of_the_package
from scene_geo_loc.core.errors import CheckpointError
from scene_geo_loc.mapping.builder import BuilderSettings, MapBuilder
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.networks import default
from scene_geo_loc.networks.architecture.checkpoint import (
    digest,
    imagenet_network,
    load_checkpoint,
    save_checkpoint,
)
from scene_geo_loc.networks.architecture.scene_network import NetworkConfig
from scene_geo_loc.networks.checkpoint import load_network, save_network
from scene_geo_loc.networks.default import default_network

pytestmark = pytest.mark.slow

TRAINED = {"system": "RGBtD", "seed": 3}


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another default, needing nothing but use: of two parts with depth, its input square."""
    config = NetworkConfig(
        descriptor="rgbtd", depth_encoder="efficientnet_lite0", pooling="mac", input_width=64, input_height=64
    )
    path = tmp_path / "default.safetensors"
    save_checkpoint(imagenet_network(config), path, TRAINED)
    monkeypatch.setattr(default, "CHECKPOINT", path)
    return path


def build(out: Path, room: Room, **options: object) -> ReferenceMap:
    builder = MapBuilder(out, BuilderSettings(keyframe_distance_m=0), device="cpu", **options)  # type: ignore[arg-type]
    for frame in room.drive(4):
        builder.add_frame(frame)
    return ReferenceMap.open(builder.finish())


def test_a_map_is_built_with_it_at_the_shape_of_the_camera(shipped: Path, room: Room, tmp_path: Path) -> None:
    opened = build(tmp_path / "map", room)
    network, provenance = load_checkpoint(opened.path / "network.safetensors")
    assert (network.config.input_width, network.config.input_height) == (320, 240)
    assert digest(network) == default_network()[0].with_input_for(160, 120).digest
    assert provenance == TRAINED
    assert opened.index.size == network.config.global_size == 224


def test_one_that_is_not_fitted_is_fitted_on_the_map_and_keeps_what_it_learned(
    shipped: Path, room: Room, tmp_path: Path
) -> None:
    network, _ = default_network()
    save_network(network.with_descriptor_size(16), shipped, TRAINED)
    opened = build(tmp_path / "map", room)
    fitted, provenance = load_network(opened.path / "network.safetensors")
    assert fitted.is_fitted
    assert provenance == {**TRAINED, "fitted_on": ""}
    for key, value in network.tensors.items():
        if key.startswith(("encoder.", "descriptor.second_encoder.", "descriptor.decoder.")):
            np.testing.assert_array_equal(fitted.tensors[key], value)


def test_a_named_network_keeps_its_own_input(shipped: Path, room: Room, tmp_path: Path) -> None:
    opened = build(tmp_path / "map", room, network=shipped)
    assert load_checkpoint(opened.path / "network.safetensors")[0].config.input_height == 64


def test_a_build_with_a_fitted_network_that_stopped_goes_on_to_the_same_descriptors(
    shipped: Path, room: Room, tmp_path: Path
) -> None:
    whole = build(tmp_path / "whole", room)
    first = MapBuilder(tmp_path / "map", BuilderSettings(keyframe_distance_m=0), device="cpu")
    for frame in room.drive(4)[:2]:
        first.add_frame(frame)
    del first  # as a crash would
    resumed = build(tmp_path / "map", room)
    for name in ("index.faiss", "local_features.npy", "cells.npy", "depth.npy"):
        assert (resumed.path / name).read_bytes() == (whole.path / name).read_bytes()


def test_the_benchmark_has_a_row_for_it_beside_the_first_network(shipped: Path) -> None:
    assert [run.system.name for run in runs_of_the_package("cpu")][1:] == ["shipped default"]


def test_a_damaged_one_is_said(shipped: Path) -> None:
    shipped.write_bytes(b"half of it")
    with pytest.raises(CheckpointError, match="is damaged"):
        default_network()
