"""The curves of recall@N and of top-1 recall@D, scenario by scenario."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from scene_geo_loc.evaluation import paper_tables
from scene_geo_loc.evaluation.charts import STEP_COLOURS
from scene_geo_loc.evaluation.output import write_aside
from scene_geo_loc.evaluation.recall import DISTANCES_M, MOST, PlaceRecall
from scene_geo_loc.evaluation.style import MUTED, STYLE, page_svg

Curves = Mapping[str, Mapping[str, PlaceRecall]]
"""Recall by system and by scenario."""

PAPER = (paper_tables.BASELINE, paper_tables.PROPOSED, paper_tables.NIGHT)
_DASHES = ("-", (0, (4, 2)), (0, (1, 1.5)))


def recall_svg(curves: Curves, paper: Sequence[str] = PAPER) -> str:
    """The picture as an SVG element that takes its colours from the page it stands in."""
    with mpl.rc_context(STYLE):
        return page_svg(_figure(curves, paper), "recall")


def write_recall_plot(path: Path, curves: Curves, paper: Sequence[str] = PAPER) -> None:
    """Writes the picture as the file's suffix says: .svg or .png."""
    out = io.BytesIO()
    with mpl.rc_context({**STYLE, "svg.hashsalt": "recall"}):
        metadata = {"Date": None, "Creator": None} if path.suffix == ".svg" else None
        _figure(curves, paper).savefig(out, format=path.suffix[1:], dpi=160, metadata=metadata)
    write_aside(path, out.getvalue())


def _figure(curves: Curves, paper: Sequence[str]) -> Figure:
    """One column a scenario; above recall@N, below top-1 recall@D with true thresholds.

    Of `paper`, the systems that the paper has in a scenario are drawn as thin grey lines; what it
    plots at D stands where it belongs, a metre before.
    """
    scenarios = list(next(iter(curves.values())))
    figure = Figure(figsize=(11.2, 5.2), layout="constrained")
    grid = figure.subplots(2, len(scenarios), sharex="row", sharey=True, squeeze=False)
    ranks, distances = np.arange(1, MOST + 1), np.array(DISTANCES_M)
    for (above, below), scenario in zip(grid.T, scenarios, strict=True):
        for system, dashes in zip(paper, _DASHES, strict=False):
            if system in paper_tables.systems(scenario):
                printed = paper_tables.curves(scenario, system)
                look = {"color": MUTED, "lw": 0.9, "ls": dashes, "label": f"paper, real runs: {system}"}
                above.plot(ranks, printed.recall_at_n, **look)
                below.plot(distances - 1, printed.recall_at_d_as_plotted, **look)
        for (system, recalls), colour in zip(curves.items(), STEP_COLOURS, strict=False):
            recall = recalls[scenario]
            above.plot(ranks, recall.recall_at_n, color=colour, lw=2, label=system)
            below.plot(distances, recall.recall_at_d, color=colour, lw=2, label=system)
        queries = next(iter(curves.values()))[scenario].queries
        above.set_title(f"{scenario}, {queries} queries")
        above.set(xlabel="N", xlim=(1, MOST), xticks=(1, 5, 10, 15, 20, 25), ylim=(0, 1.02))
        below.set(xlabel="D (m)", xlim=(14, DISTANCES_M[-1]), xticks=(15, 25, 35, 50))
    grid[0, 0].set_ylabel("recall@N within 25 m")
    grid[1, 0].set_ylabel("top-1 recall@D")
    grid[0, 0].yaxis.set_major_formatter(PercentFormatter(1.0))
    handles = {line.get_label(): line for axes in grid.ravel() for line in axes.get_lines()}
    ours_first = sorted(handles, key=lambda label: label.startswith("paper"))
    figure.legend(
        [handles[label] for label in ours_first],
        ours_first,
        loc="outside upper left",
        ncols=2,
        fontsize=9.5,
    )
    return figure
