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

"""Tables of depth errors on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from scene_geo_loc.metrics.depth_error import DepthReport
    from scene_geo_loc.metrics.learned_depth import DepthComparison

_REFERENCES = {
    "points": "against single held-out points",
    "blocks": "against held-out blocks of points",
    "truth": "against the true depth of every pixel",
}


def print_depth_report(report: DepthReport) -> None:
    """Prints the errors of dense depth by what it is compared with, one row a method."""
    from rich.console import Console

    console = Console(highlight=False)
    for reference, methods in report.errors.items():
        has_truth = reference == "truth"
        headings = ["coverage", "abs rel", "RMSE", "within 1.25", *(["sky with depth"] if has_truth else [])]
        table = _table(_REFERENCES[reference], headings)
        for name, errors in methods.items():
            numbers = errors.summary()
            cells = [
                _share(numbers["coverage"]),
                "–" if numbers["abs_rel"] is None else f"{numbers['abs_rel']:.4f}",
                "–" if numbers["rmse_m"] is None else f"{numbers['rmse_m']:.2f} m",
                _share(numbers["within_1_25"]),
            ]
            if has_truth:
                cells.append(_share(report.invented[name] / report.sky if report.sky else None))
            table.add_row(name, *cells)
        console.print(table)
    console.print(
        f"{report.maps} depth maps. Errors over the pixels for which every method except the sparse one "
        "gives a depth.",
        style="dim",
    )


def print_depth_comparison(comparison: DepthComparison) -> None:
    """Prints the errors of inferred depth by condition, one row a network."""
    from rich.console import Console

    numbers = comparison.to_dict()
    console = Console(highlight=False)
    for name, condition in numbers["conditions"].items():
        table = _table(f"{name}: {condition['pairs']} pairs", ["abs rel", "RMSE", "within 1.25"])
        for network, errors in condition["errors"].items():
            table.add_row(
                network,
                f"{errors['abs_rel']:.4f}",
                f"{errors['rmse_m']:.2f} m",
                f"{100 * errors['within_1_25']:.1f} %",
            )
        console.print(table)
    console.print(f"Errors over {numbers['protocol']['compared']}; never scaled to the truth.", style="dim")


def _table(title: str, headings: Sequence[str]) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=None)
    table.add_column("", no_wrap=True, min_width=14)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True, min_width=11)
    return table


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"
