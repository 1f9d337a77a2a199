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

"""Keypoints of the network's own: where they are found, and maps of them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from cells_network import cells_network
from room import Room

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.geometry.pose import position_error_m
from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.mapping.builder import BuilderSettings, MapBuilder
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.matchers.features import LocalFeatures, unit
from scene_geo_loc.matchers.scene_keypoints import (
    MIN_SCORE,
    SceneKeypointMatcher,
    sampled,
    strongest_keypoints,
)
from scene_geo_loc.matchers.storage import KeypointStorage
from scene_geo_loc.networks.architecture.export import inference_network


def test_keypoints_are_the_local_maxima_strongest_first() -> None:
    scores = np.zeros((40, 60), np.float32)
    for (x, y), score in {(10, 12): 0.3, (30, 20): 0.9, (50, 5): 0.6, (20, 30): MIN_SCORE / 2}.items():
        scores[y, x] = score
    np.testing.assert_allclose(strongest_keypoints(scores, 10), [(30, 20), (50, 5), (10, 12)])
    np.testing.assert_allclose(strongest_keypoints(scores, 2), [(30, 20), (50, 5)])
    assert strongest_keypoints(np.zeros((8, 8), np.float32), 10).shape == (0, 2)


def test_a_keypoint_lies_between_pixels_where_its_scores_do() -> None:
    scores = np.zeros((20, 20), np.float32)
    scores[9, 5:8] = (0.1, 0.6, 0.3)
    scores[10, 6] = 0.2
    np.testing.assert_allclose(strongest_keypoints(scores, 1), [(6 + 0.2 / 1.2, 9 + 0.2 / 1.2)], rtol=1e-6)


def test_of_two_maxima_nearby_the_stronger_one_remains() -> None:
    scores = np.zeros((20, 20), np.float32)
    scores[9, 5], scores[9, 7] = 0.5, 0.4
    np.testing.assert_allclose(strongest_keypoints(scores, 10), [(5, 9)])


def test_a_keypoint_at_the_border_is_found() -> None:
    scores = np.zeros((20, 20), np.float32)
    scores[0, 0], scores[19, 19] = 0.5, 0.4
    np.testing.assert_allclose(strongest_keypoints(scores, 10), [(0, 0), (19, 19)])


def test_a_grid_is_sampled_exactly_at_its_cells_and_goes_on_beyond_its_border() -> None:
    y, x = np.mgrid[:5, :7].astype(np.float32)
    grid = np.stack([x, y, x + 2 * y], axis=2)
    places = np.array([(0.0, 0.0), (6.0, 4.0), (3.0, 2.0)])
    np.testing.assert_allclose(sampled(grid, places), np.c_[places, places @ (1, 2)], atol=1e-6)
    np.testing.assert_allclose(sampled(grid, np.array([(-3.0, 9.0)])), [(0, 4, 8)], atol=1e-6)


def test_a_grid_is_sampled_as_torch_does() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    grid = rng.normal(size=(6, 9, 4)).astype(np.float32)
    places = rng.uniform((0, 0), (8, 5), (30, 2))
    normalised = torch.from_numpy((2 * places + 1) / (9, 6) - 1).float()
    theirs = torch.nn.functional.grid_sample(
        torch.from_numpy(grid).permute(2, 0, 1)[None],
        normalised[None, None],
        mode="bicubic",
        padding_mode="border",
        align_corners=False,
    )
    np.testing.assert_allclose(sampled(grid, places), theirs[0, :, 0].T, atol=1e-5)


def test_a_network_without_keypoints_is_refused_with_the_way_on() -> None:
    network = inference_network(cells_network())
    with pytest.raises(MapError, match="finds no keypoints"):
        SceneKeypointMatcher(network)


def test_nearest_neighbours_that_are_not_similar_are_no_match() -> None:
    least = SceneKeypointMatcher.min_similarity
    assert least is not None
    query = LocalFeatures(np.array([(1.0, 2.0), (3.0, 4.0)]), np.eye(2, 3, dtype=np.float32))
    cosines = (least + 0.02, least - 0.02)
    towards = np.array([(c * (k == 0), c * (k == 1), (1 - c**2) ** 0.5) for k, c in enumerate(cosines)])
    reference = LocalFeatures(np.zeros((2, 2)), towards.astype(np.float32))
    matcher = SceneKeypointMatcher.__new__(SceneKeypointMatcher)  # matching needs no network
    matched = matcher.match(query, reference)
    assert matched.reference.tolist() == [0]
    np.testing.assert_array_equal(matched.query_pixels, [(1.0, 2.0)])


@pytest.mark.parametrize("channels", [7, 64])
def test_a_map_of_either_number_of_bits_is_read(channels: int) -> None:
    rng = np.random.default_rng(0)
    found = LocalFeatures(rng.uniform(0, 90, (30, 2)), unit(rng.normal(size=(30, channels))))
    known, size = np.ones((10, 10), bool), np.array([100, 100])
    packed, whole = (KeypointStorage(40, channels, 10, size, is_packed=each) for each in (True, False))
    for written in (packed, whole):
        rows, pixels = written.rows(found, known)
        assert np.isfinite(pixels).all(axis=1).sum() == 30
        for storage in (packed, whole):
            assert storage.can_read(rows["local_features"].shape, rows["local_features"].dtype)
            read = storage.read(rows)
            np.testing.assert_allclose(read.pixels[:30], found.pixels, atol=0.01)
            assert (read.descriptors[:30] * found.descriptors).sum(axis=1).min() > 0.97
    assert not packed.can_read((40, channels + 2), np.dtype(np.int8))
    assert not packed.can_read((40, channels), np.dtype(np.float32))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that finds keypoints, untrained."""
    torch = pytest.importorskip("torch")
    from scene_geo_loc.networks.architecture.checkpoint import imagenet_network, save_checkpoint
    from scene_geo_loc.networks.architecture.network_config import NetworkConfig

    torch.manual_seed(0)
    network = imagenet_network(NetworkConfig(local_features="keypoints", descriptor_size=16))
    path = tmp_path_factory.mktemp("network") / "keypoints.safetensors"
    save_checkpoint(network.with_input_for(320, 240), path, {})
    return path


@pytest.fixture(scope="module")
def published(checkpoint: Path, data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with the published weights of XFeat."""
    from scene_geo_loc.networks.architecture.checkpoint import load_checkpoint, save_checkpoint
    from scene_geo_loc.networks.architecture.xfeat import load_published

    network, _ = load_checkpoint(checkpoint)
    weights = load_published(data_dir / "weights" / "xfeat.pt").state_dict()
    network.local_features.get_submodule("image").load_state_dict(weights)
    path = tmp_path_factory.mktemp("network") / "published.safetensors"
    save_checkpoint(network, path, {})
    return path


@pytest.mark.slow
def test_a_query_is_localized_in_a_map_of_the_network_s_keypoints(
    published: Path, room: Room, tmp_path: Path
) -> None:
    settings = BuilderSettings(keyframe_distance_m=0.2)
    builder = MapBuilder(tmp_path / "map", settings, network=published, device="cpu")
    for frame in room.drive(8):
        builder.add_frame(frame)
    reference_map = ReferenceMap.open(builder.finish())
    assert set(reference_map.features) == {"local_features", "keypoints"}
    query = room.frame(-2.1, 0.4, 7.0)
    assert query.T_map_camera is not None
    estimate = Localizer(reference_map, device="cpu").localize(query)
    assert estimate.status is Status.LOCALIZED, estimate.reason
    assert position_error_m(estimate.T_map_base, query.T_map_camera) < 0.05


@pytest.mark.slow
def test_the_run_time_gives_what_the_layers_give(checkpoint: Path, room: Room) -> None:
    import torch

    from scene_geo_loc.networks.architecture.checkpoint import load_checkpoint
    from scene_geo_loc.networks.checkpoint import load_network
    from scene_geo_loc.networks.runtime.extractor import Extractor

    network, _ = load_network(checkpoint)
    size = (network.input_width, network.input_height)
    image = np.asarray(cv2.resize(room.frame(0, 0.5, 0).image, size), np.uint8)
    layers, _ = load_checkpoint(checkpoint)
    with torch.inference_mode():
        expected = layers(layers.normalise(torch.from_numpy(image)[None].float()))
    found = Extractor(network, "cpu").extract(image)
    assert found.keypoint_scores is not None
    assert expected.keypoint_scores is not None
    assert found.keypoint_scores.shape == image.shape[:2]
    np.testing.assert_allclose(found.keypoint_scores, expected.keypoint_scores[0], atol=1e-3)
    np.testing.assert_allclose(found.local_features, expected.local_features[0].permute(1, 2, 0), atol=1e-3)
    np.testing.assert_allclose(found.coarse_features, expected.late[0].permute(1, 2, 0), atol=1e-2)
