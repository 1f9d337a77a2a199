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

"""Top view of a run: the map's keyframes, the true positions, and the estimates coloured by their error.

In a map of panoramas the keyframes are drawn as the panoramas and the streets along them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.metrics.pose_error import QueryRecord, errors_of
from scene_geo_loc.plots.streets import panorama_positions, street_lines
from scene_geo_loc.plots.style import (
    INK,
    MUTED,
    PLAIN,
    STATUS_COLOURS,
    STYLE,
    WRONG_COLOUR,
    page_svg,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ERROR_COLOURS = LinearSegmentedColormap.from_list(
    "error", ["#12a184", "#9bbf3b", "#f0b429", "#e8743b", "#d2456b"]
)
MOST_VECTOR_MARKS = 4000
"""Number of queries above which markers are rasterized, to keep the SVG small."""


def ground_axes(positions: NDArray[np.float64]) -> tuple[int, int]:
    """Returns the two map axes along which positions (N, 3) extend farthest; the third is vertical."""
    upright = int(np.argmin(np.ptp(positions, axis=0))) if len(positions) else 2
    across, along = (axis for axis in range(3) if axis != upright)
    return across, along


def error_norm(wrong_fix_m: float) -> LogNorm:
    """Returns the logarithmic colour scale of position errors: the two decades up to `wrong_fix_m`."""
    return LogNorm(wrong_fix_m / 100, wrong_fix_m, clip=True)


def draw_trajectory(
    axes: Axes,
    records: Sequence[QueryRecord],
    keyframe_positions: NDArray[np.float64],
    wrong_fix_m: float,
    mark_size: float,
    shapes: tuple[float, float] = (0.15, 0.55),
    ink: str = INK,
    muted: str = MUTED,
) -> None:
    """Draws keyframes, true positions and estimates from above, with equal scales on both axes.

    Keyframes that are views of panoramas are drawn as one mark for each panorama, over the streets.
    Estimates are coloured by their error and joined to their true position. Wrong estimates have a marker of
    their own; queries without a pose are marked at their true position.

    Args:
        keyframe_positions: (N, 3) metres.
        wrong_fix_m: position error above which an estimate is drawn as wrong, metres.
        mark_size: area of a marker, square points.
        shapes: smallest and largest ratio of height to width; the limits of the axes are widened to reach it.
        ink, muted: colours of the true positions and of the keyframes.
    """
    known = [record for record in records if record.T_true is not None]
    truth = np.array([record.T_true[:3, 3] for record in known if record.T_true is not None]).reshape(-1, 3)
    everything = np.concatenate([keyframe_positions, truth])
    a, b = ground_axes(everything)
    rasterized = len(records) > MOST_VECTOR_MARKS
    panoramas = panorama_positions(keyframe_positions)
    if len(panoramas):
        streets = street_lines(panoramas)[:, :, [a, b]]
        axes.add_collection(LineCollection(list(streets), colors=muted, lw=7.0, alpha=0.22, zorder=0.5))
    places = panoramas if len(panoramas) else keyframe_positions
    axes.scatter(
        places[:, a],
        places[:, b],
        s=mark_size * 1.6,
        c=muted,
        alpha=0.6 if len(panoramas) else 0.35,
        lw=0,
        label="panoramas" if len(panoramas) else "map keyframes",
        rasterized=rasterized,
    )
    axes.plot(truth[:, a], truth[:, b], color=ink, lw=1.0, alpha=0.55, label="truth")

    low, high = everything[:, [a, b]].min(0), everything[:, [a, b]].max(0)
    margin = 0.05 * float((high - low).max()) + 0.1
    low, high = low - margin, high + margin
    middle, size = (low + high) / 2, high - low
    shape = np.clip(size[1] / size[0], *shapes)
    width = max(size[0], size[1] / shape)
    low, high = middle - width / 2 * np.array([1, shape]), middle + width / 2 * np.array([1, shape])
    position, _ = errors_of(known)
    fixed = np.isfinite(position)
    estimates = np.array(
        [r.T_estimated[:3, 3] for r in known if r.T_estimated is not None and r.is_localized]
    )
    if len(estimates):
        # An estimate outside the limits is drawn at the border, so that it does not set the scale.
        shown = np.clip(estimates.reshape(-1, 3)[:, [a, b]], low, high)
        error = position[fixed]
        wrong = error > wrong_fix_m
        joins = np.stack([truth[fixed][:, [a, b]], shown], axis=1)
        colours = ERROR_COLOURS(error_norm(wrong_fix_m)(error))
        axes.add_collection(LineCollection(list(joins), colors=colours, lw=0.8))
        axes.scatter(
            shown[~wrong, 0],
            shown[~wrong, 1],
            s=mark_size,
            c=error[~wrong],
            cmap=ERROR_COLOURS,
            norm=error_norm(wrong_fix_m),
            lw=0,
            zorder=3,
            label="estimate, by error",
            rasterized=rasterized,
        )
        if wrong.any():
            label = f"wrong fix, over {wrong_fix_m:g} m"
            axes.scatter(
                shown[wrong, 0],
                shown[wrong, 1],
                s=mark_size * 3,
                c=WRONG_COLOUR,
                marker="x",
                lw=1.8,
                zorder=4,
                clip_on=False,
                label=label,
            )
    for status, marker in ((Status.RETRIEVED_ONLY, "^"), (Status.LOST, "s"), (Status.UNANSWERED, "o")):
        without = np.array([record.status is status for record in known], bool)
        if without.any():
            axes.scatter(
                truth[without, a],
                truth[without, b],
                s=mark_size * 1.7,
                facecolors="none",
                edgecolors=STATUS_COLOURS[status],
                marker=marker,
                lw=1.1,
                zorder=2.5,
                label=str(status),
            )
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    axes.set_xlabel(f"{'xyz'[a]} (m)")
    axes.set_ylabel(f"{'xyz'[b]} (m)")


def trajectory_svg(
    records: Sequence[QueryRecord], keyframe_positions: NDArray[np.float64], wrong_fix_m: float
) -> str:
    """Returns the top view of a run as SVG, with a height that suits the extent of the trajectory."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11.2, 5), layout="constrained")
        axes = figure.add_subplot()
        mark_size = float(np.clip(4000 / len(records), 14, 36))
        draw_trajectory(axes, records, keyframe_positions, wrong_fix_m, mark_size)
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        figure.set_size_inches(11.2, float(np.clip(9.6 * (top - bottom) / (right - left), 1.6, 7.4)) + 1.3)
        add_error_bar(figure, axes, wrong_fix_m, MUTED, fraction=0.02, pad=0.01, aspect=24)
        figure.legend(loc="outside upper left", ncols=7, fontsize=9.5, handletextpad=0.3, columnspacing=1.2)
        return page_svg(figure, "trajectory")


def add_error_bar(
    figure: Figure | SubFigure, axes: Axes, wrong_fix_m: float, colour: str, **place: Any
) -> None:
    """Adds the colour scale of the estimates beside or below the axes."""
    scale = mpl.cm.ScalarMappable(error_norm(wrong_fix_m), ERROR_COLOURS)
    bar = figure.colorbar(scale, ax=axes, ticks=[wrong_fix_m / by for by in (100, 50, 10, 5, 1)], **place)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.set_label("position error (m)", color=colour)
    bar.minorticks_off()
    bar.ax.tick_params(color=colour, labelcolor=colour)
    bar.ax.set_axisbelow(True)
    bar.ax.grid(False)
    long_axis = bar.ax.xaxis if place.get("location") == "bottom" else bar.ax.yaxis
    long_axis.set_major_formatter(PLAIN)
