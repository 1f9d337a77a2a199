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

"""The command that chooses triplets, on small runs in the official layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from robotcar_run import write_run
from typer.testing import CliRunner

from scene_geo_loc.cli.triplets import triplets
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.places.scenarios import TRAINING_RUNS
from scene_geo_loc.places.triplets import Triplets
from scene_geo_loc.places.views import VIEWS

pytestmark = pytest.mark.slow

app = typer.Typer()
app.command()(triplets)

AREAS = {"train": [[0, 0, 400, 600]], "validation": [[500, 0, 501, 1]], "test": [[600, 0, 601, 1]]}
SMALL = ("--negative-distance", "60", "--negatives", "3")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs along one bend of 120 m."""
    folder = tmp_path_factory.mktemp("robotcar")
    for run in TRAINING_RUNS:
        write_run(folder, run, VIEWS)
    (folder / "areas.json").write_text(json.dumps(AREAS))
    return folder


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_triplets_of_three_runs_are_written_and_summed_up_in_a_line(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "triplets.parquet"
    told = run(root, out, "--count", 10, *SMALL)
    made = Triplets.load(out)
    assert len(made) == 10
    assert {triplet.anchor.run for triplet in made.items} == {TRAINING_RUNS[0]}
    assert {s.run for t in made.items for s in t.positives} == set(TRAINING_RUNS[1:])
    assert (
        f"{out}: 10 triplets of an anchor, 4 positives and 3 negatives; {len(made.images)} images of 3 runs, "
        "0 of them with a depth map"
    ) in told


def test_depth_maps_that_are_missing_are_made_once_and_named(root: Path, tmp_path: Path) -> None:
    out, depth = tmp_path / "triplets.parquet", tmp_path / "depth"
    ask = (root, out, "--count", 4, *SMALL, "--depth", depth)
    told = run(*ask, "--make-depth")
    made = Triplets.load(out)
    known = [s for s in made.images.values() if s.depth is not None]
    assert f"{len(made.images)} images of 3 runs, {len(known)} of them with" in told
    assert len(known) > len(made.images) // 2
    written = {path: path.stat().st_mtime_ns for path in depth.rglob("*.png")}
    assert len(written) == len(known)
    run(*ask, "--make-depth")
    assert {path: path.stat().st_mtime_ns for path in depth.rglob("*.png")} == written
    assert Triplets.load(out).images.keys() == made.images.keys()


def test_fewer_triplets_than_asked_for_are_told_with_the_reason(root: Path, tmp_path: Path) -> None:
    told = run(root, tmp_path / "triplets.parquet", *SMALL)
    made = Triplets.load(tmp_path / "triplets.parquet")
    assert f"Only {len(made)} of 400 triplets could be made" in told
    assert "anchors with fewer than 3 negatives" in told


def test_the_authors_700_m_are_not_to_be_had_on_a_short_street(root: Path, tmp_path: Path) -> None:
    with pytest.raises(SceneGeoLocError, match=r"700 m.*choose a smaller negative distance"):
        run(root, tmp_path / "triplets.parquet")
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_missing_is_told_but_anchors_must_be_there(tmp_path: Path) -> None:
    write_run(tmp_path, TRAINING_RUNS[0], VIEWS[:1])
    (tmp_path / "areas.json").write_text(json.dumps(AREAS))
    told = run(tmp_path, tmp_path / "triplets.parquet", *SMALL, "--positives", 2)
    assert all(f"The run {name} is missing" in told for name in TRAINING_RUNS[1:])
    (tmp_path / TRAINING_RUNS[0]).rename(tmp_path / TRAINING_RUNS[1])
    with pytest.raises(SceneGeoLocError, match=f"no RobotCar run {TRAINING_RUNS[0]}"):
        run(tmp_path, tmp_path / "triplets.parquet")


def test_settings_that_make_no_sense_are_one_sentence(root: Path, tmp_path: Path) -> None:
    with pytest.raises(SceneGeoLocError, match="--positive-distance: Input should be greater than 0"):
        run(root, tmp_path / "triplets.parquet", "--positive-distance", -1)
