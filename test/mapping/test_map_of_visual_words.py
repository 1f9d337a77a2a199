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

"""Maps whose keyframes visual words describe: built, resumed, kept in the map, and localized in."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from room import Room

from scene_geo_loc.core.errors import CheckpointError, MapError
from scene_geo_loc.geometry.pose import position_error_m
from scene_geo_loc.localization.estimate import LocalizerSettings, Status
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.uncertainty.self_measurement import measure_map
from scene_geo_loc.localization.verification.rejection import RejectionKind
from scene_geo_loc.mapping.builder import MapBuilder
from scene_geo_loc.mapping.map_info import (
    VOCABULARY,
    WORD_INDEX,
    FileRecord,
    read_info,
    sha256_of,
    write_info,
)
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.mapping.settings import BuilderSettings
from scene_geo_loc.traversals.frame import Frame
from scene_geo_loc.visual_words.features import extract
from scene_geo_loc.visual_words.inverted_file import InvertedFile
from scene_geo_loc.visual_words.vocabulary import Vocabulary

pytestmark = pytest.mark.slow
BOVW = BuilderSettings(keyframe_distance_m=0.2, descriptor="bovw")


def build(frames: list[Frame], out: Path, settings: BuilderSettings = BOVW) -> Path:
    builder = MapBuilder(out, settings, device="cpu", measure=measure_map)
    for frame in frames:
        builder.add_frame(frame)
    return builder.finish()


@pytest.fixture(scope="module")
def words_map(room: Room, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(room.drive(8), tmp_path_factory.mktemp("words") / "map")


@pytest.fixture
def copy(words_map: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(words_map, tmp_path / "map"))


def test_a_map_of_visual_words_localizes_its_own_drive(words_map: Path, room: Room) -> None:
    opened = ReferenceMap.open(words_map)
    opened.verify()
    localizer = Localizer(opened, device="cpu")
    for query in (room.frame(-2.1, 0.4, 7.0), *room.drive(8)[::3]):
        estimate = localizer.localize(query)
        assert estimate.status is Status.LOCALIZED, estimate.reason
        assert position_error_m(query.T_map_camera, estimate.T_map_camera) < 0.1
    assert isinstance(opened.index, InvertedFile)
    own = localizer.localize(room.drive(8)[3]).candidates
    assert max(own, key=lambda candidate: candidate.similarity).keyframe == 3


def test_a_map_keeps_its_vocabulary_and_says_so(words_map: Path) -> None:
    info = read_info(words_map)
    vocabulary = Vocabulary.read(words_map / VOCABULARY)
    assert info.format_version == 5
    assert info.vocabulary is not None
    assert (info.vocabulary.digest, info.vocabulary.images) == (vocabulary.digest, 8)
    assert info.vocabulary.file is None
    assert info.settings["descriptor"] == "bovw"
    assert not (words_map / "index.faiss").exists()
    assert str(len(vocabulary.points)) in str(info.vocabulary)


def test_an_image_without_texture_finds_no_place(words_map: Path, room: Room) -> None:
    halves = np.full((120, 160, 3), 60, np.uint8)
    halves[:, 80:] = 160
    for limit in (0.1, 0.0, -1.0):
        localizer = Localizer(
            ReferenceMap.open(words_map), LocalizerSettings(min_similarity=limit), device="cpu"
        )
        estimate = localizer.localize(Frame(0, halves, room.camera))
        assert (estimate.status, estimate.kind) == (Status.LOST, RejectionKind.UNKNOWN_PLACE)
        assert "0.00" in estimate.reason


def test_an_interrupted_build_resumes_with_the_same_words(
    words_map: Path, room: Room, tmp_path: Path
) -> None:
    builder = MapBuilder(tmp_path / "map", BOVW, device="cpu")
    for frame in room.drive(8)[:5]:
        builder.add_frame(frame)
    builder.abandon()
    other = MapBuilder(tmp_path / "map", BuilderSettings(keyframe_distance_m=0.2), device="cpu")
    with pytest.raises(MapError, match="settings"):
        other.add_frame(room.drive(8)[7])
    other.abandon()
    resumed = MapBuilder(tmp_path / "map", BOVW, device="cpu")
    assert resumed.resumed_keyframes
    for frame in room.drive(8):
        resumed.add_frame(frame)
    path = resumed.finish()
    for name in (VOCABULARY, WORD_INDEX):
        assert sha256_of(path / name) == sha256_of(words_map / name)


def test_a_vocabulary_file_serves_many_maps(words_map: Path, room: Room, tmp_path: Path) -> None:
    file = tmp_path / "words.safetensors"
    shutil.copy(words_map / VOCABULARY, file)
    settings = BuilderSettings(keyframe_distance_m=0.2, descriptor=str(file))
    path = build(room.drive(8), tmp_path / "map", settings)
    builder = MapBuilder(tmp_path / "other", settings, device="cpu")
    builder.add_frame(room.drive(8)[0])
    builder.abandon()
    Vocabulary.fit([extract(frame.image) for frame in room.drive(8)], 30, 10).save(file)
    other = MapBuilder(tmp_path / "other", settings, device="cpu")
    with pytest.raises(MapError, match="vocabulary"):
        other.add_frame(room.drive(8)[1])
    other.abandon()
    file.unlink()
    opened = ReferenceMap.open(path)
    assert opened.info.vocabulary is not None
    assert opened.info.vocabulary.file == "words.safetensors"
    assert opened.info.settings["descriptor"] == "words.safetensors"
    assert sha256_of(path / WORD_INDEX) == sha256_of(words_map / WORD_INDEX)
    query = room.frame(-2.1, 0.4, 7.0)
    assert Localizer(opened, device="cpu").localize(query).status is Status.LOCALIZED


def test_the_vocabulary_of_another_map_is_refused(copy: Path, room: Room) -> None:
    Vocabulary.fit([extract(frame.image) for frame in room.drive(8)], 30, 10).save(copy / VOCABULARY)
    with pytest.raises(MapError, match=VOCABULARY):
        ReferenceMap.open(copy)
    info = read_info(copy)
    record = FileRecord(bytes=(copy / VOCABULARY).stat().st_size, sha256=sha256_of(copy / VOCABULARY))
    write_info(copy, info.model_copy(update={"files": {**info.files, VOCABULARY: record}}))
    with pytest.raises(MapError, match="built with another vocabulary"):
        Localizer(ReferenceMap.open(copy), device="cpu")


@pytest.mark.parametrize("name", [VOCABULARY, WORD_INDEX])
def test_a_damaged_file_is_refused(copy: Path, name: str) -> None:
    data = bytearray((copy / name).read_bytes())
    data[-20] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(MapError, match=name):
        ReferenceMap.open(copy, verified=[name])
    with pytest.raises(MapError, match=name):
        ReferenceMap.open(copy).verify()
    (copy / name).unlink()
    with pytest.raises(MapError, match=f"lacks {name}"):
        ReferenceMap.open(copy)


def test_too_few_keyframes_for_a_vocabulary_are_refused_and_kept(room: Room, tmp_path: Path) -> None:
    builder = MapBuilder(tmp_path / "map", BOVW, device="cpu")
    builder.add_frame(room.drive(8)[0])
    with pytest.raises(CheckpointError, match="at least 2 images"):
        builder.finish()
    assert MapBuilder(tmp_path / "map", BOVW, device="cpu").resumed_keyframes == 1


@pytest.mark.parametrize("descriptor", ["bow", "words.npz", ""])
def test_an_unknown_descriptor_is_refused(descriptor: str) -> None:
    with pytest.raises(ValueError, match="bovw"):
        BuilderSettings(descriptor=descriptor)


def test_a_checkpoint_of_a_network_is_no_vocabulary(words_map: Path, tmp_path: Path) -> None:
    settings = BuilderSettings(descriptor=str(words_map / "network.safetensors"))
    with pytest.raises(CheckpointError, match="scene_geo_loc vocabulary"):
        MapBuilder(tmp_path / "map", settings)


def test_pixels_that_show_nothing_give_no_words(room: Room, tmp_path: Path) -> None:
    visible = np.ones((120, 160), bool)
    visible[:, :80] = False
    frames = [replace(frame, visible=visible) for frame in room.drive(8)]
    path = build(frames, tmp_path / "map")
    whole, half = ReferenceMap.open(path).index, Vocabulary.read(path / VOCABULARY)
    described = half.describe(extract(frames[2].image, visible))
    assert described @ whole.descriptor(2) > 0.8
    assert (whole.descriptor(2) > 0).sum() < (half.describe(extract(frames[2].image)) > 0).sum()
