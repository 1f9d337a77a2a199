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

"""Matchers: positions of features, matches finer than cells, and the matcher that a map stores."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import safetensors.numpy
import torch
from room import Room
from safetensors.numpy import load_file, save
from safetensors.torch import save_file

from scene_geo_loc.core.errors import CheckpointError, MapError
from scene_geo_loc.geometry.pose import inverse, position_error_m, transform
from scene_geo_loc.localization.estimate import PoseEstimate, Status
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.mapping.builder import BuilderSettings, MapBuilder
from scene_geo_loc.mapping.map_info import FileRecord, read_info, sha256_of, write_info
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.mapping.upgrade import upgrade
from scene_geo_loc.matchers import MATCHERS, make_matcher, matcher_class, xfeat
from scene_geo_loc.matchers.encoder import EncoderMatcher
from scene_geo_loc.matchers.encoder_storage import EncoderStorage
from scene_geo_loc.matchers.features import LocalFeatures, unit
from scene_geo_loc.matchers.keypoints import KeypointMatcher, SparseMatcher
from scene_geo_loc.matchers.storage import to_int8
from scene_geo_loc.networks.architecture.checkpoint import save_checkpoint, untrained_network
from scene_geo_loc.networks.architecture.export import inference_network
from scene_geo_loc.networks.architecture.network_config import NetworkConfig
from scene_geo_loc.networks.architecture.scene_network import SceneNetwork
from scene_geo_loc.networks.architecture.xfeat import QUERY_KEYPOINTS, XFeatKeypoints, load_published
from scene_geo_loc.networks.checkpoint import GRAPH, read_tensors
from scene_geo_loc.networks.default import default_network
from scene_geo_loc.networks.runtime.extractor import Extractor

pytestmark = pytest.mark.slow


def build(room: Room, out: Path, matcher: Any) -> Path:
    settings = BuilderSettings(keyframe_distance_m=0.2, matcher=matcher)
    builder = MapBuilder(out, settings, device="cpu")
    for frame in room.drive(8):
        builder.add_frame(frame)
    return builder.finish()


def localize(path: Path, room: Room) -> PoseEstimate:
    query = room.frame(-2.1, 0.4, 7.0)
    opened = ReferenceMap.open(path)
    opened.verify()
    estimate = Localizer(opened, device="cpu").localize(query)
    assert estimate.status is Status.LOCALIZED, estimate.reason
    assert position_error_m(query.T_map_camera, estimate.T_map_camera) < 0.1
    matches = estimate.matches
    seen = transform(inverse(query.T_map_camera), matches.points_map[matches.inlier])
    away = np.linalg.norm(query.camera.project(seen) - matches.query_pixels[matches.inlier], axis=1)
    assert np.median(away) < 3
    return estimate


def test_a_map_of_sift_is_localized_in_by_sift(room: Room, tmp_path: Path) -> None:
    path = build(room, tmp_path / "map", "sift")
    localize(path, room)
    opened = ReferenceMap.open(path)
    assert opened.info.matcher == "sift"
    assert opened.features["local_features"].shape[2] == 128
    # Keypoints are kept where their depth is known; what room is left has none.
    assert (np.isfinite(opened.depth[0]) == (opened.features["local_features"][0] != 0).any(axis=1)).all()


def test_a_map_of_xfeat_keeps_its_graph(room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = build(room, tmp_path / "map", "xfeat")
    monkeypatch.setattr(xfeat, "PUBLISHED", tmp_path / "another.onnx")
    localize(path, room)


def test_the_graph_of_xfeat_gives_the_numbers_of_its_published_layers(data_dir: Path, room: Room) -> None:
    network = load_published(data_dir / "weights" / "xfeat.pt")
    frame = room.frame(-2.1, 0.4, 7.0)
    grey = np.asarray(cv2.resize(cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY), (320, 256)), np.uint8)
    package_network, _ = default_network()
    image = np.repeat(grey[..., None], 3, axis=2)
    features = Extractor(package_network, "cpu").extract(image)
    pixels, descriptors, size = xfeat.XFeatMatcher(package_network).find(image, features)
    assert size == (320, 256)
    with torch.inference_mode():
        theirs, described, scores = XFeatKeypoints(network, QUERY_KEYPOINTS)(torch.from_numpy(grey)[None])
    count = int((scores > 0).sum())
    assert len(pixels) == count > 50
    # Keypoints of nearly equal scores may change places.
    same = (pixels == theirs[0, :count].numpy()).all(axis=1)
    assert same.mean() > 0.9
    np.testing.assert_allclose(descriptors[same], described[0, :count].numpy()[same], atol=1e-3)


def test_a_map_of_xfeat_that_kept_weights_alone_is_localized_in_and_upgraded(
    room: Room, tmp_path: Path, data_dir: Path
) -> None:
    path = build(room, tmp_path / "map", "xfeat")
    network = load_published(data_dir / "weights" / "xfeat.pt")
    save_file(network.state_dict(), str(path / "matcher.safetensors"))
    info = read_info(path)
    file = path / "matcher.safetensors"
    files = {**info.files, file.name: FileRecord(bytes=file.stat().st_size, sha256=sha256_of(file))}
    write_info(path, info.model_copy(update={"files": files}))
    localize(path, room)
    assert upgrade(path)
    assert list(read_tensors(file)) == [GRAPH]
    localize(path, room)
    assert not upgrade(path)


def test_a_graph_with_other_inputs_is_refused(tmp_path: Path) -> None:
    graph = default_network()[0].graph
    path = tmp_path / "matcher.safetensors"
    path.write_bytes(safetensors.numpy.save({GRAPH: np.frombuffer(graph, np.uint8)}))
    with pytest.raises(CheckpointError, match=r"has the outputs local_features.* and not pixels"):
        xfeat.XFeatMatcher(default_network()[0], path)


def test_a_matcher_of_a_later_version_is_said(room_map: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(room_map, tmp_path / "map"))
    info = json.loads((path / "map.json").read_text())
    (path / "map.json").write_text(json.dumps({**info, "matcher": "superpoint", "digest": None}))
    with pytest.raises(MapError, match="'superpoint'"):
        Localizer(ReferenceMap.open(path), device="cpu")


@pytest.fixture(scope="module")
def early_map(room: Room, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A map of the room by a network whose local features are its early map."""
    folder = tmp_path_factory.mktemp("early")
    save_checkpoint(untrained_network().with_input_for(160, 120), folder / "net.safetensors", {})
    settings = BuilderSettings(keyframe_distance_m=0.2)
    builder = MapBuilder(folder / "map", settings, device="cpu", network=folder / "net.safetensors")
    for frame in room.drive():
        builder.add_frame(frame)
    return builder.finish()


def test_the_late_map_is_stored_where_features_do_not_see_around_their_cells(
    room: Room, cells_map: Path, early_map: Path
) -> None:
    assert (early_map / "coarse_features.npy").is_file()
    assert not (cells_map / "coarse_features.npy").exists()
    localize(early_map, room)
    localize(cells_map, room)


def make_older(path: Path, room: Room, version: int) -> None:
    """Makes a map of the room one of an older version, with the features of all cells."""
    opened = ReferenceMap.open(path)
    localizer = Localizer(opened, device="cpu")
    storage = localizer.matcher.storage
    assert isinstance(storage, EncoderStorage)
    axes = {
        name: array for name, array in load_file(path / "matcher.safetensors").items() if name != "capacity"
    }
    x, y = np.round((storage.cells + 0.5) * 160 / localizer.matcher.input_size[0] - 0.5).astype(int).T
    rows = [localizer.extractor.extract(frame.image).local_features for frame in room.drive()]
    features = np.stack([row.reshape(len(storage.cells), -1) for row in rows])
    changed: dict[str, np.ndarray] = {
        "depth.npy": np.stack([frame.depth[y, x] for frame in room.drive()]).astype(np.float16)
    }
    removed = ["cells.npy"]
    if version == 1:
        changed["local_features.npy"] = np.clip(np.round(features * 254), -127, 127).astype(np.int8)
        removed += ["coarse_features.npy", "matcher.safetensors"]
    else:
        changed["local_features.npy"] = to_int8(features @ axes["fine"])
        (path / "matcher.safetensors").write_bytes(save(axes))
        changed["descriptors.npy"] = np.zeros((len(opened), opened.index.size), np.float16)
    info = json.loads((path / "map.json").read_text()) | {"format_version": version}
    del info["digest"]
    if version == 1:
        del info["matcher"]
    for name in removed:
        del info["files"][name]
        (path / name).unlink()
    for name, array in changed.items():
        np.save(path / name, array)
    for name in (*changed, *([] if version == 1 else ["matcher.safetensors"])):
        file = path / name
        info["files"][name] = {"bytes": file.stat().st_size, "sha256": sha256_of(file)}
    (path / "map.json").write_text(json.dumps(info))


def test_a_map_of_format_1_is_matched_by_the_early_map_alone(
    room: Room, early_map: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(early_map, tmp_path / "map"))
    make_older(path, room, 1)
    localize(path, room)


@pytest.mark.parametrize("of_early_map", [False, True])
def test_a_map_of_format_2_is_matched_by_all_cells(
    room: Room, cells_map: Path, early_map: Path, tmp_path: Path, of_early_map: bool
) -> None:
    path = Path(shutil.copytree(early_map if of_early_map else cells_map, tmp_path / "map"))
    make_older(path, room, 2)
    estimate = localize(path, room)
    localizer = Localizer(ReferenceMap.open(path), device="cpu")
    assert len(localizer.matcher.storage.read(localizer.map.features_of(0)).pixels) == 1200
    assert estimate.cameras[0].candidates[0].matches > 0
    assert localizer.verifier.limits.inlier_ratio == 0.13


def test_a_match_lies_between_cells_where_the_similarities_have_their_top() -> None:
    matcher = EncoderMatcher(inference_network(SceneNetwork(NetworkConfig(input_width=96, input_height=64))))
    top = np.array([42.0, 21.5])
    angle = 0.02 * np.linalg.norm(matcher.cells - top, axis=1)
    query = LocalFeatures(matcher.cells, np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32))
    reference = LocalFeatures(matcher.cells[:1], np.array([[1, 0]], np.float32))
    found = matcher.match(query, reference)
    np.testing.assert_allclose(found.query_pixels, [top], atol=0.1)
    assert np.abs(matcher.cells - top).max(axis=1).min() > 1  # no cell lies there


def test_a_feature_stored_as_a_keypoint_is_where_it_was(room: Room, tmp_path: Path) -> None:
    path = build(room, tmp_path / "map", "sift")
    opened = ReferenceMap.open(path)
    localizer = Localizer(opened, device="cpu")
    frame = room.drive(8)[0]
    found = localizer.matcher.extract(frame.image, localizer.extractor.extract(frame.image))
    stored = localizer.matcher.storage.read(opened.features_of(0))
    count = int(np.isfinite(opened.depth[0]).sum())
    np.testing.assert_allclose(stored.pixels[:count], found.pixels[:count], atol=0.01)
    assert (stored.descriptors[:count] * found.descriptors[:count]).sum(axis=1).min() > 0.999


@pytest.mark.parametrize("name", ["sift", "xfeat"])
def test_keypoints_are_found_at_the_size_that_an_image_is_read_at(room: Room, name: str) -> None:
    network = default_network()[0].with_input_size(320, 256)
    matcher, extractor = make_matcher(name, network), Extractor(network, "cpu")
    image = np.asarray(cv2.resize(room.drive(8)[0].image, (640, 512)), np.uint8)
    for input_size, scale in (((192, 160), 0.6), ((320, 256), 1.0), ((448, 352), 1.4)):
        features = extractor.extract(image, input_size)
        assert isinstance(matcher, SparseMatcher)
        _, _, size = matcher.find(image, features)
        found = matcher.extract(image, features)
        assert len(found.pixels) > 20
        assert (found.pixels < (320, 256)).all()
        usual = matcher.find(image, extractor.extract(image))[2]
        np.testing.assert_allclose(size, scale * np.array(usual), rtol=0.12)


class Corners(KeypointMatcher):
    """Strong corners described by the grey patch around them: a matcher outside the package."""

    name = "corners"
    min_inlier_ratio = 0.05
    min_coverage = 0.2
    capacity = 300
    channels = 81

    def detect(self, grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        corners = cv2.goodFeaturesToTrack(grey, 400, 0.005, 2)
        pixels = corners.reshape(-1, 2).astype(np.float64)
        patches = [cv2.getRectSubPix(grey, (9, 9), (float(x), float(y))).ravel() for x, y in pixels]
        centred = np.array(patches, np.float32)
        return pixels, unit(centred - centred.mean(axis=1, keepdims=True))


def test_a_matcher_of_another_name_than_the_map_s_is_refused(room_map: Path) -> None:
    with pytest.raises(MapError, match=r"'keypoints'.*'corners'"):
        Localizer(ReferenceMap.open(room_map), device="cpu", matcher=Corners)


def test_a_matcher_of_one_s_own_is_given_to_the_builder_and_the_localizer(room: Room, tmp_path: Path) -> None:
    settings = BuilderSettings(keyframe_distance_m=0.2)
    builder = MapBuilder(tmp_path / "map", settings, matcher=Corners, device="cpu")
    for frame in room.drive(8):
        builder.add_frame(frame)
    opened = ReferenceMap.open(builder.finish())
    assert opened.info.matcher == "corners"
    estimate = Localizer(opened, device="cpu", matcher=Corners).localize(room.frame(-2.1, 0.4, 7.0))
    assert estimate.candidates[0].matches > 0
    with pytest.raises(MapError, match="'corners'"):
        Localizer(opened, device="cpu")


@pytest.mark.parametrize("name", MATCHERS)
def test_every_matcher_of_the_package_has_the_name_that_it_is_registered_by(name: str) -> None:
    assert matcher_class(name).name == name
