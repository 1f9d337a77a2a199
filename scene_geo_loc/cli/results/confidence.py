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

"""Table of the calibration of confidences on the terminal."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scene_geo_loc.benchmarks.confidence import ConfidenceBenchmark


def print_confidence_benchmark(matcher: str, result: ConfidenceBenchmark) -> None:
    """Prints the share of right poses by stated probability, and the model that was fitted to all poses."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=matcher, title_justify="left", title_style="bold", box=None, padding=(0, 0, 0, 1))
    for heading in ("probability", "poses", "mean", "right"):
        table.add_column(heading, justify="right", no_wrap=True)
    for part in result.bins:
        bounds = f"{part.at_least:g} to {part.below:g}"
        table.add_row(bounds, str(part.poses), f"{part.mean_confidence:.4f}", f"{part.right_share:.4f}")
    console = Console(highlight=False)
    console.print(table)
    for least in (0.0, 0.5, 0.9, 0.999):
        right, wrong = result.accepted(True, least), result.accepted(False, least)
        console.print(f"Accepted with at least {least:g}: {right} right, {wrong} wrong.")
    weights = result.model.weights
    values = ", ".join(f"{field.name} {getattr(weights, field.name):.3f}" for field in fields(weights))
    console.print(f"Model of all poses: constant {result.model.constant:.2f}; {values}.")
