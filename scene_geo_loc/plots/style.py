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

"""Colours and fonts of all figures, and functions that write figures to pages and files."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.localization.estimate import Status

INK, MUTED, GRID = "#101112", "#707172", "#d0d1d2"
STATUS_COLOURS = {
    Status.LOCALIZED: "#12a184",
    Status.DEAD_RECKONED: "#7cc9b8",
    Status.RETRIEVED_ONLY: "#e0a01b",
    Status.LOST: "#d2456b",
    Status.UNANSWERED: "#8c95a3",
}
WRONG_COLOUR = "#b3123f"
PAGE_COLOURS = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--grid)"}
"""CSS variables that replace colours of a chart, so that it suits light and dark pages."""

STYLE = {
    "svg.fonttype": "none",
    "font.size": 10.5,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "legend.frameon": False,
    "legend.labelcolor": MUTED,
}
PLAIN = FuncFormatter(lambda value, _: f"{value:g}")


def page_svg(figure: Figure, name: str) -> str:
    """Returns the figure as an SVG element of the available width, in the page's font and colours."""
    out = io.StringIO()
    # The salt makes the ids of the charts of one page unique.
    with mpl.rc_context({"svg.hashsalt": name}):
        nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(out, format="svg", transparent=True, metadata=nothing)
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"(<svg[^>]*?) width=\"[^\"]*\"", r"\1", svg, count=1)
    svg = re.sub(r"(<svg[^>]*?) height=\"[^\"]*\"", r"\1", svg, count=1)
    svg = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1; font-family: inherit", svg)
    for colour, page_colour in PAGE_COLOURS.items():
        svg = svg.replace(colour, page_colour)
    return svg


def write_figure(path: Path, draw: Callable[[], Figure]) -> None:
    """Draws a figure in `STYLE` and writes it in the format of the file's suffix, .svg or .png."""
    out = io.BytesIO()
    with mpl.rc_context({**STYLE, "svg.hashsalt": path.stem}):
        metadata = {"Date": None, "Creator": None} if path.suffix == ".svg" else {"Software": None}
        draw().savefig(out, format=path.suffix[1:], dpi=130, metadata=metadata)
    write_aside(path, out.getvalue())
