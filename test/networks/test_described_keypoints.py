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
"""The strongest keypoints of an image, and the part of the global descriptor that they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from room import Room

from scene_geo_loc.core.errors import CheckpointError
from scene_geo_loc.networks.architecture import local_features
from scene_geo_loc.networks.architecture.checkpoint import imagenet_network, scene_network_from
from scene_geo_loc.networks.architecture.export import export_onnx, inference_network
from scene_geo_loc.networks.architecture.local_features import LocalMaps
from scene_geo_loc.networks.architecture.network_config import NetworkConfig
from scene_geo_loc.networks.architecture.scene_network import SceneNetwork
from scene_geo_loc.networks.architecture.xfeat import XFeatNetwork
from scene_geo_loc.networks.checkpoint import load_network, save_network
from scene_geo_loc.networks.inference_network import InferenceNetwork
from scene_geo_loc.networks.runtime.extractor import Extractor
from scene_geo_loc.networks.strongest_cells import strongest_cells
from scene_geo_loc.training.common.initialisation import network_for_scenes
from scene_geo_loc.training.common.protocols import Freeze, Task
from scene_geo_loc.training.keypoints.trainer import start_keypoints

CONFIG = NetworkConfig(
    input_width=160,
    input_height=128,
    local_features="keypoints",
    describes_keypoints=True,
    descriptor_size=16,
)


@given(st.integers(1, 40), st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_the_cells_with_the_best_keypoints_are_taken_by_the_layers_too(
    rows: int, columns: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows, columns, 3)).astype(np.float32)
    scores = rng.permutation(64 * rows * columns).reshape(8 * rows, 8 * columns).astype(np.float32)
    found = strongest_cells(features, scores)
    best = scores.reshape(rows, 8, columns, 8).max(axis=(1, 3)).ravel()
    chosen = np.argsort(best)[::-1][: max(1, min(400, rows * columns // 4))]
    expected = features.reshape(-1, 3)[chosen]
    np.testing.assert_array_equal(found.features[:, 0], expected)
    centres = np.stack(np.divmod(chosen, columns)[::-1], axis=1) + 0.5
    np.testing.assert_allclose(found.places, centres / [columns, rows], rtol=1e-6)
    local = LocalMaps(torch.from_numpy(features).permute(2, 0, 1)[None], torch.from_numpy(scores)[None])
    np.testing.assert_array_equal(local_features.strongest_cells(local)[0, :, :, 0].T, expected)


def test_hidden_cells_come_last_and_without_numbers() -> None:
    features = np.ones((4, 8, 2), np.float32) * np.arange(8, dtype=np.float32)[:, None]
    visible = np.zeros((32, 64), bool)
    visible[:, 24:32] = True
    found = strongest_cells(features, np.ones((32, 64), np.float32), visible).features[:, 0, 0]
    np.testing.assert_array_equal(found, [3] * 4 + [np.nan] * 4)


@pytest.fixture(scope="module")
def fitted(room: Room) -> InferenceNetwork:
    """An untrained network that describes keypoints, fitted to images of a room."""
    extractor = Extractor(inference_network(imagenet_network(CONFIG)), "cpu")
    extractor.fit([extractor.extract(room.frame(x, 0.5, 40 * x).image).pooled for x in range(-3, 4)])
    return extractor.network


@pytest.mark.slow
def test_keypoints_are_one_more_part_of_the_descriptor(fitted: InferenceNetwork, room: Room) -> None:
    image = room.frame(0.3, 1.0, 20.0).image
    features = Extractor(fitted, "cpu").extract(image)
    assert [pooled.shape for pooled in features.pooled] == fitted.pooled_shapes()
    assert fitted.system_size == 64 * 112 + 32 * 64
    with_others = fitted.describe((features.pooled[0], np.roll(features.pooled[1], 1, axis=2)))
    assert features.global_descriptor is not None
    assert with_others @ features.global_descriptor < 0.99
    hidden = features.pooled[1].copy()
    hidden[:40] = np.nan
    assert np.isfinite(fitted.describe((features.pooled[0], hidden))).all()


@pytest.mark.slow
def test_the_layers_give_the_same_descriptor_also_as_one_exported_file(
    fitted: InferenceNetwork, room: Room, tmp_path: Path
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    import cv2

    image = np.asarray(cv2.resize(room.frame(0.3, 1.0, 20.0).image, (160, 128)), np.uint8)
    ours = Extractor(fitted, "cpu").extract(image).global_descriptor
    layers = scene_network_from(fitted)
    with torch.inference_mode():
        told = layers(layers.normalise(torch.from_numpy(image)[None].float()))
    np.testing.assert_allclose(told.global_descriptor[0], ours, atol=1e-3)
    names = export_onnx(layers, tmp_path / "it.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "it.onnx", providers=["CPUExecutionProvider"])
    outputs = dict(zip(names, session.run(names, {"image": image[None].astype(np.float32)}), strict=True))
    np.testing.assert_allclose(outputs["global_descriptor"][0], ours, atol=1e-3)


@pytest.mark.slow
def test_the_layers_are_fitted_to_keypoints_too() -> None:
    network = imagenet_network(CONFIG.model_copy(update={"descriptor_size": None}))
    assert not network.is_fitted
    network.fit_poolings([torch.randn(4, 3, 128, 160)])
    assert network.is_fitted
    assert network.keypoint_pooling is not None
    assert network.keypoint_pooling.centres.shape == (32, 64)


def test_only_a_network_that_finds_keypoints_describes_them() -> None:
    with pytest.raises(ValidationError, match="local features that find keypoints, and early find none"):
        NetworkConfig(describes_keypoints=True)


@pytest.mark.slow
def test_a_network_without_the_pooling_that_it_names_is_refused(
    fitted: InferenceNetwork, tmp_path: Path
) -> None:
    path = tmp_path / "network.safetensors"
    save_network(fitted, path, {})
    assert load_network(path)[0].digest == fitted.digest
    tensors = {name: value for name, value in fitted.tensors.items() if "keypoint_pooling" not in name}
    save_network(replace(fitted, tensors=tensors), path, {})
    with pytest.raises(CheckpointError, match="pooling of keypoints is missing"):
        load_network(path)


@pytest.mark.slow
def test_a_network_written_before_keypoints_were_described_stays_the_same(tmp_path: Path) -> None:
    network = inference_network(imagenet_network(NetworkConfig(local_features="keypoints")))
    config = {name: value for name, value in network.config.items() if name != "describes_keypoints"}
    path = tmp_path / "network.safetensors"
    save_network(replace(network, config=config), path, {})
    assert load_network(path)[0].digest == network.digest
    assert not load_network(path)[0].signature.describes_keypoints


@pytest.mark.slow
def test_with_features_of_cells_in_place_of_keypoints_the_descriptor_is_fitted_anew(
    fitted: InferenceNetwork, tmp_path: Path
) -> None:
    save_network(fitted, path := tmp_path / "network.safetensors", {})
    changes: dict[str, str | bool] = {"local_features": "learned"}
    changed, _ = network_for_scenes(str(path), Freeze.ENCODER, 0, changes, (Task.MATCHING,))
    assert not changed.config.describes_keypoints
    assert not changed.is_fitted
    assert changed.config.system_size == 64 * 112
    before = scene_network_from(fitted).encoder.state_dict()
    for name, value in changed.encoder.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize(("pooling", "describes"), [("mac", False), ("netvlad", True)])
def test_keypoints_that_are_trained_join_a_descriptor_that_is_still_to_be_fitted(
    pooling: str, describes: bool
) -> None:
    before = SceneNetwork(NetworkConfig(input_width=128, input_height=96, pooling=pooling))
    started = start_keypoints(before, XFeatNetwork())
    assert (before.is_fitted, started.config.describes_keypoints) == (not describes, describes)
    assert started.is_fitted == before.is_fitted
