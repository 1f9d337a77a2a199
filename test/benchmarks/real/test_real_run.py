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

"""A run over a root with several sets: what is found, scored, cached, left out and written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from room import Room, write_rgbd
from textured import textured, write
from typer.testing import CliRunner, Result

from scene_geo_loc.benchmarks.real.image_matcher import ImageMatcher, epipolar_inliers, why_not_run
from scene_geo_loc.benchmarks.real.results import RETRIEVAL
from scene_geo_loc.benchmarks.real.run import RealRun
from scene_geo_loc.benchmarks.real.sets import SETS, find_sets
from scene_geo_loc.cli.main import app
from scene_geo_loc.core.errors import SceneGeoLocError


def invoke(*arguments: object) -> Result:
    command = ["benchmark", "real", *map(str, arguments), "--device", "cpu"]
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, command)


def labelled_pairs(folder: Path) -> Path:
    """Five places, each seen twice, and every query paired with three of them."""
    for i in range(5):
        write(folder / f"database/{i}.png", textured(i))
        write(folder / f"queries/{i}.png", np.roll(textured(i), 4, axis=1))
    rows = [f"queries/{i}.png,database/{j % 5}.png,{int(i == j)}" for i in range(5) for j in range(i, i + 3)]
    (folder / "pairs.csv").write_text("\n".join(["query,database,match", *rows]) + "\n")
    return folder


@pytest.mark.slow
def test_pairs_of_shifted_images_are_found_by_descriptor_and_by_geometry(tmp_path: Path) -> None:
    labelled_pairs(tmp_path / "root" / "mine")
    out = ("--cache", tmp_path / "cache", "--json", tmp_path / "a.json", "--write", tmp_path / "page.md")
    result = invoke(tmp_path / "root", "--matcher", "sift", *out)
    assert result.exit_code == 0, result.output
    (pairs,) = json.loads((tmp_path / "a.json").read_text())["sets"]
    assert (pairs["name"], pairs["folders"]) == ("pairs", ["mine"])
    assert [method["method"] for method in pairs["methods"]] == ["descriptor", RETRIEVAL, "sift"]
    (sift,) = pairs["methods"][2]["parts"]
    assert sift["queries"] == 15
    assert sift["values"]["average_precision"] == 1.0
    page = (tmp_path / "page.md").read_text()
    assert "| all | sift | 15 | 5 | 100.0 |" in page
    assert str(tmp_path) not in page
    for entry in SETS:
        assert entry.title in page  # those that are not there, with where they can be had

    # The second run reads the cache.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImageMatcher, "inliers", None)
        again = invoke(tmp_path / "root", "--matcher", "sift", "--cache", tmp_path / "cache")
    assert again.exit_code == 0, again.output
    assert "100.0" in again.output


@pytest.mark.slow
def test_a_walk_is_localized_upright_and_the_rest_is_scored_too(room: Room, tmp_path: Path) -> None:
    write_rgbd(tmp_path / "walk", room, 0.0, 24)
    run = RealRun(tmp_path, ["rgbd"], ["sift"], device="cpu").run()
    (walk,) = run.sets
    parts = {part.name: part for part in walk.methods[0].parts}
    assert len(parts) == 6
    odd = parts["odd frames"]
    assert (odd.queries, odd.references) == (12, 12)
    assert odd.values["localized"] == 12
    assert odd.values["median_m"] < 0.1
    assert odd.values["10 cm 5°"] >= 0.9
    assert parts["rolled by 15°"].values["localized"] >= 10
    # Through another lens, poses of this room's few features may be off by almost a metre.
    same_lens = [part for name, part in parts.items() if not name.startswith("lens")]
    assert [part.values["wrong"] for part in same_lens] == [0, 0, 0, 0]
    assert parts["every fifth mapped"].queries == 19


def test_a_missing_root_and_unknown_names_are_refused_in_one_sentence(tmp_path: Path) -> None:
    for arguments, words in (
        ((tmp_path / "none",), "not a folder"),
        ((tmp_path,), "none of the sets"),
        ((tmp_path, "--sets", "moon"), "no set 'moon'"),
        ((tmp_path, "--matcher", "moon"), "no matcher 'moon'"),
    ):
        if "--matcher" in arguments:
            labelled_pairs(tmp_path)
        result = invoke(*arguments)
        assert isinstance(result.exception, SceneGeoLocError)
        assert words in str(result.exception)


def test_a_set_that_is_half_there_is_left_out_with_a_sentence(tmp_path: Path) -> None:
    write(tmp_path / "day_right" / "0.png", textured(0))
    (tmp_path / "night_right").mkdir()
    (result,) = RealRun(tmp_path, ["gardens-point"], ["sift"], device="cpu").run().sets
    assert result.methods == []
    assert "no images; the set is incomplete" in result.left_out[0]
    assert str(tmp_path) not in result.left_out[0]


def test_a_matcher_that_does_not_run_has_a_sentence() -> None:
    assert why_not_run("sift", device="cpu") is None
    assert why_not_run("moon", device="cpu").startswith("moon: ")


def test_matches_of_one_epipolar_geometry_are_counted() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (60, 3)) + np.array([0, 0, 4])
    moved = points - np.array([0.5, 0.1, 0.2])
    query, reference = (600 * p[:, :2] / p[:, 2:] + 320 for p in (points, moved))
    reference[:20] = rng.uniform(0, 640, (20, 2))
    assert 38 <= epipolar_inliers(query, reference, 3.0) <= 48
    assert epipolar_inliers(query[:7], reference[:7], 3.0) == 0


def test_the_sets_at_hand_are_recognised_by_their_layout(data_dir: Path) -> None:
    found = {entry.name for entry, _ in find_sets(data_dir)}
    assert {"rgbd", "7scenes", "kitti", "gardens-point", "pairs", "cameras"} <= found
