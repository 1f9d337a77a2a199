"""The curves of a pose benchmark: the share of the queries whose error is below a bound."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, PercentFormatter
from numpy.typing import NDArray

from scene_geo_loc.evaluation.pose_results import MethodResult, PoseBenchmark, QuerySetResult
from scene_geo_loc.evaluation.pose_table import label
from scene_geo_loc.evaluation.recall_plot import write_figure
from scene_geo_loc.evaluation.style import MUTED, PLAIN

_COLOURS = ("#e0a01b", "#12a184", "#d2456b", "#5b7fd6", "#7a4fb0")
_DASHES = ("-", (0, (4, 1.6)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)))
_EDGES = (0.5, 99.5)
"""Percentiles of the errors that the axes reach from and to."""


def write_curves(folder: Path, benchmark: PoseBenchmark, prefix: str = "") -> list[Path]:
    """Draws the curves of each set of queries; returns the files. Raises SceneGeoLocError."""
    files = []
    for queries in benchmark.sets:
        words = "".join(
            c if c.isalnum() else " " for c in f"{queries.name} {queries.map_name}".lower()
        ).split()
        files.append(folder / f"{prefix}{'_'.join(dict.fromkeys(words))}.png")
        write_figure(files[-1], partial(curves_figure, queries))
    return files


def curves_figure(queries: QuerySetResult) -> Figure:
    """Position to the left, rotation to the right, both logarithmic; a colour a step, a dash a map.

    Retrieved poses are grey: they are no claims.  Dotted lines are the bounds that shares are given for.
    """
    figure = Figure(figsize=(9.6, 3.9), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    bounds = list(queries.bounds.values())
    _draw(axes[0], queries, [method.position for method in queries.methods], [b[0] for b in bounds])
    _draw(axes[1], queries, [method.rotation for method in queries.methods], [b[1] for b in bounds])
    axes[0].set(xlabel="position error (m)", ylabel="share of all queries", ylim=(0, 1.02))
    axes[0].yaxis.set_major_formatter(PercentFormatter(1.0))
    axes[1].set(xlabel="rotation error (°)")
    axes[0].set_title(f"{queries.name} in {queries.map_name}: {queries.queries} queries")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize=9.5)
    return figure


def _draw(
    axes: Axes, queries: QuerySetResult, errors: list[NDArray[np.float64]], bounds: list[float]
) -> None:
    finite = np.concatenate([error[np.isfinite(error) & (error > 0)] for error in errors])
    low, high = np.percentile(finite, _EDGES) if len(finite) else (0.01, 10.0)
    low, high = min(low, *bounds) / 1.3, max(high, *bounds) * 1.3
    for bound in set(bounds):
        axes.axvline(bound, color=MUTED, lw=0.8, ls=(0, (1, 2)), zorder=1)
    for method, error in zip(queries.methods, errors, strict=True):
        counted = np.sort(np.clip(error[method.counts], low, None))
        share = np.arange(1, len(counted) + 1) / len(error)
        x, y = (
            np.concatenate([[low], counted, [high]]),
            np.concatenate([[0.0], share, [len(counted) / len(error)]]),
        )
        axes.step(x, y, where="post", label=label(method, queries.methods), **_look(queries, method))
    axes.set(xscale="log", xlim=(low, high))
    axes.xaxis.set_major_formatter(PLAIN)
    axes.xaxis.set_minor_formatter(NullFormatter())


def _look(queries: QuerySetResult, method: MethodResult) -> dict[str, object]:
    verified = [m for m in queries.methods if not m.is_retrieval]
    maps = list(dict.fromkeys((m.network, m.matcher, m.depth) for m in verified))
    networks = list(dict.fromkeys(m.network for m in queries.methods))
    if method.is_retrieval:
        return {"color": MUTED, "lw": 1.4, "ls": _DASHES[networks.index(method.network) % len(_DASHES)]}
    steps = list(dict.fromkeys(m.step for m in verified))
    of_map = maps.index((method.network, method.matcher, method.depth))
    return {
        "color": _COLOURS[steps.index(method.step) % len(_COLOURS)],
        "ls": _DASHES[of_map % len(_DASHES)],
        "lw": 1.8,
    }
