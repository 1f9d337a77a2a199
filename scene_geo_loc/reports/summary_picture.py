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

"""Summary picture of a run: example matches, main numbers and trajectory."""

from __future__ import annotations

import io
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from scene_geo_loc.localization.match_picture import metres
from scene_geo_loc.metrics.pose_error import QueryRecord, Summary
from scene_geo_loc.plots.map_view import add_error_bar, draw_trajectory
from scene_geo_loc.plots.style import STYLE


def summary_picture(
    rows: Sequence[tuple[str, NDArray[np.uint8]]],
    records: Sequence[QueryRecord],
    summary: Summary,
    keyframe_positions: NDArray[np.float64],
    title: str,
) -> bytes:
    """Returns a PNG with match pictures on the left and the trajectory on the right.

    Args:
        rows: captions and match pictures, of one run or several.
        records: the run whose trajectory is drawn.
        summary: numbers of that run.
        keyframe_positions: (N, 3) metres, of the map.
        title: title of the picture.
    """
    paper, ink, muted = "#11151b", "#eef2f5", "#93a0ad"
    dark = STYLE | {"text.color": ink, "axes.titlecolor": ink, "axes.labelcolor": muted}
    dark |= {"axes.edgecolor": "#2a323c", "grid.color": "#232a33"}
    dark |= {"xtick.color": muted, "ytick.color": muted, "legend.labelcolor": muted}
    with mpl.rc_context(dark):
        figure = Figure(figsize=(16, 8.2), dpi=100, facecolor=paper)
        figure.set_layout_engine("constrained", w_pad=0.14, h_pad=0.1)
        left, right = figure.subfigures(1, 2, width_ratios=[1.0, 1.12], squeeze=False)[0]
        for part in (left, right):
            part.set_facecolor(paper)
        cells = left.subplots(len(rows), 1, squeeze=False)[:, 0]
        for axes, (caption, picture) in zip(cells, rows, strict=True):
            axes.imshow(picture, interpolation="lanczos")
            axes.set_title(caption, fontsize=12, fontweight="normal", color=muted, pad=6)
            axes.axis("off")
        head, axes = right.subplots(2, 1, height_ratios=[1, 4.2])
        head.axis("off")
        head.text(0, 1, title, fontsize=20, fontweight="bold", va="top")
        for i, (number, label) in enumerate(headline(summary)):
            head.text(0.25 * i, 0.36, number, fontsize=21, fontweight="bold", color="#2fd6ae", va="center")
            head.text(0.25 * i, 0.1, label, fontsize=10.5, color=muted, va="center")
        for text in head.texts:
            # A long title is cut off at the border, so that it takes no space from the pictures.
            text.set_in_layout(False)
        axes.set_facecolor(paper)
        draw_trajectory(axes, records, keyframe_positions, summary.wrong_fix_m, 26, (0.66, 0.66), ink, muted)
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=4, fontsize=10.5, handletextpad=0.3)
        place = {"location": "bottom", "fraction": 0.04, "pad": 0.02, "aspect": 60}
        add_error_bar(right, axes, summary.wrong_fix_m, muted, **place)
        out = io.BytesIO()
        figure.savefig(out, format="png")
        return out.getvalue()


def headline(summary: Summary) -> list[tuple[str, str]]:
    """Returns the four main numbers of a run, each with its label."""
    share, position = summary.localized_share, summary.position_median_m
    rotation = summary.rotation_median_deg
    of_answered = f" of {summary.answered} answered" if summary.unanswered else ""
    return [
        ("–" if share is None else f"{100 * share:.1f} %", f"localized{of_answered}"),
        ("–" if position is None else metres(position), "median position"),
        ("–" if rotation is None else f"{rotation:.2f}°", "median rotation"),
        (str(summary.wrong_fixes), f"poses more than {summary.wrong_fix_m:g} m off"),
    ]
