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

"""The command view, and recordings that localize and evaluate write to be viewed."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Any

import cv2
import pytest
from cli.test_localize_evaluate import invoke, record
from room import Room

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.traversals.rosbag.bag import Bag

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def bag(room: Room, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("bags") / "evening", room, with_truth=True)


@pytest.fixture
def viewer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A display, and a viewer that writes its argument to a file; returns that file."""
    opened = tmp_path / "opened.txt"
    program = tmp_path / "bin" / "lichtblick"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("DISPLAY", ":0")
    return opened


def test_a_map_is_shown_without_a_result(room_map: Path, tmp_path: Path) -> None:
    shown = invoke("view", room_map, "--out", tmp_path / "view")
    assert shown.exit_code == 0, shown.output
    assert "No viewer was opened" in shown.output
    assert "scene_geo_loc[viewer]" in shown.output
    assert set(Bag(tmp_path / "view").counts) == {"/localization/keyframes", "/localization/keyframe_views"}


def test_without_a_folder_the_recording_is_in_the_temporary_one(
    room_map: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    shown = invoke("view", room_map, "--no-open")
    assert "viewer" not in shown.output
    (folder,) = tmp_path.glob("scene_geo_loc_*")
    assert str(folder) in shown.output


def test_what_localize_found_is_shown_as_a_trajectory_and_with_its_evidence(
    room_map: Path, bag: Path, tmp_path: Path, viewer: Path
) -> None:
    run = invoke("localize", room_map, bag, "--out", tmp_path / "evening.tum", "--view", tmp_path / "evening")
    assert run.exit_code == 0, run.output
    counts = Bag(tmp_path / "evening").counts
    assert counts["/localization/candidates"] == counts["/localization/matches"] == 8
    assert counts["/localization/pose_with_covariance"] >= 5

    shown = invoke("view", room_map, tmp_path / "evening.tum", "--out", tmp_path / "track")
    assert "Opened in lichtblick." in shown.output
    assert Bag(tmp_path / "track").counts["/localization/pose"] == counts["/localization/pose"]
    shown = invoke("view", room_map, tmp_path / "evening")
    assert "Opened in lichtblick." in shown.output

    pytest.importorskip("matplotlib")
    shown = invoke("view", room_map, tmp_path / "evening", "--picture", tmp_path / "evening.png")
    assert shown.exit_code == 0, shown.output
    assert cv2.imread(str(tmp_path / "evening.png")).std() > 10
    refused = invoke("view", room_map, tmp_path / "track", "--picture", tmp_path / "track.png")
    assert isinstance(refused.exception, TraversalError)


def test_evaluate_records_the_true_poses_as_well(room_map: Path, bag: Path, tmp_path: Path) -> None:
    run = invoke("evaluate", room_map, bag, "--view", tmp_path / "evening")
    assert run.exit_code == 0, run.output
    assert Bag(tmp_path / "evening").counts["/ground_truth/pose"] == 8
    refused: Any = invoke("evaluate", room_map, bag, "--live", "--view", tmp_path / "other")
    assert refused.exit_code == 2


def test_a_result_that_is_none_is_refused_in_a_sentence(room_map: Path, tmp_path: Path) -> None:
    assert isinstance(invoke("view", room_map, tmp_path).exception, TraversalError)
    assert isinstance(invoke("view", room_map, tmp_path / "nowhere.tum").exception, TraversalError)
    assert invoke("view", room_map, tmp_path, "--out", tmp_path / "view").exit_code == 2
