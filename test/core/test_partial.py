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

"""Output folders: they get their final name when they are complete, and no other files are removed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import scene_geo_loc.core.partial as partial_module
from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.core.errors import MapError, SceneGeoLocError
from scene_geo_loc.core.journal import Journal
from scene_geo_loc.core.partial import MARKER, PartialFolder, check_replaceable

KIND = "thing"


def begin(out: Path, text: str = "new", **options: bool) -> PartialFolder:
    partial = PartialFolder(out, KIND, **options)  # type: ignore[arg-type]
    (partial.begin() / "thing.txt").write_text(text)
    return partial


def replaceable(folder: Path) -> None:
    check_replaceable(folder, KIND, lambda path: (path / "thing.txt").is_file(), ["thing.txt", "*.npy"])


def contents(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.iterdir()}


def test_an_output_has_its_name_when_it_is_published_and_leaves_nothing_else(tmp_path: Path) -> None:
    partial = begin(tmp_path / "deep" / "out")
    assert not (tmp_path / "deep" / "out").exists()
    partial.publish()
    assert contents(tmp_path / "deep" / "out") == {"thing.txt": "new"}
    assert os.listdir(tmp_path / "deep") == ["out"]


def test_what_was_left_is_taken_up_and_can_be_discarded(tmp_path: Path) -> None:
    begin(tmp_path / "out").release()
    again = PartialFolder(tmp_path / "out", KIND)
    assert again.take_up()
    assert (again.folder / "thing.txt").read_text() == "new"
    again.restart()
    assert os.listdir(again.folder) == [MARKER]
    again.discard()
    assert os.listdir(tmp_path) == []
    assert not again.take_up()


@pytest.mark.parametrize("entry", ["folder", "file", "link", "other kind"])
def test_what_is_not_an_unfinished_output_is_kept(tmp_path: Path, entry: str) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "photo.jpg").write_text("mine")
    at = tmp_path / "out.partial"
    if entry == "folder":
        (tmp_path / "own").rename(at)
    elif entry == "file":
        at.write_text("mine")
    elif entry == "link":
        at.symlink_to(tmp_path / "own")
    else:
        PartialFolder(tmp_path / "out", "other thing").begin()
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    partial = PartialFolder(tmp_path / "out", KIND, error=MapError)
    for attempt in (partial.take_up, partial.begin):
        with pytest.raises(MapError, match=r"out\.partial is in the way"):
            attempt()
    partial.discard()
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before


def test_a_link_inside_an_unfinished_output_is_not_followed(tmp_path: Path) -> None:
    begin(tmp_path / "out").release()
    (tmp_path / "secret").write_text("mine")
    (tmp_path / "out.partial" / "descriptors.npy").symlink_to(tmp_path / "secret")
    with pytest.raises(SceneGeoLocError, match=r"descriptors\.npy is neither a regular file nor a folder"):
        PartialFolder(tmp_path / "out", KIND).take_up()
    assert (tmp_path / "secret").read_text() == "mine"


def test_a_name_that_cannot_be_created_is_refused(tmp_path: Path) -> None:
    for name in (".", "..", "/"):
        with pytest.raises(SceneGeoLocError, match="cannot be the name of a thing"):
            PartialFolder(Path(name), KIND)
    (tmp_path / "file").write_text("")
    with pytest.raises(SceneGeoLocError, match="cannot be written"):
        PartialFolder(tmp_path / "file" / "out", KIND).begin()


def test_an_output_that_appeared_meanwhile_is_kept(tmp_path: Path) -> None:
    partial = begin(tmp_path / "out")
    (tmp_path / "out").mkdir()
    with pytest.raises(SceneGeoLocError, match="exists already"):
        partial.publish()
    assert os.listdir(tmp_path / "out") == []
    assert (partial.folder / "thing.txt").is_file()


@pytest.mark.parametrize("can_exchange", [True, False])
def test_an_earlier_output_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_exchange: bool
) -> None:
    if not can_exchange:
        monkeypatch.setattr(partial_module, "exchange", lambda first, second: False)
    begin(tmp_path / "out", "old").publish()
    (tmp_path / "out.replaced").mkdir()
    (tmp_path / "out.replaced" / "photo.jpg").write_text("mine")
    begin(tmp_path / "out").publish(replaceable)
    assert contents(tmp_path / "out") == {"thing.txt": "new"}
    assert sorted(os.listdir(tmp_path)) == ["out", "out.replaced"]
    assert contents(tmp_path / "out.replaced") == {"photo.jpg": "mine"}


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ("file", "is no thing"),
        ("link", "symbolic link"),
        ("photos", "is no thing"),
        ("more", "also holds notes.txt"),
    ],
)
def test_what_is_more_than_an_earlier_output_is_not_replaced(
    tmp_path: Path, entry: str, sentence: str
) -> None:
    out = tmp_path / "out"
    if entry == "file":
        out.write_text("mine")
    elif entry == "link":
        begin(tmp_path / "target", "old").publish()
        out.symlink_to(tmp_path / "target")
    elif entry == "photos":
        out.mkdir()
        (out / "photo.jpg").write_text("mine")
    else:
        begin(out, "old").publish()
        (out / "notes.txt").write_text("mine")
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    partial = begin(out)
    with pytest.raises(SceneGeoLocError, match=sentence):
        partial.publish(replaceable)
    partial.discard()
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before


def test_what_a_kill_left_of_a_replaced_output_is_removed(tmp_path: Path) -> None:
    begin(tmp_path / "out", "old").publish()
    partial = begin(tmp_path / "out")
    partial._write_marker(tmp_path / "out", replaced=True)
    partial_module.exchange(partial.folder, tmp_path / "out")  # and killed here
    partial.release()
    assert not PartialFolder(tmp_path / "out", KIND).take_up()
    assert os.listdir(tmp_path) == ["out"]
    assert (tmp_path / "out" / "thing.txt").read_text() == "new"
    begin(tmp_path / "out", "newer").publish(replaceable)
    assert contents(tmp_path / "out") == {"thing.txt": "newer"}


def test_what_kills_left_under_temporary_names_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in (".out.partial.0123abcd", ".out.0123abcd.replaced"):
        begin(tmp_path / "other").folder.rename(tmp_path / name)
    for name in (".out.partial.4567abcd", ".out.partial.89abcdef", ".out.notes"):
        (tmp_path / name).mkdir()
    (tmp_path / ".out.partial.4567abcd" / "photo.jpg").write_text("mine")
    partial = begin(tmp_path / "out")
    (partial.folder / ".thing.txt.99-0123abcd.partial").write_text("torn")
    partial.publish()
    assert contents(tmp_path / "out") == {"thing.txt": "new"}
    assert sorted(os.listdir(tmp_path)) == [".out.notes", ".out.partial.4567abcd", "out"]


def test_two_writers_of_one_output_are_one_too_many(tmp_path: Path) -> None:
    partial = begin(tmp_path / "out")
    second = PartialFolder(tmp_path / "out", KIND)
    with pytest.raises(SceneGeoLocError, match="out is being written by another process"):
        second.begin()
    partial.publish()
    second.begin()
    second.discard()


def test_a_writer_that_waits_begins_when_the_other_process_is_done(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from scene_geo_loc.core.partial import PartialFolder;"
        "p = PartialFolder(Path(sys.argv[1]), 'thing'); p.begin(); print('begun', flush=True);"
        "time.sleep(0.5); p.publish()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "out")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    waiting = PartialFolder(tmp_path / "out", KIND, wait=True)
    waiting.begin()
    assert (tmp_path / "out").is_dir()
    waiting.discard()
    assert process.wait(20) == 0


def test_a_new_folder_takes_the_first_name_that_is_free(tmp_path: Path) -> None:
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial2").write_text("mine")
    partial = PartialFolder(tmp_path / "out", KIND, hidden=True)
    assert [path.name for path in partial.begin_new()] == [".out.partial", ".out.partial2"]
    (partial.folder / "out").mkdir()
    partial.publish(content=partial.folder / "out")
    assert sorted(os.listdir(tmp_path)) == [".out.partial", ".out.partial2", "out"]


def test_a_journal_is_read_up_to_its_first_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, int)
    assert journal.head is None
    journal.open({"of": "numbers"}, int)
    for number in range(3):
        journal.append(number)
    journal.close()
    path.write_text(path.read_text()[:-1])
    again = Journal(path, int)
    assert (again.head, again.records) == ({"of": "numbers"}, [0, 1])
    again.open(again.head, int)
    again.append(5)
    again.close()
    assert Journal(path, int).records == [0, 1, 5]
    again.remove()
    assert not path.exists()


def test_a_file_written_aside_keeps_a_link_and_is_never_a_device(tmp_path: Path) -> None:
    (tmp_path / "target.json").write_text("old")
    (tmp_path / "link.json").symlink_to(tmp_path / "target.json")
    write_aside(tmp_path / "link.json", b"new")
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "target.json").read_text() == "new"
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/null")):
        with pytest.raises(SceneGeoLocError, match="not a regular file"):
            write_aside(path, b"")
    assert len(os.listdir(tmp_path)) == 3
