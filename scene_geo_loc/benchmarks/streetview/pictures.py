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

"""Pictures of the street-view benchmark: errors without and with virtual views, and the streets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from scene_geo_loc.benchmarks.streetview.results import DriveResult
from scene_geo_loc.metrics.continuity import BIN_EDGES_M
from scene_geo_loc.plots.map_view import add_error_bar, draw_trajectory
from scene_geo_loc.plots.style import MUTED

WRONG_M = 5.0
"""Position error above which a pose is drawn as wrong."""
_COLUMNS = 3
_ORIGINAL, _AUGMENTED = "#8c95a3", "#12a184"


def error_histogram(drives: Sequence[tuple[str, DriveResult, DriveResult]]) -> Figure:
    """Draws the shares of all queries by their error, without and with virtual views.

    Args:
        drives: a title, the results in the original map and in the augmented one.
    """
    columns = min(_COLUMNS, max(1, len(drives)))
    rows = max(1, -(-len(drives) // columns))
    figure = Figure(figsize=(3.6 * columns, 3.1 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    names = [
        *(f"{low:g}–{low + 1:g}" for low in BIN_EDGES_M[:-1]),
        f"≥ {BIN_EDGES_M[-1]:g}",
        "not\nlocalized",
    ]
    for axes in grid.flat[len(drives) :]:
        axes.set_visible(False)
    for axes, (title, original, augmented) in zip(grid.flat, drives, strict=False):
        for side, drive, colour, label in (
            (-0.2, original, _ORIGINAL, "panoramas alone"),
            (0.2, augmented, _AUGMENTED, "with virtual views"),
        ):
            axes.bar(np.arange(len(names)) + side, shares_of_all(drive), 0.38, color=colour, label=label)
        axes.set(title=title, xticks=np.arange(len(names)), xticklabels=names, xlabel="position error (m)")
        axes.grid(False, axis="x")
    for axes in grid[:, 0]:
        axes.set_ylabel("% of the queries")
    grid[0, 0].legend(fontsize=9)
    return figure


def shares_of_all(drive: DriveResult) -> list[float]:
    """Returns per cent of all queries in each bin of the error, beyond them, and not localized."""
    found = drive.continuity
    if found.bins is None or found.beyond is None or found.share is None:
        return [0.0] * len(BIN_EDGES_M) + [100.0]
    localized = [100 * found.share * share for share in (*found.bins, found.beyond)]
    return [*localized, 100 * (1 - found.share)]


def street_map(drive: DriveResult, keyframe_positions: NDArray[np.float64]) -> Figure:
    """Draws the queries of a drive over the streets and panoramas of the map, coloured by their error.

    Args:
        keyframe_positions: (N, 3) metres, of the map.
    """
    figure = Figure(figsize=(11.2, 6), layout="constrained")
    axes = figure.add_subplot()
    draw_trajectory(axes, drive.records(), keyframe_positions, WRONG_M, 22.0)
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    figure.set_size_inches(11.2, float(np.clip(9.6 * (top - bottom) / (right - left), 1.6, 7.4)) + 1.3)
    add_error_bar(figure, axes, WRONG_M, MUTED, fraction=0.02, pad=0.01, aspect=24)
    figure.legend(loc="outside upper left", ncols=7, fontsize=9.5, handletextpad=0.3, columnspacing=1.2)
    return figure
