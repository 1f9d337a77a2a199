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

"""Pictures of the localizers side by side: error against cost, and against the number of images."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from scene_geo_loc.benchmarks.poses.localizers.results import LocalizerResult
from scene_geo_loc.plots.style import PLAIN

MARKERS = ("o", "s", "^")
"""One for each round through the colours."""
COLOURS = ("#12a184", "#e0a01b", "#d2456b", "#5b7fd6", "#7a4fb0", "#24b3d1", "#8a6d3b", "#101112")


def cost_figure(localizers: Sequence[LocalizerResult]) -> Figure:
    """Returns a figure of the median position error against the size of the map and the time of a query.

    A full point stands for a localizer of which half of the queries or more were localized, a ring for one
    whose poses were mostly rejected.
    """
    figure = Figure(figsize=(9.6, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    styles = _styles(localizers)
    for result in localizers:
        colour, marker = styles[result.name]
        if result.median_m is None or result.median_ms is None:
            continue
        is_trusted = (result.localized_share or 0) >= 0.5
        for axes, cost in ((left, result.map_mb), (right, result.median_ms)):
            axes.plot(
                [cost],
                [result.median_m],
                marker,
                ms=8,
                color=colour,
                mfc=colour if is_trusted else "none",
                mew=1.6,
                label=result.name,
            )
    _log_axes(left, "size of the map (MB)")
    _log_axes(right, "time of a query (ms)")
    left.set_ylabel("median position error (m)")
    _legend(figure, [left])
    return figure


def images_figure(localizers: Sequence[LocalizerResult]) -> Figure:
    """Returns a figure of the median errors against the number of images that the maps were made of."""
    figure = Figure(figsize=(9.6, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    styles = _styles(localizers)
    for name in dict.fromkeys(result.name for result in localizers):
        own = sorted(
            (result for result in localizers if result.name == name and result.images is not None),
            key=lambda result: result.images or 0,
        )
        for axes, of in ((left, "median_m"), (right, "median_deg")):
            known = [(r.images, getattr(r, of)) for r in own if getattr(r, of) is not None]
            if known:
                colour, marker = styles[name]
                axes.plot(*zip(*known, strict=True), f"{marker}-", color=colour, lw=1.6, label=name)
    for axes, label in ((left, "median position error (m)"), (right, "median rotation error (°)")):
        _log_axes(axes, "images of the map")
        axes.set_ylabel(label)
    _legend(figure, [left])
    return figure


def has_study_of_images(localizers: Sequence[LocalizerResult]) -> bool:
    """Returns whether a localizer has maps of different numbers of images."""
    by_name: dict[str, set[int | None]] = {}
    for result in localizers:
        by_name.setdefault(result.name, set()).add(result.images)
    return any(len(counts) > 1 for counts in by_name.values())


def _styles(localizers: Sequence[LocalizerResult]) -> dict[str, tuple[str, str]]:
    """Returns the colour and the marker of each localizer."""
    names = dict.fromkeys(result.name for result in localizers)
    pairs = cycle((colour, marker) for marker in MARKERS for colour in COLOURS)
    return dict(zip(names, pairs, strict=False))


def _log_axes(axes: Axes, label: str) -> None:
    axes.set(xscale="log", yscale="log", xlabel=label)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(PLAIN)
        axis.set_minor_formatter(NullFormatter())


def _legend(figure: Figure, panels: Sequence[Axes]) -> None:
    handles = {line.get_label(): line for axes in panels for line in axes.get_lines()}
    figure.legend(list(handles.values()), list(map(str, handles)), loc="outside right center", fontsize=9.5)
