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

"""Charts of errors and latency for the report, as SVG in the colours of the page that contains it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, PercentFormatter
from numpy.typing import NDArray

from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.metrics.pose_error import QueryRecord, errors_of
from scene_geo_loc.plots.style import INK, MUTED, PLAIN, STATUS_COLOURS, STYLE, WRONG_COLOUR, page_svg

LEGEND = {
    "loc": "lower left",
    "bbox_to_anchor": (-0.02, 1.0),
    "fontsize": 9.5,
    "handlelength": 0.8,
    "handletextpad": 0.4,
    "columnspacing": 1.0,
    "borderpad": 0.1,
}
STEP_COLOURS = ("#5b7fd6", "#12a184", "#e0a01b", "#d2456b", "#8c95a3")


def errors_over_time_svg(records: Sequence[QueryRecord], wrong_fix_m: float) -> str:
    """Returns the chart of position and rotation error over time, with bands for the status of queries."""
    stamps = np.array([record.stamp_ns for record in records], np.int64)
    seconds = (stamps - stamps[0]) / 1e9
    position, rotation = errors_of(records)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11.2, 4.6), layout="constrained")
        upper, lower, strip = figure.subplots(3, 1, sharex=True, height_ratios=[10, 10, 1.2])
        for axes, error, unit, limits in (
            (upper, position, "position error (m)", (0.1, 0.5, wrong_fix_m)),
            (lower, rotation, "rotation error (°)", (1.0, 5.0)),
        ):
            for limit in limits:
                axes.axhline(limit, color=MUTED, lw=0.8, ls=(0, (2, 3)))
            axes.plot(seconds, error, color=STATUS_COLOURS[Status.LOCALIZED], lw=0.7, alpha=0.5)
            axes.scatter(seconds, error, s=9, color=STATUS_COLOURS[Status.LOCALIZED], lw=0, zorder=3)
            axes.set(yscale="log", ylim=log_limits(error), ylabel=unit)
            axes.yaxis.set_major_formatter(PLAIN)
            axes.yaxis.set_minor_formatter(NullFormatter())
        wrong = position > wrong_fix_m
        upper.scatter(seconds[wrong], position[wrong], s=40, c=WRONG_COLOUR, marker="x", lw=1.6, zorder=4)
        for status, begin, end in status_bands(records, seconds):
            strip.axvspan(begin, end, color=STATUS_COLOURS[status], lw=0)
            if status is not Status.LOCALIZED:
                upper.axvspan(begin, end, color=STATUS_COLOURS[status], alpha=0.16, lw=0)
                lower.axvspan(begin, end, color=STATUS_COLOURS[status], alpha=0.16, lw=0)
        strip.set(yticks=[], xlabel="time (s)", xlim=(seconds[0] - 0.5, seconds[-1] + 0.5))
        strip.grid(False)
        strip.spines[:].set_visible(False)
        return page_svg(figure, "errors-over-time")


def log_limits(values: NDArray[np.float64]) -> tuple[float, float]:
    """Returns limits of a logarithmic axis around values; NaN and values up to 0 are ignored."""
    values = values[np.isfinite(values) & (values > 0)]
    if len(values) == 0:
        return 0.01, 10.0
    return float(values.min()) / 1.5, float(values.max()) * 1.5


def status_bands(
    records: Sequence[QueryRecord], seconds: NDArray[np.float64]
) -> list[tuple[Status, float, float]]:
    """Returns intervals of equal status as (status, begin, end) in seconds.

    A record lasts until the next one; the last record lasts for the median time between records.
    """
    step = float(np.median(np.diff(seconds))) if len(seconds) > 1 else 1.0
    bands: list[tuple[Status, float, float]] = []
    for i, record in enumerate(records):
        begin = float(seconds[i])
        end = float(seconds[i + 1]) if i + 1 < len(seconds) else begin + step
        if bands and bands[-1][0] is record.status:
            bands[-1] = (record.status, bands[-1][1], end)
        else:
            bands.append((record.status, begin, end))
    return bands


def cumulative_svg(records: Sequence[QueryRecord]) -> str:
    """Returns the chart of the cumulative position and rotation errors, as shares of the answered queries."""
    scored = [
        record for record in records if record.T_true is not None and record.status is not Status.UNANSWERED
    ]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.4, 3.3), layout="constrained")
        axes = figure.subplots(1, 2, sharey=True)
        for axis, error, label in zip(axes, errors_of(scored), ("position (m)", "rotation (°)"), strict=True):
            low, high = log_limits(error)
            error = np.sort(np.maximum(error[np.isfinite(error)], low))
            share = np.arange(1, len(error) + 1) / max(len(scored), 1)
            axis.step(error, share, where="post", color=STATUS_COLOURS[Status.LOCALIZED], lw=1.8)
            axis.fill_between(
                error, share, step="post", color=STATUS_COLOURS[Status.LOCALIZED], alpha=0.12, lw=0
            )
            axis.set(xscale="log", xlim=(low, high), ylim=(0, 1.02), xlabel=label)
            axis.xaxis.set_major_formatter(PLAIN)
            axis.xaxis.set_minor_formatter(NullFormatter())
        axes[0].yaxis.set_major_formatter(PercentFormatter(1.0))
        axes[0].set_ylabel("share of queries")
        return page_svg(figure, "cumulative")


def latency_svg(records: Sequence[QueryRecord]) -> str:
    """Returns the chart of the latencies and the median time of each step; empty if nothing was timed."""
    latency = np.array([record.latency_ms for record in records if record.latency_ms is not None])
    if len(latency) == 0:
        return ""
    timed = [record.timings_ms for record in records]
    steps = [name for name in dict.fromkeys(itertools.chain(*timed)) if name != "total"]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.4, 3.3), layout="constrained")
        heights = [3, 1] if steps else [1]
        rows = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        bins = min(40, max(8, len(latency) // 6))
        counts, _, _ = rows[0].hist(latency, bins=bins, color=STEP_COLOURS[0], alpha=0.85)
        rows[0].set_ylim(0, 1.25 * np.max(counts))
        for percent in (50, 95):
            value = float(np.percentile(latency, percent))
            rows[0].axvline(value, color=INK, lw=1)
            rows[0].annotate(
                f"p{percent} {value:.0f}",
                (value, 1),
                xycoords=("data", "axes fraction"),
                xytext=(4, -11),
                textcoords="offset points",
                fontsize=9.5,
            )
        rows[0].set(ylabel="queries", xlabel="image to answer (ms)", xlim=(0, None))
        if steps:
            left = 0.0
            for name, colour in zip(steps, itertools.cycle(STEP_COLOURS), strict=False):
                median = float(np.median([timings[name] for timings in timed if name in timings]))
                rows[1].barh(0, median, left=left, color=colour, label=f"{name} {median:.1f}")
                left += median
            rows[1].set(yticks=[], xlabel="median of each step (ms)")
            rows[1].grid(False)
            rows[1].spines[:].set_visible(False)
            rows[1].legend(ncols=len(steps), **LEGEND)
        return page_svg(figure, "latency")
