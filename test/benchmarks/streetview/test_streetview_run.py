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

"""A run of the street-view benchmark in the room: results, the cache, and the page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from room import Room, write_rgbd
from room_panoramas import VIEW_CAMERA
from typer.testing import CliRunner, Result

from scene_geo_loc.benchmarks.streetview import run as run_module
from scene_geo_loc.cli.main import app
from scene_geo_loc.core.errors import SceneGeoLocError

pytestmark = pytest.mark.slow


def invoke(*arguments: object) -> Result:
    command = ["benchmark", "streetview", *map(str, arguments), "--view-camera", VIEW_CAMERA, "--views", "6"]
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [*command, "--device", "cpu"])


def test_a_drive_is_localized_in_panoramas_and_the_page_has_its_numbers(
    room: Room, street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "VIRTUAL_M", 1.0)
    drive = write_rgbd(tmp_path / "evening", room, 0.3, 8)
    out = ("--cache", tmp_path / "cache", "--json", tmp_path / "a.json", "--write", tmp_path / "docs/page.md")
    chosen = ("--queries", drive, "--method", "package", "--most-queries", "4")
    result = invoke(street, *chosen, *out)
    assert result.exit_code == 0, result.output
    numbers = json.loads((tmp_path / "a.json").read_text())
    assert [one["name"] for one in numbers["sets"]] == ["room_3m"]
    first = numbers["drives"][0]
    assert (first["drive"], first["method"], first["virtual_m"]) == ("evening", "package", None)
    assert len(first["position_m"]) == 4
    augmented = numbers["drives"][1]
    assert augmented["virtual_m"] == 1.0
    assert augmented["keyframes"] > first["keyframes"] == 3 * 6
    assert [count["distance_m"] for count in numbers["virtual_views"]] == [2, 4, 6, 8]
    errors = [error for error in first["position_m"] if error is not None]
    assert len(errors) >= 3
    assert max(errors) < 0.3
    page = (tmp_path / "docs/page.md").read_text()
    assert f"| room_3m: package's descriptor + PnlP, evening | {len(errors)} of 4 |" in page
    assert "| slides: with 53 virtual panoramas | 281 of 1046 | 26.9 | 3.19 |" in page
    assert str(tmp_path) not in page
    pictures = {path.name for path in (tmp_path / "docs/images").iterdir()}
    assert pictures >= {"streetview_map.png", "streetview_best.jpg", "streetview_worst.jpg"}
    for picture in pictures:
        assert f"images/{picture})" in page

    # The second run localizes nothing and builds no map.
    def refuse(*_: object, **__: object) -> None:
        raise SceneGeoLocError("not from the cache")

    monkeypatch.setattr(run_module, "build_map", refuse)
    monkeypatch.setattr(run_module, "localize_traversal", refuse)
    again = invoke(street, *chosen, "--cache", tmp_path / "cache", "--json", tmp_path / "b.json")
    assert again.exit_code == 0, again.output
    assert json.loads((tmp_path / "b.json").read_text())["drives"] == numbers["drives"]


def test_wrong_names_are_refused_before_anything_runs(street: Path, tmp_path: Path) -> None:
    assert "'voodoo'" in str(invoke(street, "--queries", street, "--method", "voodoo").exception)
    twice = invoke(street, "--queries", tmp_path / "a/drive", "--queries", tmp_path / "b/drive")
    assert "the same name" in str(twice.exception)
