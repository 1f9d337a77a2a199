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

"""The index of a map in a database: the answers of faiss, and what is said where it cannot be asked."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from room import Room
from typer.testing import CliRunner

from scene_geo_loc.cli.main import app
from scene_geo_loc.core.errors import MapError, SearchError
from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.verification.rejection import RejectionKind
from scene_geo_loc.mapping.editing.indexing import write_map_with_index
from scene_geo_loc.mapping.map_info import INDEX, INDEX_DATABASE
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.mapping.search.database_index import DatabaseIndex, condition_of
from scene_geo_loc.mapping.search.index import DescriptorIndex

SIZE, COUNT = 32, 2500
INSTALL = "LanceDB is not installed: pip install 'scene_geo_loc[database]'"


def walk(seed: int, count: int) -> np.ndarray:
    """Unit descriptors of which neighbours are similar."""
    steps = np.random.default_rng(seed).normal(size=(count, SIZE)).cumsum(axis=0)
    return (steps / np.linalg.norm(steps, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[DescriptorIndex, DatabaseIndex]:
    """The same descriptors in faiss and in a database."""
    pytest.importorskip("lancedb", reason=INSTALL)
    rows = walk(0, COUNT)
    blocks = [rows[first : first + 700] for first in range(0, COUNT, 700)]
    database = str(tmp_path_factory.mktemp("database"))
    return DescriptorIndex.build(rows), DatabaseIndex.write(database, "walk", blocks, SIZE, COUNT)


def test_a_database_gives_the_answers_of_faiss(both: tuple[DescriptorIndex, DatabaseIndex]) -> None:
    faiss, database = both
    assert (len(database), database.size) == (COUNT, SIZE)
    everywhere, near = None, np.arange(900, 1300)
    scattered = np.random.default_rng(1).choice(COUNT, 800, replace=False).astype(np.int64)
    for among in (everywhere, near, scattered, np.array([7], np.int64)):
        for query in walk(2, 40)[::4]:
            expected, similarities = faiss.search(query, 20, among)
            found, cosines = database.search(query, 20, among)
            np.testing.assert_allclose(cosines, similarities, atol=2e-6)
            # Where two are as similar as half floats can say, either may be first.
            differ = found != expected
            np.testing.assert_allclose(similarities[differ], cosines[differ], atol=2e-6)
            assert differ.mean() < 0.2
    assert len(database.search(query, 5, np.zeros(0, np.int64))[0]) == 0
    assert len(database.search(query, COUNT + 5)[0]) == COUNT


def test_stored_descriptors_are_those_of_faiss(both: tuple[DescriptorIndex, DatabaseIndex]) -> None:
    faiss, database = both
    for keyframe in (0, 1023, 1024, COUNT - 1, 3):
        np.testing.assert_array_equal(database.descriptor(keyframe), faiss.descriptor(keyframe))


@settings(max_examples=25)
@given(st.sets(st.integers(0, 600), min_size=1))
def test_a_condition_names_the_keyframes_and_no_others(keyframes: set[int]) -> None:
    condition = condition_of(np.array(sorted(keyframes, reverse=True), np.int64))
    expression = condition.replace("OR", "or").replace("AND", "and").replace("IN (", "in (-1, ")
    assert {keyframe for keyframe in range(601) if eval(expression, {"keyframe": keyframe})} == keyframes


@pytest.mark.slow
def test_a_map_is_localized_in_by_a_database_and_says_when_it_does_not_answer(
    room: Room, room_map: Path, tmp_path: Path
) -> None:
    pytest.importorskip("lancedb", reason=INSTALL)
    database = tmp_path / "fleet"
    command = ["map", "index", str(room_map), str(tmp_path / "robot"), "--database", str(database)]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    opened, original = ReferenceMap.open(tmp_path / "robot"), ReferenceMap.open(room_map)
    assert f"{len(original)} descriptors of {original.index.size} numbers" in result.output
    assert str(database) in result.output
    opened.verify()
    assert INDEX not in opened.info.files
    assert INDEX_DATABASE in opened.info.files
    frame = room.frame(-2.0, 0.1, 3.0)
    here, there = (Localizer(each, device="cpu").localize(frame) for each in (original, opened))
    assert there.status is Status.LOCALIZED
    np.testing.assert_array_equal(there.T_map_base, here.T_map_base)
    again = write_map_with_index(opened, tmp_path / "again", str(database))
    assert (again.path / INDEX_DATABASE).read_bytes() == (opened.path / INDEX_DATABASE).read_bytes()
    back = write_map_with_index(opened, tmp_path / "back", None)
    assert back.info.files[INDEX] == original.info.files[INDEX]
    localizer, fresh = Localizer(opened, device="cpu"), ReferenceMap.open(tmp_path / "robot")
    shutil.rmtree(database)
    estimate = localizer.localize(room.frame(-1.0, 0.1, 3.0))
    assert (estimate.status, estimate.kind) == (Status.LOST, RejectionKind.SEARCH)
    assert "does not answer" in estimate.reason
    with pytest.raises(SearchError, match="does not answer"):
        fresh.index.descriptor(0)
    with pytest.raises(MapError, match=r"has no table map_\w{16}"):
        ReferenceMap.open(tmp_path / "robot")


@pytest.mark.slow
def test_a_table_of_other_descriptors_is_refused_and_written_anew(tmp_path: Path) -> None:
    pytest.importorskip("lancedb", reason=INSTALL)
    rows = walk(3, 50)
    short = DatabaseIndex.write(str(tmp_path), "table", [rows[:30]], SIZE, 30)
    file = tmp_path / INDEX_DATABASE
    file.write_text(short.table.model_copy(update={"keyframes": 50}).model_dump_json())
    with pytest.raises(MapError, match=r"30 rows .* 50 keyframes"):
        DatabaseIndex.open(file)
    whole = DatabaseIndex.write(str(tmp_path), "table", [rows], SIZE, 50)
    assert len(whole) == len(DatabaseIndex.open(file)) == 50
    file.write_text("{}")
    with pytest.raises(MapError, match="names no table"):
        DatabaseIndex.open(file)
    (tmp_path / "in the way").write_text("")
    with pytest.raises(MapError, match="cannot be"):
        DatabaseIndex.write(str(tmp_path / "in the way"), "table", [rows], SIZE, 50)


def test_a_database_without_its_library_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "lancedb", None)
    with pytest.raises(MapError, match=r"scene_geo_loc\[database\]"):
        DatabaseIndex.write(str(tmp_path), "table", [walk(4, 5)], SIZE, 5)
