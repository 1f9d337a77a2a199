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

"""The cache of a command's folders: complete folders, and folders that are never removed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scene_geo_loc.core.artifacts import ArtifactCache
from scene_geo_loc.core.errors import SceneGeoLocError

ORIGIN: dict[str, Any] = {"condition": "snow", "seed": 7}


def make(artifacts: ArtifactCache, name: str = "bags/snow") -> Path:
    path = artifacts.begin(name)
    path.mkdir(parents=True)
    (path / "snow.mcap").write_bytes(b"white")
    artifacts.finish(name, ORIGIN)
    return path


def test_what_was_made_is_there_the_next_time(tmp_path: Path) -> None:
    make(ArtifactCache(tmp_path / "demo"))
    assert ArtifactCache(tmp_path / "demo").is_complete("bags/snow", ORIGIN)


def test_nothing_is_there_before_it_is_made(tmp_path: Path) -> None:
    assert not ArtifactCache(tmp_path / "demo").is_complete("bags/snow", ORIGIN)


def test_what_was_made_from_something_else_does_not_count(tmp_path: Path) -> None:
    make(ArtifactCache(tmp_path / "demo"))
    assert not ArtifactCache(tmp_path / "demo").is_complete("bags/snow", ORIGIN | {"seed": 8})


@pytest.mark.parametrize("damage", ["cut short", "removed", "added to"])
def test_what_was_damaged_since_does_not_count(tmp_path: Path, damage: str) -> None:
    path = make(ArtifactCache(tmp_path / "demo"))
    if damage == "cut short":
        (path / "snow.mcap").write_bytes(b"wh")
    elif damage == "removed":
        (path / "snow.mcap").unlink()
    else:
        (path / "more.mcap").write_bytes(b"")
    assert not ArtifactCache(tmp_path / "demo").is_complete("bags/snow", ORIGIN)


def test_what_was_left_half_made_does_not_count(tmp_path: Path) -> None:
    artifacts = ArtifactCache(tmp_path / "demo")
    make(artifacts)
    artifacts.begin("bags/snow").mkdir()
    assert not ArtifactCache(tmp_path / "demo").is_complete("bags/snow", ORIGIN)


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(SceneGeoLocError, match="name another folder"):
        ArtifactCache(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_a_folder_that_the_command_has_not_made_is_kept(tmp_path: Path, kind: str) -> None:
    artifacts = ArtifactCache(tmp_path / "demo")
    own = tmp_path / "own"
    own.mkdir()
    (own / "thesis.tex").write_text("years of work")
    if kind == "folder":
        own.rename(tmp_path / "demo" / "bags")
    else:
        make(artifacts, "bags")
        (tmp_path / "demo" / "bags").rename(tmp_path / "moved")
        (tmp_path / "demo" / "bags").symlink_to(own)
    with pytest.raises(SceneGeoLocError, match="was not made by this command"):
        artifacts.begin("bags")
    assert (tmp_path / "demo" / "bags" / "thesis.tex").read_text() == "years of work"


def test_what_a_killed_run_left_without_a_complete_record_is_made_again(tmp_path: Path) -> None:
    path = ArtifactCache(tmp_path / "demo").begin("bags/snow")
    path.mkdir(parents=True)  # killed before `finish`
    make(ArtifactCache(tmp_path / "demo"))
    assert ArtifactCache(tmp_path / "demo").is_complete("bags/snow", ORIGIN)
