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

"""Table of the descriptor benchmark: our systems, then the numbers printed in the paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scene_geo_loc.benchmarks.descriptors.results import Benchmark, Spread, SystemResult
from scene_geo_loc.metrics.published import icra2019
from scene_geo_loc.metrics.recall import DISTANCES_M, RADIUS_M

RANKS = (1, 5, 10)
THRESHOLDS_M = (15, 25, 50)
UNKNOWN = "–"

NOTES = (
    f"Scenarios: recall@{RANKS[0]}, @{RANKS[1]} and @{RANKS[2]} in per cent: one of the N most similar "
    f"references lies within {RADIUS_M:g} m. By day: the mean over {', '.join(icra2019.DAYTIME)} of the "
    "share of queries whose most similar reference lies within D metres, true thresholds.",
    "Several seeds: mean ± sample standard deviation.",
    "The paper's rows are its printed numbers for the real RobotCar runs, for orientation. Its distances are "
    "corrected by the 1 m offset of its plots; its curves end at 49 m.",
)


@dataclass(frozen=True)
class Row:
    """Row of a system; a cell has several lines.

    Attributes:
        training: protocol and seeds as text; empty if it was not trained.
        cells: lines of recall, by the columns of `headings`.
        costs: by `COSTS`; empty if unknown.
    """

    name: str
    cells: Sequence[Sequence[str]]
    training: str = ""
    costs: Sequence[str] = ()
    is_paper: bool = False


COSTS = ("million parameters", "bytes per image", "ms per image")


def headings(benchmark: Benchmark) -> list[list[str]]:
    """Returns the headings of the recall columns: the name, then one label for each line of a cell."""
    scenarios = [[views.name, *(f"@{n}" for n in RANKS)] for views in benchmark.scenarios]
    return [*scenarios, ["by day", *(f"{metres} m" for metres in THRESHOLDS_M)]]


def rows(benchmark: Benchmark) -> list[Row]:
    """Returns rows of our systems, then of the paper's best ones trained on images alone and with depth."""
    scenarios = [views.name for views in benchmark.scenarios]
    ours = [_ours(result, scenarios) for result in benchmark.systems]
    papers = [_papers(system, scenarios) for system in (icra2019.BASELINE, icra2019.PROPOSED)]
    return ours + papers


def training_of(result: SystemResult) -> str:
    """Returns training protocol and seeds of a system: "reduced, seeds 1, 2"."""
    seeds = ", ".join(map(str, result.seeds))
    counted = f"{'seed' if len(result.seeds) == 1 else 'seeds'} {seeds}" if seeds else ""
    return ", ".join(words for words in (result.system.protocol, counted) if words)


def costs_of(result: SystemResult) -> tuple[str, str, str]:
    """Returns the costs of a system, formatted by `COSTS`."""
    run = result.runs[0]
    return f"{run.parameters / 1e6:.1f}", str(run.bytes_an_image), f"{result.ms_an_image:.1f}"


def percent(share: float | Spread | None) -> str:
    """Formats a share with its spread, if it has one: "64.0 ±1.9"."""
    if share is None:
        return UNKNOWN
    if isinstance(share, Spread):
        spread = "" if share.deviation is None else f" ±{100 * share.deviation:.1f}"
        return f"{100 * share.mean:.1f}{spread}"
    return f"{100 * share:.1f}"


def _ours(result: SystemResult, scenarios: Sequence[str]) -> Row:
    cells = [
        [percent(result.over_seeds(name, lambda recall, n=n: recall.at_n(n))) for n in RANKS]  # type: ignore[misc]
        for name in scenarios
    ]
    by_day = [result.by_day(lambda recall, d=d: recall.at_d(d)) for d in THRESHOLDS_M]  # type: ignore[misc]
    cells.append([percent(share) for share in by_day])
    return Row(str(result.system), cells, training_of(result), costs_of(result))


def _papers(system: str, scenarios: Sequence[str]) -> Row:
    cells = []
    for scenario in scenarios:
        curves = icra2019.curves(scenario, system)
        cells.append([percent(curves.at_n(n)) for n in RANKS])
    by_day = []
    for metres in THRESHOLDS_M:
        known = metres < DISTANCES_M[-1]
        shares = [icra2019.curves(name, system).at_d(metres) for name in icra2019.DAYTIME if known]
        by_day.append(percent(float(np.mean(shares)) if shares else None))
    return Row(f"paper: {system}", [*cells, by_day], is_paper=True)
