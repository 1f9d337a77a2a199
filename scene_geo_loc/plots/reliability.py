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

"""Reliability diagrams: the share of right poses over the probability that is stated for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.metrics.confidence_calibration import ConfidenceBin
from scene_geo_loc.plots.style import INK, MUTED, PLAIN, STATUS_COLOURS, STYLE, page_svg

TICKS = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)
LOWEST, HIGHEST = 0.0003, 0.9999
"""Bounds of both axes; shares of 0 and 1 lie on them."""


def reliability_svg(bins: Sequence[ConfidenceBin]) -> str:
    """Returns the diagram of one run."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.4, 3.6), layout="constrained")
        axes = figure.subplots()
        draw_reliability(axes, bins)
        axes.set_ylabel("share of right poses")
        return page_svg(figure, "reliability")


def reliability_figure(runs: Mapping[str, Sequence[ConfidenceBin]]) -> Figure:
    """Returns the diagrams of several runs side by side, by their titles."""
    figure = Figure(figsize=(4.2 * len(runs), 4.2), layout="constrained")
    row = figure.subplots(1, len(runs), sharey=True, squeeze=False)[0]
    for axes, (title, bins) in zip(row, runs.items(), strict=True):
        draw_reliability(axes, bins)
        axes.set_title(title)
    row[0].set_ylabel("share of right poses")
    return figure


def draw_reliability(axes: Axes, bins: Sequence[ConfidenceBin]) -> None:
    """Draws a point for each bin, with its 95 % interval and its number of poses; both axes are logits."""

    def inside(share: float) -> float:
        return min(max(share, LOWEST), HIGHEST)

    axes.set(xscale="logit", yscale="logit", xlim=(LOWEST, HIGHEST), ylim=(LOWEST, HIGHEST))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator(TICKS))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(PLAIN)
    axes.axline((0.5, 0.5), (0.9, 0.9), color=MUTED, lw=0.8, ls=(0, (2, 3)))
    colour = STATUS_COLOURS[Status.LOCALIZED]
    for part in bins:
        x, y = inside(part.mean_confidence), inside(part.right_share)
        axes.vlines(x, *map(inside, part.interval), color=colour, lw=1.8, alpha=0.5)
        axes.plot(x, y, "o", color=colour, ms=5, clip_on=False, zorder=3)
        is_last = x > TICKS[-1]
        axes.annotate(
            f"{part.poses}",
            (x, y),
            xytext=(-6 if is_last else 6, -12 if y > 0.5 else 5),
            ha="right" if is_last else "left",
            textcoords="offset points",
            fontsize=8.5,
            color=INK,
        )
    axes.set_xlabel("stated probability")
