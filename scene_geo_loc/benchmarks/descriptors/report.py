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

"""HTML report of the descriptor benchmark: table, curves, comparisons and example matches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.benchmarks.descriptors import comparisons
from scene_geo_loc.benchmarks.descriptors import table as descriptor_table
from scene_geo_loc.benchmarks.descriptors.figures import (
    curves_figure,
    figure_groups,
    figure_svg,
    overview_figure,
)
from scene_geo_loc.benchmarks.descriptors.results import Benchmark, SystemResult
from scene_geo_loc.benchmarks.descriptors.scenario_images import ScenarioViews
from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.localization.match_picture import jpeg_bytes, metres, side_by_side
from scene_geo_loc.metrics.published import icra2019
from scene_geo_loc.metrics.recall import PROTOCOL, PlaceRecall
from scene_geo_loc.plots.style import write_figure
from scene_geo_loc.reports.report import template

_EACH = 3
"""Number of correct and of wrong matches shown for a system in a scenario."""

_HEIGHT = 200


@dataclass(frozen=True)
class Match:
    """Picture of a query and its most similar reference in a system.

    Attributes:
        is_right: True if the reference lies within 25 m of the query.
        title, details: caption.
        jpeg: the picture, compressed.
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


@dataclass(frozen=True)
class Chart:
    """A figure as an SVG element, with its title."""

    title: str
    svg: str


def write_descriptor_report(folder: Path, benchmark: Benchmark) -> Path:
    """Writes index.html, and the curves also as .svg and .png files; returns the page's path."""
    groups = figure_groups(benchmark)
    galleries = [
        Gallery(f"{views.name}: {result.system}", draw_matches(views, result.runs[0].recalls[views.name]))
        for result in _shown(benchmark)
        for views in benchmark.scenarios
    ]
    counts = [
        (views.name, benchmark.recall(views.name), str(views.skipped) or "nothing")
        for views in benchmark.scenarios
    ]
    html = template("descriptors.html.j2").render(
        benchmark=benchmark,
        headings=descriptor_table.headings(benchmark),
        cost_headings=descriptor_table.COSTS,
        rows=descriptor_table.rows(benchmark),
        notes=descriptor_table.NOTES,
        overview=figure_svg(partial(overview_figure, benchmark), "overview"),
        curves=[
            Chart(group.title, figure_svg(partial(curves_figure, group), group.slug)) for group in groups
        ],
        comparisons=comparisons.comparison_texts(benchmark),
        comparison_note=comparisons.NOTE,
        galleries=galleries,
        counts=counts,
        protocol=PROTOCOL,
        table_1=icra2019.table_1(),
        tables_2={scenario: icra2019.table_2(scenario) for scenario in icra2019.DAYTIME},
        headline=icra2019.headline(),
    )
    for suffix in ("svg", "png"):
        for group in groups:
            write_figure(folder / f"{group.slug}.{suffix}", partial(curves_figure, group))
    write_aside(folder / "index.html", html.encode())
    return folder / "index.html"


def draw_matches(views: ScenarioViews, recall: PlaceRecall) -> list[Match]:
    """Draws a few correct and a few wrong top-1 matches, spread over the queries; correct ones first."""
    matches = []
    for is_right in (True, False):
        for i in _spread(np.flatnonzero(recall.right == is_right)):
            query, reference = views.queries[i], views.references[recall.top1[i]]
            try:
                picture = side_by_side(query.read(), reference.read(), _HEIGHT)
            except TraversalError:  # the file was removed after it was described
                continue
            away = metres(float(recall.top1_distance_m[i]))
            rank = int(recall.first_right[i])
            found = f"the first correct one has rank {rank}" if rank else "none of the first 25 is correct"
            details = f"query of {query.camera}, reference of {reference.camera}"
            if not is_right:
                details += f"; {found}"
            matches.append(
                Match(
                    is_right,
                    f"{'correct' if is_right else 'wrong'}, {away} off",
                    details,
                    jpeg_bytes(picture),
                )
            )
    return matches


def _shown(benchmark: Benchmark) -> list[SystemResult]:
    """Returns the systems whose matches are shown: the first one and the one with the best mean recall@1."""
    scenarios = [views.name for views in benchmark.scenarios]

    def recall_at_1(result: SystemResult) -> float:
        return float(np.mean([result.over_seeds(name, lambda r: r.at_n(1)).mean for name in scenarios]))

    best = max(benchmark.systems, key=recall_at_1)
    first = benchmark.systems[0]
    return [first] if best is first else [first, best]


def _spread(indices: NDArray[np.int64]) -> list[int]:
    """Chooses a few indices, evenly spaced and away from both ends."""
    parts = np.array_split(indices, min(_EACH, len(indices))) if len(indices) else []
    return [int(part[len(part) // 2]) for part in parts]
