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

"""Maps with a user's networks: built, kept in the map, and localized in."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from room import Room
from small_graphs import (
    DESCRIPTOR_SIZE,
    PATCH,
    changed_output,
    corner_model,
    descriptor_model,
    pair_model,
    with_constant,
    write_corners,
    write_descriptor,
    write_network,
    write_pairs,
)

from scene_geo_loc.core.errors import CheckpointError, InferenceError, MapError
from scene_geo_loc.geometry.pose import position_error_m
from scene_geo_loc.localization.estimate import PoseEstimate, Status
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.verification.rejection import RejectionKind
from scene_geo_loc.mapping.builder import MapBuilder
from scene_geo_loc.mapping.map_info import FileRecord, read_info, sha256_of, write_info
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.mapping.settings import BuilderSettings
from scene_geo_loc.mapping.upgrade import upgrade
from scene_geo_loc.matchers.sift import SiftMatcher
from scene_geo_loc.networks.user.description import GlobalDescriptor, Keypoints
from scene_geo_loc.networks.user.image_network import DescriptorNetwork, KeypointNetwork
from scene_geo_loc.networks.user.user_network import UserNetwork

pytestmark = pytest.mark.slow


def build(room: Room, out: Path, **settings: Any) -> Path:
    chosen: dict[str, Any] = {name: str(value) for name, value in settings.items()}
    builder = MapBuilder(out, BuilderSettings(keyframe_distance_m=0.2, **chosen), device="cpu")
    for frame in room.drive(8):
        builder.add_frame(frame)
    return builder.finish()


def localize(path: Path, room: Room) -> PoseEstimate:
    opened = ReferenceMap.open(path)
    opened.verify()
    return Localizer(opened, device="cpu").localize(room.frame(-2.1, 0.4, 7.0))


def localized(path: Path, room: Room) -> PoseEstimate:
    estimate, query = localize(path, room), room.frame(-2.1, 0.4, 7.0)
    assert estimate.status is Status.LOCALIZED, estimate.reason
    assert position_error_m(query.T_map_camera, estimate.T_map_camera) < 0.1
    return estimate


@pytest.fixture(scope="module")
def full_map(room: Room, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A map of which a user gave everything; its files are gone."""
    folder = tmp_path_factory.mktemp("full")
    files = {
        "descriptor": write_descriptor(folder),
        "local_features": write_corners(folder),
        "matcher": write_pairs(folder),
    }
    out = build(room, folder / "map", **files)
    for file in files.values():
        file.unlink()
        file.with_suffix(".yaml").unlink()
    return out


@pytest.fixture
def copy(full_map: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(full_map, tmp_path / "map"))


def replace_network(path: Path, file: str, network: UserNetwork) -> None:
    """Replaces a network of a map, checksums included."""
    network.save_copy(path / file)
    info = read_info(path)
    record = FileRecord(bytes=(path / file).stat().st_size, sha256=sha256_of(path / file))
    write_info(path, info.model_copy(update={"files": {**info.files, file: record}}))


def test_a_map_keeps_copies_of_all_networks_and_localizes_by_them(full_map: Path, room: Room) -> None:
    estimate = localized(full_map, room)
    opened = ReferenceMap.open(full_map)
    assert opened.index.size == DESCRIPTOR_SIZE
    assert opened.features["local_features"].shape[1:] == (700, PATCH**2)
    networks = opened.info.user_networks
    assert {name: network.file for name, network in networks.items()} == {
        "descriptor": "averages.onnx",
        "local_features": "corners.onnx",
        "matcher": "pairs.onnx",
    }
    assert opened.info.settings["matcher"] == "pairs.onnx"
    assert opened.info.format_version == 4
    assert {"descriptor.safetensors", "pair_matcher.safetensors"}.isdisjoint(opened.large_files)
    assert max(candidate.similarity for candidate in estimate.candidates) > 0.7
    assert not upgrade(full_map)


def test_the_descriptor_alone_can_be_a_user_s(room: Room, tmp_path: Path) -> None:
    file = write_descriptor(tmp_path)
    path = build(room, tmp_path / "map", descriptor=file)
    localized(path, room)
    opened = ReferenceMap.open(path)
    assert opened.info.matcher == "keypoints"
    network = DescriptorNetwork(UserNetwork.read(file, GlobalDescriptor), "cpu")
    wanted = np.stack([network.describe(frame.image) for frame in room.drive(8)])
    stored = np.stack([opened.index.descriptor(keyframe) for keyframe in range(len(opened))])
    np.testing.assert_allclose(stored, wanted, atol=1e-3)


def test_a_pair_matcher_that_finds_mutual_neighbours_matches_as_without_it(
    room: Room, tmp_path: Path
) -> None:
    corners = write_corners(tmp_path)
    plain = localized(build(room, tmp_path / "plain", local_features=corners), room)
    for form in ("pairs", "of_first"):
        pairs = write_network(tmp_path / f"{form}.onnx", pair_model(form), form=form, min_score=-1)
        estimate = localized(build(room, tmp_path / form, local_features=corners, matcher=pairs), room)
        counts = [[candidate.matches for candidate in e.candidates] for e in (plain, estimate)]
        np.testing.assert_allclose(counts[0], counts[1], atol=2)
        assert position_error_m(estimate.T_map_camera, plain.T_map_camera) < 0.01


def test_a_pair_matcher_matches_the_keypoints_of_a_named_matcher(room: Room, tmp_path: Path) -> None:
    path = build(room, tmp_path / "map", local_features="sift", matcher=write_pairs(tmp_path))
    assert localized(path, room).confidence is None  # that of SIFT's own matches would not hold
    assert ReferenceMap.open(path).info.matcher == "sift"


def test_the_keypoints_of_a_named_matcher_are_those_of_that_matcher(room: Room, tmp_path: Path) -> None:
    path = build(room, tmp_path / "map", local_features="sift")
    other = build(room, tmp_path / "other", matcher="sift")
    for name in ("local_features.npy", "keypoints.npy", "index.faiss"):
        assert sha256_of(path / name) == sha256_of(other / name)


def test_a_map_without_a_user_s_networks_says_nothing_of_them(room_map: Path) -> None:
    info = json.loads((room_map / "map.json").read_text())
    assert info["format_version"] == 3
    assert "user_networks" not in info
    assert {"descriptor", "local_features"}.isdisjoint(info["settings"])


def test_a_build_goes_on_only_with_the_same_networks(room: Room, tmp_path: Path) -> None:
    file = write_descriptor(tmp_path)
    settings = BuilderSettings(keyframe_distance_m=0.2, descriptor=str(file))
    builder = MapBuilder(tmp_path / "map", settings, device="cpu")
    for frame in room.drive(4):
        builder.add_frame(frame)
    builder.abandon()
    model = descriptor_model()
    changed_output(model, "descriptor", "Abs")
    write_network(file, model)
    other = MapBuilder(tmp_path / "map", settings, device="cpu")
    with pytest.raises(MapError, match="user_networks"):
        other.add_frame(room.drive(8)[7])
    other.abandon()
    write_descriptor(tmp_path)
    builder = MapBuilder(tmp_path / "map", settings, device="cpu")
    assert builder.resumed_keyframes
    for frame in room.drive(8):
        builder.add_frame(frame)
    localized(builder.finish(), room)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"descriptor": "megaloc"}, r"descriptor.*ends in \.onnx"),
        ({"local_features": "cells"}, r"local_features.*xfeat"),
        ({"matcher": "superglue"}, r"matcher.*network.*sift, xfeat.*or an ONNX file"),
        ({"matcher": "it.onnx"}, r"needs local_features"),
        ({"local_features": "it.onnx", "matcher": "sift"}, r"matched by an ONNX file"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"(?s){said}"):
        BuilderSettings(**settings)


def test_a_missing_network_is_said_before_the_build(tmp_path: Path) -> None:
    settings = BuilderSettings(local_features=str(tmp_path / "none.onnx"))
    with pytest.raises(CheckpointError, match=r"no network at .*none\.onnx"):
        MapBuilder(tmp_path / "map", settings)
    assert not list(tmp_path.iterdir())


def test_a_custom_matcher_has_its_own_features(tmp_path: Path) -> None:
    settings = BuilderSettings(local_features=str(write_corners(tmp_path)))
    with pytest.raises(MapError, match="'sift' has features of its own"):
        MapBuilder(tmp_path / "map", settings, matcher=SiftMatcher)


def test_a_pair_matcher_for_other_descriptors_is_refused(room: Room, tmp_path: Path) -> None:
    model = pair_model()
    for number in (1, 3):
        model.graph.input[number].type.tensor_type.shape.dim[2].dim_value = 256
    pairs = write_network(tmp_path / "pairs.onnx", model)
    with pytest.raises(CheckpointError, match=r"descriptors of 256 numbers, .* have 81"):
        build(room, tmp_path / "map", local_features=write_corners(tmp_path), matcher=pairs)


def nan(name: str) -> Callable[[onnx.ModelProto], None]:
    return lambda model: changed_output(model, name, "Mul", with_constant(model, np.nan))


def outside(model: onnx.ModelProto) -> None:
    changed_output(model, "keypoints", "Add", with_constant(model, 500, np.int64))


def repeated(name: str, axis: int) -> Callable[[onnx.ModelProto], None]:
    """Makes an output twice as long along an axis."""

    def change(model: onnx.ModelProto) -> None:
        changed_output(model, name, "Identity")
        changed_output(model, name, "Identity")
        before = model.graph.node[-1].input[0]
        del model.graph.node[-1]
        model.graph.node.append(onnx.helper.make_node("Concat", [before, before], [name], axis=axis))

    return change


@pytest.mark.parametrize(
    ("setting", "change", "said"),
    [
        ("descriptor", nan("descriptor"), "not finite"),
        ("local_features", nan("descriptors"), "not finite"),
        ("local_features", outside, "outside of its image"),
    ],
)
def test_a_network_whose_outputs_cannot_be_used_builds_no_map(
    room: Room, tmp_path: Path, setting: str, change: Callable, said: str
) -> None:
    model = descriptor_model() if setting == "descriptor" else corner_model()
    change(model)
    colour = "rgb" if setting == "descriptor" else "grey"
    file = write_network(tmp_path / "it.onnx", model, colour=colour)
    with pytest.raises(InferenceError, match=said):
        build(room, tmp_path / "map", **{setting: file})
    assert not (tmp_path / "map").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (nan("scores"), "not finite"),
        (outside, "outside of its image"),
        (repeated("descriptors", 2), "162 numbers and not 81"),
        (repeated("scores", 1), "scores (600,)"),
    ],
)
def test_a_query_whose_keypoints_cannot_be_used_has_no_pose(
    copy: Path, room: Room, tmp_path: Path, change: Callable, said: str
) -> None:
    model = corner_model()
    change(model)
    file = write_network(tmp_path / "it.onnx", model, colour="grey")
    replace_network(copy, "matcher.safetensors", UserNetwork.read(file, Keypoints).with_length(PATCH**2))
    estimate = localize(copy, room)
    assert (estimate.status, estimate.kind) == (Status.LOST, RejectionKind.INFERENCE)
    assert estimate.T_map_base is None
    assert said in estimate.reason


@pytest.mark.parametrize("name", ["scores", "matches"])
def test_a_query_whose_matches_cannot_be_used_has_no_pose(
    copy: Path, room: Room, tmp_path: Path, name: str
) -> None:
    from scene_geo_loc.networks.user.description import PairMatches

    model = pair_model()
    if name == "scores":
        nan(name)(model)
    else:
        changed_output(model, name, "Add", with_constant(model, 10**6, np.int64))
    file = write_network(tmp_path / "it.onnx", model)
    replace_network(copy, "pair_matcher.safetensors", UserNetwork.read(file, PairMatches))
    estimate = localize(copy, room)
    assert (estimate.status, estimate.kind) == (Status.LOST, RejectionKind.INFERENCE)
    assert "it.onnx" in estimate.reason


def test_a_query_whose_descriptor_has_another_length_than_the_map_s_has_no_pose(
    copy: Path, room: Room
) -> None:
    localizer = Localizer(ReferenceMap.open(copy), device="cpu")
    descriptor = localizer.extractor.descriptor
    assert isinstance(descriptor, DescriptorNetwork)
    descriptor.network = descriptor.network.with_length(512)
    estimate = localizer.localize(room.frame(-2.1, 0.4, 7.0))
    assert (estimate.status, estimate.kind) == (Status.LOST, RejectionKind.INFERENCE)
    assert "144 numbers and not 512" in estimate.reason


def test_an_image_without_keypoints_has_no_pose(
    copy: Path, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = KeypointNetwork.detect

    def detect(self: KeypointNetwork, image: np.ndarray, scale: tuple[float, float]) -> Any:
        pixels, descriptors, size = found(self, image, scale)
        return pixels[:0], descriptors[:0], size

    monkeypatch.setattr(KeypointNetwork, "detect", detect)
    estimate = localize(copy, room)
    assert (estimate.status, estimate.kind) == (Status.RETRIEVED_ONLY, RejectionKind.NO_FEATURES)
    assert estimate.reason == "The image has no local features."


def test_a_keyframe_without_keypoints_is_kept(room: Room, tmp_path: Path) -> None:
    frames = room.drive(8)
    smooth = np.broadcast_to(np.arange(160, dtype=np.uint8)[None, :, None], (120, 160, 3))
    frames[3] = replace(frames[3], image=np.ascontiguousarray(smooth))
    settings = BuilderSettings(keyframe_distance_m=0.2, local_features=str(write_corners(tmp_path)))
    builder = MapBuilder(tmp_path / "map", settings, device="cpu")
    for frame in frames:
        builder.add_frame(frame)
    localized(builder.finish(), room)


def test_a_descriptor_that_is_not_the_map_s_is_refused(copy: Path, tmp_path: Path) -> None:
    model = descriptor_model()
    changed_output(model, "descriptor", "Abs")
    file = write_network(tmp_path / "it.onnx", model)
    network = UserNetwork.read(file, GlobalDescriptor).with_length(DESCRIPTOR_SIZE)
    replace_network(copy, "descriptor.safetensors", network)
    with pytest.raises(MapError, match=r"another network than its descriptor\.safetensors"):
        Localizer(ReferenceMap.open(copy), device="cpu")


def test_keypoints_of_another_length_than_the_map_s_are_refused(copy: Path, tmp_path: Path) -> None:
    file = write_corners(tmp_path)
    replace_network(copy, "matcher.safetensors", UserNetwork.read(file, Keypoints).with_length(64))
    with pytest.raises(MapError, match=r"\(700, 81\).* 64 numbers"):
        Localizer(ReferenceMap.open(copy), device="cpu")


def test_a_copy_that_is_damaged_or_missing_is_said(copy: Path) -> None:
    (copy / "descriptor.safetensors").write_bytes(b"")
    with pytest.raises(MapError, match=r"descriptor\.safetensors has 0 bytes"):
        ReferenceMap.open(copy)
    (copy / "descriptor.safetensors").unlink()
    with pytest.raises(MapError, match=r"lacks descriptor\.safetensors"):
        ReferenceMap.open(copy)


def test_a_float16_network_is_run_as_it_is(room: Room, tmp_path: Path) -> None:
    model = descriptor_model()
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    model.graph.node.insert(0, onnx.helper.make_node("Cast", ["image"], ["single"], to=TensorProto.FLOAT))
    model.graph.node[1].input[0] = "single"
    localized(build(room, tmp_path / "map", descriptor=write_network(tmp_path / "it.onnx", model)), room)
