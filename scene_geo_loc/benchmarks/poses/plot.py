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

"""The curves of a pose benchmark: the share of the queries whose error is below a bound."""

from __future__ import annotations

from collections import Counter
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, PercentFormatter
from numpy.typing import NDArray

from scene_geo_loc.benchmarks.poses.methods import RETRIEVAL
from scene_geo_loc.benchmarks.poses.results import MethodResult, PoseBenchmark, QuerySetResult
from scene_geo_loc.benchmarks.poses.table import label
from scene_geo_loc.plots.style import MUTED, PLAIN, write_figure

COLOURS = ("#e0a01b", "#12a184", "#d2456b", "#5b7fd6", "#7a4fb0", "#24b3d1", "#8a6d3b")
"""One for each method but retrieval."""
_EDGES = (0.5, 99.5)
"""Percentiles of the errors at the ends of the axes."""


def write_curves(folder: Path, benchmark: PoseBenchmark, prefix: str = "") -> list[Path]:
    """Draws the curves of each set of queries; returns the files. Raises SceneGeoLocError."""
    files: list[Path] = []
    named: Counter[str] = Counter()
    for queries in benchmark.sets:
        words = "".join(
            c if c.isalnum() else " " for c in f"{queries.name} {queries.map_name}".lower()
        ).split()
        name = prefix + "_".join(dict.fromkeys(words))
        named[name] += 1  # sets of one name, by different networks, have pictures of their own
        files.append(folder / (f"{name}.png" if named[name] == 1 else f"{name}_{named[name]}.png"))
        write_figure(files[-1], partial(curves_figure, queries))
    return files


def curves_figure(queries: QuerySetResult) -> Figure:
    """Returns a figure with two panels for each map: position on the left, rotation on the right.

    Both axes are logarithmic.  Retrieved poses are grey, since nothing verifies them.  Dotted lines are the
    bounds that shares are given for.
    """
    maps = _by_map(queries)
    figure = Figure(figsize=(9.6, 0.7 + 3.2 * len(maps)), layout="constrained")
    grid = figure.subplots(len(maps), 2, sharex="col", sharey=True, squeeze=False)
    bounds = list(queries.bounds.values())
    colours = _colours_of(queries)
    for (left, right), (title, methods) in zip(grid, maps.items(), strict=True):
        for axes, of, limits in (
            (left, "position", [bound[0] for bound in bounds]),
            (right, "rotation", [bound[1] for bound in bounds]),
        ):
            for limit in set(limits):
                axes.axvline(limit, color=MUTED, lw=0.8, ls=(0, (1, 2)), zorder=1)
            low, high = _span(queries, of, limits)
            for method in methods:
                _draw(axes, method, getattr(method, of), low, high, colours[method.step])
            axes.set(xscale="log", xlim=(low, high), ylim=(0, 1.02))
            axes.xaxis.set_major_formatter(PLAIN)
            axes.xaxis.set_minor_formatter(NullFormatter())
        left.set(title=title, ylabel="share of all queries")
        left.yaxis.set_major_formatter(PercentFormatter(1.0))
    grid[-1, 0].set_xlabel("position error (m)")
    grid[-1, 1].set_xlabel("rotation error (°)")
    figure.suptitle(f"{queries.name} in {queries.map_name}: {queries.queries} queries", x=0.01, ha="left")
    handles = {line.get_label(): line for axes in grid[:, 0] for line in axes.get_lines()}
    steps = [step for step in colours if step in handles]
    figure.legend([handles[step] for step in steps], steps, loc="outside right center", fontsize=9.5)
    return figure


def _by_map(queries: QuerySetResult) -> dict[str, list[MethodResult]]:
    """Returns the methods of each map, after the retrieval row, by the settings that distinguish the maps."""
    verified = [method for method in queries.methods if not method.is_retrieval]
    maps: dict[str, list[MethodResult]] = {}
    for method in verified:
        # A label is "step, depth and so on"; the step may hold commas itself.
        title = label(method, queries.methods).removeprefix(f"{method.step}, ")
        maps.setdefault(title, [queries.retrieval_of(method)]).append(method)
    return maps or {"without depth": list(queries.methods)}


def _colours_of(queries: QuerySetResult) -> dict[str, str]:
    steps = dict.fromkeys(method.step for method in queries.methods if not method.is_retrieval)
    return {RETRIEVAL: MUTED, **dict(zip(steps, cycle(COLOURS), strict=False))}


def _span(queries: QuerySetResult, of: str, limits: list[float]) -> tuple[float, float]:
    """Returns the range of an axis, which contains most errors of all methods, and the limits."""
    errors = np.concatenate([getattr(method, of) for method in queries.methods])
    finite = errors[np.isfinite(errors) & (errors > 0)]
    low, high = np.percentile(finite, _EDGES) if len(finite) else (min(limits), max(limits))
    return min(low, *limits) / 1.3, max(high, *limits) * 1.3


def _draw(
    axes: Axes, method: MethodResult, error: NDArray[np.float64], low: float, high: float, colour: str
) -> None:
    counted = np.sort(np.clip(error[method.counts], low, None))
    share = np.arange(1, len(counted) + 1) / len(error)
    x = np.concatenate([[low], counted, [high]])
    y = np.concatenate([[0.0], share, [len(counted) / len(error)]])
    axes.step(x, y, where="post", label=method.step, color=colour, lw=1.4 if method.is_retrieval else 1.8)
