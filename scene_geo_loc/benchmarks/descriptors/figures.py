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

"""Figures of the descriptor benchmark: curves of recall@N and top-1 recall@D, and an overview of recall@1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from scene_geo_loc.benchmarks.descriptors.comparisons import BASELINES, PROPOSED
from scene_geo_loc.benchmarks.descriptors.results import Benchmark, SystemResult
from scene_geo_loc.benchmarks.descriptors.systems import is_plain, paper_name
from scene_geo_loc.metrics.published import icra2019
from scene_geo_loc.metrics.recall import DISTANCES_M, MOST, PlaceRecall
from scene_geo_loc.networks.architecture.descriptors.hallucination import Hallucination
from scene_geo_loc.networks.architecture.descriptors.rgb import RGB
from scene_geo_loc.networks.architecture.descriptors.rgbtd import RGBPlus, RGBtD
from scene_geo_loc.plots.style import INK, MUTED, STYLE, page_svg

_KIND_COLOURS = {
    RGB.name: "#5b7fd6",
    RGBPlus.name: "#e0a01b",
    RGBtD.name: "#12a184",
    Hallucination.name: "#d2456b",
}
_COLOURS = (*_KIND_COLOURS.values(), "#7a4fb0", "#8a6d3b", "#3fa9c9")
_DASHES = ("-", (0, (4, 2)), (0, (1, 1.5)))
MAX_CURVES = 7
"""Maximum number of systems whose curves are distinguishable in one figure."""

PAPER = (icra2019.BASELINE, icra2019.PROPOSED, icra2019.NIGHT)


@dataclass(frozen=True)
class FigureGroup:
    """Systems of one figure of curves.

    Attributes:
        slug: stem of the figure's file name.
        title: properties that the systems share; empty if the group contains all systems.
        systems: our systems.
        paper: the paper's systems that are drawn for comparison.
    """

    slug: str
    title: str
    systems: Sequence[SystemResult]
    paper: Sequence[str]


def figure_groups(benchmark: Benchmark) -> list[FigureGroup]:
    """Groups systems by protocol, encoder and pooling; at most `MAX_CURVES` systems form one group.

    If a group is too large, systems with one of this package's options are drawn in separate figures, with
    the plain systems that they are compared with. Whitened systems are left out: their curves are almost the
    same as those of the plain systems.
    """
    systems = [result for result in benchmark.systems if result.system.whitened is None]
    if len(systems) <= MAX_CURVES:
        return [FigureGroup("recall", "", systems, PAPER)]
    protocols = {run.digest: result.system.protocol for result in systems for run in result.runs}
    by_kind: dict[tuple[str, ...], list[SystemResult]] = {}
    for result in systems:
        # A fine-tuned network is drawn beside the network that it was fine-tuned from.
        protocol = protocols.get(result.runs[0].parent or "none", result.system.protocol)
        by_kind.setdefault(_kind(protocol, result), []).append(result)
    groups = []
    for kind, members in by_kind.items():
        groups += _split(kind, members)
    return groups


def _kind(protocol: str, result: SystemResult) -> tuple[str, ...]:
    if not protocol:
        return ()
    # "RGBtD + MAC (A)" without its descriptor is "MAC (A)".
    return protocol, paper_name(result.traits).split(" + ", 1)[1]


def _split(kind: tuple[str, ...], members: Sequence[SystemResult]) -> list[FigureGroup]:
    title = f"{kind[1]}, protocol {kind[0]}" if kind else "Other systems"
    paper = _paper(kind[1]) if kind else PAPER
    if len(members) <= MAX_CURVES:
        return [FigureGroup(_slug(title), title, members, paper)]
    plain = [result for result in members if is_plain(result.traits)]
    switched = [result for result in members if not is_plain(result.traits)]
    groups = [
        FigureGroup(_slug(title, i), title, part, paper) for i, part in enumerate(_parts(plain, MAX_CURVES))
    ]
    judges = [result for result in plain if result.traits.get("descriptor") in (BASELINES[0], PROPOSED)][:2]
    for part in _parts(switched, MAX_CURVES - len(judges)):
        number = len(groups)
        groups.append(FigureGroup(_slug(title, number), f"{title}, switches", [*judges, *part], ()))
    return groups


def _parts(systems: Sequence[SystemResult], most: int) -> list[Sequence[SystemResult]]:
    return [systems[begin : begin + most] for begin in range(0, len(systems), most)]


def _paper(encoder_and_pooling: str) -> list[str]:
    """Returns the paper's RGB and RGBtD systems with this encoder and pooling, as far as it has them."""
    names = [f"{kind} + {encoder_and_pooling}" for kind in ("RGB", "RGBtD")]
    return [name for name in names if name in icra2019.systems("sunny")]


def _slug(title: str, number: int = 0) -> str:
    words = "".join(letter if letter.isalnum() else " " for letter in title.lower()).split()
    return "_".join(["recall", *words, *([str(number + 1)] if number else [])])


def curves_figure(group: FigureGroup) -> Figure:
    """Returns the figure of recall@N (above) and top-1 recall@D (below), one column per scenario.

    Lines are means over seeds; bands extend from the lowest seed to the highest.  The paper's systems are
    thin grey lines, in the scenarios that it has.  Thresholds D are true distances: the values that the paper
    plots at D are drawn at D - 1 m.
    """
    scenarios = list(group.systems[0].runs[0].recalls)
    figure = Figure(figsize=(11.2, 5.4), layout="constrained")
    grid = figure.subplots(2, len(scenarios), sharex="row", sharey=True, squeeze=False)
    ranks, distances = np.arange(1, MOST + 1), np.array(DISTANCES_M)
    colours = _colours_of(group.systems)
    for (above, below), scenario in zip(grid.T, scenarios, strict=True):
        for system, dashes in zip(group.paper, _DASHES, strict=False):
            if system in icra2019.systems(scenario):
                printed = icra2019.curves(scenario, system)
                look = {"color": MUTED, "lw": 0.9, "ls": dashes, "label": f"paper, real runs: {system}"}
                above.plot(ranks, printed.recall_at_n, **look)
                below.plot(distances - 1, printed.recall_at_d_as_plotted, **look)
        for result, colour in zip(group.systems, colours, strict=True):
            _draw(above, result, scenario, ranks, lambda recall: recall.recall_at_n, colour)
            _draw(below, result, scenario, distances, lambda recall: recall.recall_at_d, colour)
        queries = group.systems[0].runs[0].recalls[scenario].queries
        above.set_title(f"{scenario}, {queries} queries")
        above.set(xlabel="N", xlim=(1, MOST), xticks=(1, 5, 10, 15, 20, 25), ylim=(0, 1.02))
        below.set(xlabel="D (m)", xlim=(14, DISTANCES_M[-1]), xticks=(15, 25, 35, 50))
    grid[0, 0].set_ylabel("recall@N within 25 m")
    grid[1, 0].set_ylabel("top-1 recall@D")
    grid[0, 0].yaxis.set_major_formatter(PercentFormatter(1.0))
    handles = {line.get_label(): line for axes in grid.ravel() for line in axes.get_lines()}
    ours_first = sorted(handles, key=lambda label: str(label).startswith("paper"))
    figure.legend(
        [handles[label] for label in ours_first], ours_first, loc="outside upper left", ncols=2, fontsize=9.5
    )
    return figure


def overview_figure(benchmark: Benchmark) -> Figure:
    """Returns the figure of recall@1 of every system, one column per scenario.

    A bar is the mean over seeds, a dot is one seed. A grey diamond is the number that the paper prints for a
    system of the same kind, on the real runs.
    """
    systems = benchmark.systems
    scenarios = [views.name for views in benchmark.scenarios]
    figure = Figure(figsize=(11.2, 1.3 + 0.3 * len(systems)), layout="constrained")
    grid = figure.subplots(1, len(scenarios), sharey=True, squeeze=False)[0]
    places = np.arange(len(systems))
    for axes, scenario in zip(grid, scenarios, strict=True):
        for place, result in enumerate(systems):
            colour = _KIND_COLOURS.get(str(result.traits.get("descriptor")), MUTED)
            shares = [run.recalls[scenario].at_n(1) for run in result.runs]
            axes.barh(place, np.mean(shares), height=0.62, color=colour, alpha=0.35, lw=0)
            axes.scatter(shares, [place] * len(shares), s=13, color=colour, lw=0, zorder=3)
            name = paper_name(result.traits)
            if is_plain(result.traits) and name in icra2019.systems(scenario):
                printed = icra2019.curves(scenario, name).at_n(1)
                axes.scatter(
                    printed, place, s=26, marker="D", color="none", edgecolor=MUTED, lw=1.1, zorder=2
                )
        axes.set_title(scenario)
        axes.set(xlim=(0, 1.0), xticks=(0, 0.25, 0.5, 0.75), ylim=(len(systems) - 0.4, -0.6))
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
        axes.grid(False, axis="y")
        axes.set_xlabel("recall@1 (%)")
    grid[0].set_yticks(places, [_label(result, systems) for result in systems])
    for label in grid[0].get_yticklabels():
        label.set_color(INK)
    return figure


def figure_svg(draw: Callable[[], Figure], name: str) -> str:
    """Returns a figure as an SVG element in the colours of the page that contains it."""
    with mpl.rc_context(STYLE):
        return page_svg(draw(), name)


def _draw(
    axes: Axes,
    result: SystemResult,
    scenario: str,
    x: NDArray[np.int64],
    curve: Callable[[PlaceRecall], NDArray[np.float64]],
    colour: str,
) -> None:
    curves = np.stack([curve(run.recalls[scenario]) for run in result.runs])
    if len(curves) > 1:
        axes.fill_between(x, curves.min(axis=0), curves.max(axis=0), color=colour, alpha=0.18, lw=0)
    axes.plot(x, curves.mean(axis=0), color=colour, lw=1.8, label=_label(result))


def _colours_of(systems: Sequence[SystemResult]) -> list[str]:
    """Returns a different colour for each system: that of its descriptor unless an earlier system has it."""
    colours: list[str] = []
    for result in systems:
        own = _KIND_COLOURS.get(str(result.traits.get("descriptor")))
        rest = [colour for colour in reversed(_COLOURS) if colour not in colours]
        colours.append(own if own and own not in colours else rest[0])
    return colours


def _label(result: SystemResult, among: Sequence[SystemResult] = ()) -> str:
    """Returns the system's name, with its protocol if systems of several protocols are shown."""
    several = len({other.system.protocol for other in among if other.system.protocol}) > 1
    protocol = f" ({result.system.protocol})" if several and result.system.protocol else ""
    return f"{result.system}{protocol}"
