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
"""Table of what maps of cities cost on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scene_geo_loc.benchmarks.speed.city_cost import CityCost


def print_cities(costs: Sequence[CityCost]) -> None:
    """Prints a row for each map."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from scene_geo_loc.benchmarks.speed.city_cost import PRIOR_M

    table = Table(box=box.SIMPLE_HEAD)
    searches_of = [
        name for kind in ("search", f"within {PRIOR_M:g} m") for name in (kind, "p95", "processor")
    ]
    for heading in ("keyframes", "index", "open", *searches_of):
        table.add_column(heading, justify="right")
    for heading in ("memory", "before", "disk", *(f"recall@1, {kind}" for kind in costs[0].recall)):
        table.add_column(heading, justify="right")
    for cost in costs:
        prior = (cost.prior_p50_ms, cost.prior_p95_ms, cost.prior_cpu_ms)
        times = (cost.open_ms, cost.p50_ms, cost.p95_ms, cost.cpu_ms, *prior)
        sizes = (cost.resident_mb, cost.before_mb, cost.disk_mb)
        table.add_row(
            f"{cost.keyframes:,}",
            cost.index,
            *(f"{ms:.1f} ms" for ms in times),
            *(f"{mb:.0f} MB" for mb in sizes),
            *(f"{100 * share:.1f} %" for share in cost.recall.values()),
        )
    Console(highlight=False, width=200).print(table)
