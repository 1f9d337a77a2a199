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

"""`scene-geo-loc benchmark pose`: from sources to tables, JSON, curves and a page."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from room import Room, write_rgbd
from typer.testing import CliRunner, Result

from scene_geo_loc.benchmarks.poses.errors import Place
from scene_geo_loc.benchmarks.poses.experiments import find_experiments
from scene_geo_loc.benchmarks.poses.results import read_benchmark
from scene_geo_loc.cli.main import app
from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.networks.checkpoint import save_network
from scene_geo_loc.networks.default import default_network
from scene_geo_loc.networks.runtime.extractor import Extractor

pytestmark = pytest.mark.slow


def invoke(*arguments: object) -> Result:
    command = ["benchmark", "pose", *(str(argument) for argument in arguments)]
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, command)


@pytest.fixture(scope="module")
def morning(room: Room, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rgbd(tmp_path_factory.mktemp("sources") / "morning", room, 0.0, 12)


@pytest.fixture(scope="module")
def evening(room: Room, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rgbd(tmp_path_factory.mktemp("sources") / "evening", room, 0.15)


@contextmanager
def counted_passes() -> Iterator[list[Any]]:
    """The forward passes of networks."""
    done: list[Any] = []
    extract = Extractor.extract

    def counted(self: Extractor, image: Any, *given: Any, **named: Any) -> Any:
        done.append(image)
        return extract(self, image, *given, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Extractor, "extract", counted)
        yield done


@dataclass(frozen=True)
class Run:
    """A benchmark of one source: `folder` holds poses.json, curves and the cache of maps."""

    folder: Path
    output: str
    passes: int


@pytest.fixture(scope="module")
def one_source(morning: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("one_source")
    out = ("--json", folder / "poses.json", "--curves", folder / "curves", "--cache", folder / "maps")
    with counted_passes() as passes:
        result = invoke(morning, *out, "--device", "cpu")
    assert result.exit_code == 0, result.output
    return Run(folder, result.output, len(passes))


def test_one_source_is_mapped_by_its_even_frames_and_localized_by_its_odd_ones(one_source: Run) -> None:
    # The keyframes for maps of sensor and of learned depth; each query once, whatever is done with it.
    assert one_source.passes == 2 * 6 + 6
    (queries,) = read_benchmark(one_source.folder / "poses.json").sets
    assert (queries.queries, queries.place) == (6, Place.INDOORS)
    retrieval, *methods = queries.methods
    assert retrieval.is_retrieval
    assert {method.depth for method in methods} == {"sensor", "learned"}
    best = [method for method in methods if method.depth == "sensor"][-1]
    assert best.median_m is not None
    assert retrieval.median_m is not None
    assert best.median_m < 0.5 * retrieval.median_m
    assert "The map's source has no lidar." in one_source.output
    assert "against retrieval: position -" in one_source.output
    (curves,) = (one_source.folder / "curves").iterdir()
    assert cv2.imread(str(curves)).shape[0] > 300


def test_a_map_in_the_cache_is_not_built_again(morning: Path, evening: Path, tmp_path: Path) -> None:
    options = ("--cache", tmp_path / "maps", "--keyframe-distance", 0.4, "--device", "cpu")
    assert invoke(morning, evening, *options, "--json", tmp_path / "first.json").exit_code == 0
    with counted_passes() as passes:
        assert invoke(morning, evening, *options, "--json", tmp_path / "again.json").exit_code == 0
    assert len(passes) == 8  # the queries alone
    (before,), (after,) = (read_benchmark(tmp_path / f"{name}.json").sets for name in ("first", "again"))
    assert [method.position_m for method in before.methods] == [method.position_m for method in after.methods]
    assert len(list((tmp_path / "maps").glob("*/map.json"))) == 2


def test_a_damaged_map_in_the_cache_is_built_anew(morning: Path, one_source: Run, tmp_path: Path) -> None:
    shutil.copytree(one_source.folder / "maps", tmp_path / "maps")
    built = next(path for path in (tmp_path / "maps").iterdir() if path.is_dir())
    (built / "depth.npy").write_bytes(b"broken")
    result = invoke(morning, "--cache", tmp_path / "maps", "--device", "cpu")
    assert result.exit_code == 0, result.output
    remade = {line.partition(":")[0] for line in result.output.splitlines() if line.startswith("mapping")}
    assert len(remade) == 1


def test_a_page_shows_these_results_and_earlier_ones_and_leaves_what_was_not_run_empty(
    morning: Path, evening: Path, one_source: Run, tmp_path: Path
) -> None:
    page = tmp_path / "docs" / "poses.md"
    result = invoke(
        *(morning, evening, "--outdoors", "--device", "cpu", "--also", one_source.folder / "poses.json"),
        *("--write", page),
    )
    assert result.exit_code == 0, result.output
    text = page.read_text()
    assert text.index("## morning, odd frames in morning, even frames") < text.index("## evening in morning")
    assert "| lidar depth |  |  |" in text
    assert "| Chess | 0.29 / 13.0 |" in text
    assert "### Cambridge Landmarks (Table 2)" in text
    assert len(list((page.parent / "images").iterdir())) == 2


def test_a_source_without_depth_is_mapped_by_what_the_network_infers(room: Room, tmp_path: Path) -> None:
    mono = write_rgbd(tmp_path / "mono", room, 0.0, with_depth=False)
    result = invoke(mono, "--json", tmp_path / "mono.json", "--device", "cpu")
    assert result.exit_code == 0, result.output
    (queries,) = read_benchmark(tmp_path / "mono.json").sets
    assert {method.depth for method in queries.methods if not method.is_retrieval} == {"learned"}
    assert list(queries.not_run) == ["sensor depth", "lidar depth", "retrieved by sequences", "tracked"]


def test_without_any_depth_there_is_retrieval_alone(room: Room, tmp_path: Path) -> None:
    mono, network = write_rgbd(tmp_path / "mono", room, 0.0, with_depth=False), tmp_path / "rgb.safetensors"
    save_network(default_network()[0].without_depth(), network, {})
    result = invoke(mono, "--network", network, "--json", tmp_path / "mono.json", "--device", "cpu")
    assert result.exit_code == 0, result.output
    (queries,) = json.loads((tmp_path / "mono.json").read_text())["sets"]
    assert [method["step"] for method in queries["methods"]] == ["retrieval"]
    assert list(queries["not_run"]) == [
        "sensor depth",
        "lidar depth",
        "learned depth",
        "retrieved by sequences",
        "tracked",
    ]


def test_scenes_of_the_paper_are_run_one_by_one_by_their_splits(data_dir: Path, tmp_path: Path) -> None:
    scenes = data_dir / "7scenes_stairs_sample"
    (experiment,) = find_experiments(scenes, [])
    assert experiment.table is not None
    assert (experiment.table.benchmark, experiment.table.scene) == ("7-Scenes", "Stairs")
    assert (len(experiment.reference), [len(queries) for queries in experiment.queries.values()]) == (6, [6])
    assert experiment.settings.keyframe_distance_m == 0.0


def test_query_sources_have_names_of_their_own(morning: Path, evening: Path) -> None:
    (experiment,) = find_experiments(morning, [evening], query_every=2, place=Place.OUTDOORS)
    assert [(name, len(queries)) for name, queries in experiment.queries.items()] == [("evening", 4)]
    assert experiment.settings.keyframe_distance_m == 1.0
    with pytest.raises(TraversalError, match="named twice"):
        find_experiments(morning, [evening, evening])


def test_queries_without_poses_cannot_be_scored(morning: Path, room: Room, tmp_path: Path) -> None:
    blind = write_rgbd(tmp_path / "blind", room, 0.1)
    np.savetxt(blind / "poses.txt", np.full((8, 16), np.nan))
    result = invoke(morning, blind, "--device", "cpu")
    assert isinstance(result.exception, TraversalError)
    assert "has no poses to compare with" in str(result.exception)


def test_help_has_an_example() -> None:
    shown = invoke("--help")
    assert shown.exit_code == 0
    assert "scene-geo-loc benchmark pose morning.bag" in " ".join(shown.output.split())
