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

"""`scene-geo-loc benchmark`: scores on the terminal, as JSON, and as a page."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from scene_geo_loc.cli.main import app
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import make_pose
from scene_geo_loc.networks import default
from scene_geo_loc.networks.architecture.checkpoint import save_checkpoint, untrained_network
from scene_geo_loc.places import scenarios
from scene_geo_loc.places.views import View
from scene_geo_loc.traversals.folder import FolderTraversal, FrameFiles
from scene_geo_loc.traversals.skipped import Skipped

pytestmark = pytest.mark.slow


def run(*arguments: object) -> str:
    command = [str(argument) for argument in arguments]
    return CliRunner(env={"COLUMNS": "160"}).invoke(app, command, catch_exceptions=False).output


def views(folder: Path, count: int) -> list[View]:
    """Places 100 m apart, each with blobs of its own, seen alike in every run."""
    made = []
    folder.mkdir(parents=True)
    for place in range(count):
        small = np.random.default_rng(place).integers(0, 255, (6, 8, 3), np.uint8)
        path = folder / f"{place}.png"
        cv2.imwrite(str(path), cv2.resize(small, (96, 72), interpolation=cv2.INTER_CUBIC))
        pose = make_pose(np.eye(3), (100.0 * place, 0.0, 0.0))
        files = FrameFiles(place, path, Camera(96, 72, 70.0, 70.0, 47.5, 35.5), pose)
        made.append(View(folder.name, "stereo/centre", files, FolderTraversal(folder.name, [files])))
    return made


def test_the_four_scenarios_are_scored_by_one_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    references = views(tmp_path / "city" / "reference", 12)

    made = [
        scenarios.Scenario(name, references, views(tmp_path / "city" / name, 5), Skipped())
        for name in ("sunny", "long-term", "snow")
    ]

    def load_scenarios(root: Path) -> tuple[list[scenarios.Scenario], list[str]]:
        return made, ["night is left out: there is no run of it."]

    monkeypatch.setattr(scenarios, "load_scenarios", load_scenarios)
    monkeypatch.setattr(default, "CHECKPOINT", tmp_path / "default.safetensors")
    save_checkpoint(untrained_network(), default.CHECKPOINT, {})
    trained(tmp_path / "runs", seeds=(4, 5))
    report, numbers, page = tmp_path / "report", tmp_path / "recall.json", tmp_path / "docs" / "results.md"
    command = ["benchmark", "descriptors", tmp_path / "city", "--runs", tmp_path / "runs", "--whiten", 3]
    command += ["--cache", tmp_path / "cache", "--json", numbers, "--report", report, "--write", page]
    shown = run(*command, "--device", "cpu")
    assert "paper: RGBtD + NetVLAD (Rt)" in shown
    assert "sunny: 5 queries, 12 references, recall@1 by chance 8.3 %." in shown
    assert "night is left out" in shown
    assert "tiny, PCA-whitened to 3" in shown
    assert "reduced, seeds 4, 5" in shown
    record = json.loads(numbers.read_text())
    names = [(system["name"], len(system["seeds"])) for system in record["systems"]]
    assert names[1:] == [("tiny", 2), ("tiny, PCA-whitened to 3", 2)]
    first = record["systems"][0]["seeds"][0]
    assert set(first["scenarios"]) == {"sunny", "long-term", "snow"}
    assert first["scenarios"]["snow"]["recall_at_n"][0] == 1.0
    assert (report / "index.html").is_file()
    assert page.read_text().startswith("# Descriptors: recall")
    assert f"The results are {page}, with 2 pictures in" in shown.replace("\n", " ")
    # Queries look exactly like their references: what the cache tells is what was measured.
    again = tmp_path / "again.json"
    run(*command[:7], "--cache", tmp_path / "cache", "--json", again, "--device", "cpu")
    assert json.loads(again.read_text())["systems"][1:] == record["systems"][1:]


def trained(folder: Path, seeds: tuple[int, ...]) -> None:
    """Finished run folders of a tiny system of random weights."""
    from scene_geo_loc.networks.architecture.checkpoint import save_checkpoint
    from scene_geo_loc.networks.architecture.network_config import NetworkConfig
    from scene_geo_loc.networks.architecture.scene_network import SceneNetwork
    from scene_geo_loc.training.common.run_folder import BEST, RunFolder

    network = NetworkConfig(pooling="mac", input_width=64, input_height=64)
    for seed in seeds:
        system = {"name": "tiny", "network": network.model_dump()}
        config = {"system": system, "protocol": {"name": "reduced", "epochs": 5}, "seed": seed}
        made = RunFolder(folder / f"tiny_{seed}", config)
        (made.path / BEST).parent.mkdir()
        save_checkpoint(SceneNetwork(network), made.path / BEST, {})
        made.finish({"ended": "after 5 epochs"})


def test_runs_that_are_not_there_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(SceneGeoLocError):
        run("benchmark", "descriptors", tmp_path)


def write_pairs(folder: Path) -> None:
    (folder / "pairs.csv").write_text("query,database,match\nq,near,1\nq,far,0\nq,missing,0\n")
    unit = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
    np.savez(folder / "x.npz", names=np.array(["q", "near", "far"]), descriptors=unit)


def test_labelled_pairs_are_scored(tmp_path: Path) -> None:
    write_pairs(tmp_path)
    shown = run(
        "benchmark", "pairs", tmp_path / "pairs.csv", tmp_path / "x.npz", "--json", tmp_path / "scores.json"
    )
    assert "Average precision 100.0 % over 2 pairs, 1 of them matches." in shown
    assert "for 1 of 1 queries" in shown
    assert "Left out: 1 pairs" in shown
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["average_precision"] == 1.0
    assert scores["best_is_match_share"] == 1.0
    assert "ranked together by cosine" in scores["protocol"]["average_precision"]


@pytest.mark.parametrize(
    ("folder", "pairs", "precision"),
    [
        ("vpr_robotcar/retrieval_snow", 33, 0.65),
        ("vpr_cmu_seasons/retrieval_autumn", 67, 0.65),
    ],
)
def test_real_pairs_of_two_seasons_are_told_apart_far_better_than_by_chance(
    data_dir: Path, tmp_path: Path, folder: str, pairs: int, precision: float
) -> None:
    source = data_dir / folder
    run("describe", source, "--out", tmp_path / "x.npz", "--device", "cpu")
    run("benchmark", "pairs", source / "pairs.csv", tmp_path / "x.npz", "--json", tmp_path / "scores.json")
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert (scores["pairs"], scores["pairs_left_out"]) == (pairs, 0)
    assert scores["average_precision"] > precision
