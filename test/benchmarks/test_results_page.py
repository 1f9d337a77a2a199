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

"""Output of a benchmark: pictures, the HTML report, and the page of results."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from made_benchmark import RGB, RGBTD, benchmark, random_run, run, system

from scene_geo_loc.benchmarks.descriptors import table as descriptor_table
from scene_geo_loc.benchmarks.descriptors.figures import MAX_CURVES, curves_figure, figure_groups
from scene_geo_loc.benchmarks.descriptors.page import write_results
from scene_geo_loc.benchmarks.descriptors.report import write_descriptor_report
from scene_geo_loc.benchmarks.descriptors.results import Benchmark
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.metrics.published import icra2019
from scene_geo_loc.plots.style import write_figure

pytestmark = pytest.mark.slow

SEEDS = (0, 1, 2)


@pytest.fixture
def made() -> Benchmark:
    untrained = {name: recall.right.tolist() for name, recall in random_run(0.4, 0).recalls.items()}
    rows = [
        system("first", {"descriptor": "untrained"}, [run(untrained, seed=None)], protocol=""),
        system("RGB, AlexNet, MAC", RGB, [random_run(0.5, seed) for seed in SEEDS]),
        system("RGBtD, AlexNet, MAC", RGBTD, [random_run(0.7, seed) for seed in SEEDS]),
    ]
    protocols = {"reduced": {"epochs": 5, "triplets": None}}
    return benchmark(rows, left_out=["Rain is left out."], protocols=protocols, is_simulated=True)


def test_the_table_has_our_rows_and_the_papers_below_them(made: Benchmark) -> None:
    first, _, rgbtd, baseline, proposed = descriptor_table.rows(made)
    assert re.fullmatch(r"\d+\.\d", first.cells[0][0])
    assert re.fullmatch(r"\d+\.\d ±\d+\.\d", rgbtd.cells[0][0])
    assert rgbtd.training == "reduced, seeds 0, 1, 2"
    assert [row.is_paper for row in (first, rgbtd, baseline, proposed)] == [False, False, True, True]
    assert baseline.name == "paper: RGB + NetVLAD (Rt)"
    assert baseline.cells[0] == ["76.6", "83.9", "86.6"]
    # Table I's "All" at 25 m; at 50 m the paper's curves have ended.
    assert proposed.cells[4][1:] == ["72.2", "–"]
    assert all(len(row.cells) == len(descriptor_table.headings(made)) for row in (first, proposed))


def test_the_report_is_a_page_with_curves_comparisons_and_the_papers_tables(
    made: Benchmark, tmp_path: Path
) -> None:
    page = write_descriptor_report(tmp_path / "report", made)
    assert sorted(path.name for path in page.parent.iterdir()) == ["index.html", "recall.png", "recall.svg"]
    html = page.read_text()
    assert "<title>Descriptors on city</title>" in html
    for words in (
        "Rain is left out.",
        "RGBtD, AlexNet, MAC against RGB, AlexNet, MAC",
        "95 % CI",
        "Table II, snow",
        "true thresholds",
        "63.0",
    ):
        assert words in html, words
    assert not re.search(r'(src|href)="(?!data:|#)', html)


def test_names_are_escaped_in_the_report(made: Benchmark, tmp_path: Path) -> None:
    rows = [system("<b>&", RGB, [random_run(0.5, 0)])]
    html = write_descriptor_report(tmp_path, benchmark(rows)).read_text()
    assert "&lt;b&gt;&amp;" in html


def test_the_page_of_results_is_whole_and_says_what_was_not_run(made: Benchmark, tmp_path: Path) -> None:
    written = write_results(tmp_path / "docs" / "results.md", made)
    page = written[0].read_text()
    lines = page.splitlines()
    for words in (
        "`scene-geo-loc benchmark descriptors ROOT --runs FOLDER --write docs/results.md`",
        "simulated, no real images",
        "- Rain is left out.",
        "| epochs | 5 | ",
        "| triplets | all | ",
        "No system was trained with it",
        "| RGB+ + MAC (A) | 60.1 | 67.0 | 41.1 | – |",
        "**RGBtD, AlexNet, MAC against RGB, AlexNet, MAC, protocol reduced**",
    ):
        assert words in page, words
    row = next(line for line in lines if line.startswith("| RGBtD, AlexNet, MAC | reduced, seeds 0, 1, 2 |"))
    assert row.count("±") == 5
    empty = "| each of the trained systems above | full: not run |" + "  |" * 8
    assert empty in lines


def test_the_page_says_what_each_part_of_a_system_began_with(made: Benchmark, tmp_path: Path) -> None:
    rgbtd = {"encoder": "alexnet.safetensors", "depth encoder": "ImageNet's", "decoder": "random"}
    begun_with = {"RGB": {"encoder": "ImageNet's"}, "RGBtD": rgbtd}
    written = write_results(tmp_path / "results.md", replace(made, begun_with=begun_with))
    lines = written[0].read_text().splitlines()
    assert "| RGB | ImageNet's | – | – |" in lines
    assert "| RGBtD | alexnet.safetensors | ImageNet's | random |" in lines


def test_every_picture_of_the_page_lies_beside_it(made: Benchmark, tmp_path: Path) -> None:
    written = write_results(tmp_path / "results.md", made)
    named = re.findall(r"\]\((images/[^)]+)\)", written[0].read_text())
    assert [tmp_path / name for name in named] == written[1:]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written[1:])


def test_the_same_benchmark_writes_the_same_files(made: Benchmark, tmp_path: Path) -> None:
    first, second = (write_results(tmp_path / name / "results.md", made) for name in ("a", "b"))
    pages = [files[0].read_text().replace(f"{files[0].parent.name}/", "") for files in (first, second)]
    assert pages[0] == pages[1]
    assert [path.read_bytes() for path in first[1:]] == [path.read_bytes() for path in second[1:]]


def test_a_page_that_cannot_be_written_is_one_sentence(made: Benchmark, tmp_path: Path) -> None:
    (tmp_path / "docs").write_text("no folder")
    with pytest.raises(SceneGeoLocError, match="cannot be written"):
        write_results(tmp_path / "docs" / "results.md", made)


def test_few_systems_share_one_picture(made: Benchmark) -> None:
    (group,) = figure_groups(made)
    assert (group.slug, len(group.systems)) == ("recall", 3)


def test_many_systems_are_drawn_by_encoder_and_pooling_with_switches_apart() -> None:
    answers = [run({"snow": [True, False]}, digest="abc")]
    switches: list[dict[str, Any]] = [
        {"fusion": "gated"},
        {"colouring": "smooth"},
        {"uncertainty": True},
        {"augmentation": True},
    ]
    rows = [system("first", {}, answers, protocol="")]
    rows += [
        system(f"{kind} {pooling}", {**RGB, "pooling": pooling, "descriptor": kind}, answers)
        for pooling in ("mac", "netvlad")
        for kind in ("rgb", "rgb_plus", "hallucination", "rgbtd")
    ]
    rows += [system(f"switch {i}", {**RGBTD, **switch}, answers) for i, switch in enumerate(switches)]
    rows.append(system("whitened", RGB, answers, whitened=64))
    tuned = [run({"snow": [True, True]}, parent="abc")]
    rows.append(system("tuned", {**RGBTD, "pooling": "netvlad"}, tuned, protocol="depth"))
    groups = figure_groups(benchmark(rows))
    assert [(group.slug, len(group.systems)) for group in groups] == [
        ("recall_other_systems", 1),
        ("recall_mac_a_protocol_reduced", 4),
        ("recall_mac_a_protocol_reduced_2", 6),
        ("recall_netvlad_a_protocol_reduced", 5),
    ]
    assert [result.system.name for result in groups[2].systems[:2]] == ["rgb mac", "rgbtd mac"]
    assert groups[1].paper == ["RGB + MAC (A)", "RGBtD + MAC (A)"]
    drawn = {result.system.name for group in groups for result in group.systems}
    assert drawn == {result.system.name for result in rows} - {"whitened"}
    assert all(len(group.systems) <= MAX_CURVES for group in groups)


def test_lines_of_one_picture_differ_in_colour(made: Benchmark) -> None:
    rows = [system(str(i), RGBTD, [random_run(0.5, i)]) for i in range(MAX_CURVES)]
    (group,) = figure_groups(benchmark(rows))
    axes = curves_figure(group).axes[0]
    ours = [line for line in axes.get_lines() if not str(line.get_label()).startswith("paper")]
    assert len({line.get_color() for line in ours}) == MAX_CURVES


def test_the_papers_curves_stand_beside_ours_in_the_same_scenario(made: Benchmark, tmp_path: Path) -> None:
    (group,) = figure_groups(made)
    write_figure(tmp_path / "recall.svg", partial(curves_figure, group))
    svg = (tmp_path / "recall.svg").read_text()
    assert f"paper, real runs: {icra2019.BASELINE}" in svg
    assert "sunny, 100 queries" in svg
