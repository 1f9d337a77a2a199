"""The table of a descriptor benchmark: our systems, and the paper's printed numbers below them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scene_geo_loc.evaluation import paper_tables
from scene_geo_loc.evaluation.descriptor_benchmark import Benchmark, SystemResult
from scene_geo_loc.evaluation.recall import DISTANCES_M, RADIUS_M

RANKS = (1, 5, 10)
THRESHOLDS_M = (15, 25, 50)
UNKNOWN = "–"

NOTES = (
    f"Scenarios: recall@{RANKS[0]}, @{RANKS[1]} and @{RANKS[2]} in per cent: one of the N most similar "
    f"references lies within {RADIUS_M:g} m. By day: the mean over {', '.join(paper_tables.DAYTIME)} of the "
    "share of queries whose most similar reference lies within D metres, true thresholds.",
    "The paper's rows are what it prints for the real RobotCar runs, for orientation; its distances are "
    "corrected by the metre that its plots are off, and its curves end at 49 m.",
)


@dataclass(frozen=True)
class Row:
    """One row: a system and, column by column, what to write one below the other.

    Attributes:
        cells: recall, by `headings`.
        costs: by `COSTS`; empty where they are not known.
    """

    name: str
    cells: Sequence[Sequence[str]]
    costs: Sequence[str] = ()
    is_paper: bool = False


COSTS = ("million parameters", "bytes an image", "ms an image")


def headings(benchmark: Benchmark) -> list[list[str]]:
    """The columns of recall: what they are, and what stands in their lines."""
    scenarios = [[name, *(f"@{n}" for n in RANKS)] for name in _scenarios(benchmark)]
    return [*scenarios, ["by day", *(f"{metres} m" for metres in THRESHOLDS_M)]]


def rows(benchmark: Benchmark) -> list[Row]:
    """Our systems, then the paper's best one on images alone and its best one with depth."""
    ours = [_ours(result) for result in benchmark.systems]
    papers = [
        _papers(system, _scenarios(benchmark)) for system in (paper_tables.BASELINE, paper_tables.PROPOSED)
    ]
    return ours + papers


def _scenarios(benchmark: Benchmark) -> list[str]:
    return list(benchmark.systems[0].scenarios)


def _ours(result: SystemResult) -> Row:
    cells = [[_percent(scenario.recall.at_n(n)) for n in RANKS] for scenario in result.scenarios.values()]
    cells.append(
        [_percent(result.daytime_mean(lambda recall, d=d: recall.at_d(d))) for d in THRESHOLDS_M]  # type: ignore[misc]
    )
    costs = f"{result.parameters / 1e6:.1f}", str(result.bytes_an_image), f"{result.ms_an_image:.1f}"
    return Row(result.name, cells, costs)


def _papers(system: str, scenarios: Sequence[str]) -> Row:
    cells = []
    for scenario in scenarios:
        curves = paper_tables.curves(scenario, system)
        cells.append([_percent(curves.at_n(n)) for n in RANKS])
    by_day = []
    for metres in THRESHOLDS_M:
        known = metres < DISTANCES_M[-1]
        shares = [paper_tables.curves(name, system).at_d(metres) for name in paper_tables.DAYTIME if known]
        by_day.append(_percent(float(np.mean(shares)) if shares else None))
    return Row(f"paper: {system}", [*cells, by_day], is_paper=True)


def _percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{100 * share:.1f}"
