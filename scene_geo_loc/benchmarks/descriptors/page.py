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

"""Results of a descriptor benchmark as a Markdown page with figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from scene_geo_loc import __version__
from scene_geo_loc.benchmarks.descriptors import comparisons
from scene_geo_loc.benchmarks.descriptors.figures import (
    curves_figure,
    figure_groups,
    overview_figure,
)
from scene_geo_loc.benchmarks.descriptors.results import Benchmark, SystemResult
from scene_geo_loc.benchmarks.descriptors.systems import SystemName
from scene_geo_loc.benchmarks.descriptors.table import THRESHOLDS_M, costs_of, percent, training_of
from scene_geo_loc.benchmarks.machine import describe_machine
from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.metrics.published import icra2019
from scene_geo_loc.metrics.recall import DISTANCES_M, PlaceRecall
from scene_geo_loc.plots.style import write_figure
from scene_geo_loc.reports.report import template
from scene_geo_loc.training.common.protocols import DepthProtocol, TrainingProtocol

FULL = "full"
"""Name of the protocol with the authors' settings; systems not trained with it get an empty row."""

PLOTTED_M = (15, 30, 50)
"""Distances in the paper's tables, as plotted there, in metres."""

_CAPACITY = "RGB+ + MAC (A)"
"""System that the paper lists in Table II only, without curves."""

_OVERVIEW = "results_overview.png"


@dataclass(frozen=True)
class ResultRow:
    """Row of a system in the tables.

    Attributes:
        at_1: recall@1 by scenario, then the means.
        costs: parameters, bytes, milliseconds.
        more: cells of the second table; empty if the system was not run.
    """

    name: str
    training: str
    at_1: Sequence[str]
    costs: Sequence[str]
    more: Sequence[str] = field(default_factory=list)


@dataclass(frozen=True)
class ProtocolSection:
    """A training protocol: its name, the number of its systems, its settings (key, value, description)."""

    name: str
    systems: int
    settings: Sequence[tuple[str, Any, str]]

    @property
    def is_run(self) -> bool:
        """True if any system was trained with the protocol."""
        return self.systems > 0


def write_results(path: Path, benchmark: Benchmark) -> list[Path]:
    """Writes the page, and its figures to the folder `images` beside it; returns the paths of all files.

    Raises SceneGeoLocError if a file cannot be written.
    """
    groups = figure_groups(benchmark)
    pictures = {_OVERVIEW: partial(overview_figure, benchmark)}
    pictures |= {f"results_{group.slug}.png": partial(curves_figure, group) for group in groups}
    for name, draw in pictures.items():
        write_figure(path.parent / "images" / name, draw)
    scenarios = [views.name for views in benchmark.scenarios]
    page = template("results.md.j2").render(
        benchmark=benchmark,
        command_path=path.name if path.parent == Path() else f"{path.parent.name}/{path.name}",
        version=__version__,
        machine=describe_machine(),
        backends=list(dict.fromkeys(run.backend for result in benchmark.systems for run in result.runs)),
        counts=[(name, benchmark.recall(name), _left_out(benchmark, name)) for name in scenarios],
        protocols=_protocols(benchmark),
        scenarios=scenarios,
        means=_means(scenarios),
        rows=[*(_row(result, scenarios) for result in benchmark.systems), *_missing(benchmark, scenarios)],
        images={
            "overview": _OVERVIEW,
            "curves": [{"title": group.title, "file": f"results_{group.slug}.png"} for group in groups],
        },
        comparisons=comparisons.comparison_texts(benchmark),
        comparison_note=comparisons.NOTE,
        headline=icra2019.headline(),
        paper=_paper(scenarios),
    )
    write_aside(path, page.encode())
    return [path, *(path.parent / "images" / name for name in pictures)]


def _left_out(benchmark: Benchmark, scenario: str) -> str:
    (views,) = (views for views in benchmark.scenarios if views.name == scenario)
    return str(views.skipped) or "nothing"


def _means(scenarios: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Returns the means of the paper's abstract over several scenarios, as far as these were measured."""
    return {
        name: parts
        for name, parts in comparisons.ABSTRACT_MEANS.items()
        if len(parts) > 1 and set(parts) <= set(scenarios)
    }


def _row(result: SystemResult, scenarios: Sequence[str]) -> ResultRow:
    def at_1(recall: PlaceRecall) -> float:
        return recall.at_n(1)

    cells = [percent(result.over_seeds(name, at_1)) for name in scenarios]
    cells += [percent(result.mean_over(parts, at_1)) for parts in _means(scenarios).values()]
    more = [
        " / ".join(percent(result.over_seeds(name, lambda r, n=n: r.at_n(n)).mean) for n in (5, 10))  # type: ignore[misc]
        for name in scenarios
    ]
    by_day = [result.by_day(lambda r, d=d: r.at_d(d)) for d in THRESHOLDS_M]  # type: ignore[misc]
    plotted = [result.by_day(lambda r, d=d: _as_plotted(r, d)) for d in PLOTTED_M]  # type: ignore[misc]
    for shares in (by_day, plotted):
        more.append(" / ".join(percent(share and share.mean) for share in shares))
    training = training_of(result) or "none"
    return ResultRow(str(result.system), training, cells, costs_of(result), more)


def _as_plotted(recall: PlaceRecall, metres: int) -> float:
    return float(recall.recall_at_d_as_plotted[DISTANCES_M.index(metres)])


def _missing(benchmark: Benchmark, scenarios: Sequence[str]) -> list[ResultRow]:
    """Returns empty rows for the systems not trained with the full protocol; a single row if that is all."""
    tuned = {result.system.name for result in benchmark.systems if result.runs[0].parent}
    trained = [system for system in _trained(benchmark) if system.name not in tuned]
    full = {system.name for system in trained if system.protocol == FULL}
    names = list(dict.fromkeys(system.name for system in trained if system.name not in full))
    if len(names) > 1 and not full:
        names = ["each of the trained systems above"]
    empty = [""] * (len(scenarios) + len(_means(scenarios)))
    return [ResultRow(name, f"{FULL}: not run", empty, [""] * 3) for name in names]


def _protocols(benchmark: Benchmark) -> list[ProtocolSection]:
    """Returns the protocols that systems were trained with, then the full protocol if none used it."""
    trained = [system.protocol for system in _trained(benchmark)]
    names = [*dict.fromkeys(trained), *([FULL] if trained and FULL not in trained else [])]
    return [
        ProtocolSection(name, trained.count(name), _settings(benchmark.protocols.get(name, {})))
        for name in names
    ]


def _trained(benchmark: Benchmark) -> list[SystemName]:
    """Returns the trained systems, each once, without whitened variants."""
    names = [result.system for result in benchmark.systems]
    return [system for system in names if system.protocol and system.whitened is None]


def _settings(settings: Any) -> list[tuple[str, Any, str]]:
    of_depth = "freeze" in settings
    fields = (DepthProtocol if of_depth else TrainingProtocol).model_fields
    return [
        (key, "all" if value is None else value, str(fields[key].description) if key in fields else "")
        for key, value in settings.items()
    ]


def _paper(scenarios: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Returns the paper's systems, each with its recall@1 in the scenarios, "–" if it has none."""
    drawn = [name for scenario in scenarios for name in icra2019.systems(scenario)]
    names = dict.fromkeys([*drawn, _CAPACITY])
    rows = [(name, [_printed(name, scenario) for scenario in scenarios]) for name in names]
    return sorted(rows, key=lambda row: (row[0].split(" + ", 1)[1], row[0]))


def _printed(name: str, scenario: str) -> str:
    if name in icra2019.systems(scenario):
        return percent(icra2019.curves(scenario, name).at_n(1))
    if name == _CAPACITY and scenario in icra2019.DAYTIME:
        table = icra2019.table_2(scenario)
        return percent(table.rows[name][table.columns.index("recall@1")] / 100)
    return percent(None)
