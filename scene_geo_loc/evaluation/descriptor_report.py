"""One HTML file that shows a descriptor benchmark: table, curves, and matches to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.errors import TraversalError
from scene_geo_loc.evaluation import descriptor_table, paper_tables
from scene_geo_loc.evaluation.descriptor_benchmark import Benchmark, ScenarioResult
from scene_geo_loc.evaluation.output import write_aside
from scene_geo_loc.evaluation.pictures import jpeg_bytes, metres, side_by_side
from scene_geo_loc.evaluation.recall import PROTOCOL
from scene_geo_loc.evaluation.recall_plot import Curves, recall_svg, write_recall_plot
from scene_geo_loc.evaluation.report import template

_EACH = 3
"""Right and wrong matches that are shown of a system in a scenario."""

_HEIGHT = 200


@dataclass(frozen=True)
class Match:
    """A query beside the reference that a system finds most similar.

    Attributes:
        is_right: whether it lies within 25 m.
        title, details: in words and numbers.
        jpeg: the picture.
    """

    is_right: bool
    title: str
    details: str
    jpeg: bytes


@dataclass(frozen=True)
class Gallery:
    """Matches of a system in a scenario."""

    title: str
    matches: Sequence[Match]


def write_descriptor_report(folder: Path, benchmark: Benchmark) -> Path:
    """Writes index.html, and the curves once more as recall.svg and recall.png; returns the page's path."""
    curves: Curves = {
        result.name: {name: scenario.recall for name, scenario in result.scenarios.items()}
        for result in benchmark.systems
    }
    galleries = [
        Gallery(f"{name}: {result.name}", draw_matches(scenario))
        for result in benchmark.systems
        for name, scenario in result.scenarios.items()
    ]
    counts = [
        (name, scenario.recall, str(scenario.skipped) or "nothing")
        for name, scenario in benchmark.systems[0].scenarios.items()
    ]
    html = template("descriptors.html.j2").render(
        benchmark=benchmark,
        headings=descriptor_table.headings(benchmark),
        cost_headings=descriptor_table.COSTS,
        rows=descriptor_table.rows(benchmark),
        notes=descriptor_table.NOTES,
        curves=recall_svg(curves),
        galleries=galleries,
        counts=counts,
        protocol=PROTOCOL,
        table_1=paper_tables.table_1(),
        tables_2={scenario: paper_tables.table_2(scenario) for scenario in paper_tables.DAYTIME},
        headline=paper_tables.headline(),
    )
    for suffix in ("svg", "png"):
        write_recall_plot(folder / f"recall.{suffix}", curves)
    write_aside(folder / "index.html", html.encode())
    return folder / "index.html"


def draw_matches(result: ScenarioResult) -> list[Match]:
    """Right and wrong top-1 matches, of each kind a few from all along the queries; right ones first."""
    recall = result.recall
    matches = []
    for is_right in (True, False):
        for i in _spread(np.flatnonzero(recall.right == is_right)):
            query, reference = result.queries[i], result.references[recall.top1[i]]
            try:
                picture = side_by_side(query.read(), reference.read(), _HEIGHT)
            except TraversalError:  # removed since it was described
                continue
            away = metres(float(recall.top1_distance_m[i]))
            rank = int(recall.first_right[i])
            found = f"the first right one is number {rank}" if rank else "none of the first 25 is right"
            details = f"query of {query.camera}, reference of {reference.camera}"
            if not is_right:
                details += f"; {found}"
            matches.append(
                Match(
                    is_right, f"{'right' if is_right else 'wrong'}, {away} off", details, jpeg_bytes(picture)
                )
            )
    return matches


def _spread(indices: NDArray[np.int64]) -> list[int]:
    """A few of the indices, evenly along them and away from both ends."""
    parts = np.array_split(indices, min(_EACH, len(indices))) if len(indices) else []
    return [int(part[len(part) // 2]) for part in parts]
