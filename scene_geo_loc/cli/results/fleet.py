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

"""Tables of what a fleet costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scene_geo_loc.benchmarks.fleet.build_costs import FleetCosts
    from scene_geo_loc.benchmarks.fleet.index_costs import IndexCosts


def print_builds(costs: Sequence[FleetCosts]) -> None:
    """Prints the builds that were measured."""
    _print(
        ("workers", "start, s", "drives, s", "merge, s", "total, s", "of 1 worker", "files"),
        [
            (
                _name_of(cost),
                f"{cost.times.start_s:.1f}" if cost.workers else "",
                " ".join(f"{seconds:.1f}" for seconds in cost.times.drives_s),
                f"{cost.times.merge_s:.1f}",
                f"{cost.total_s:.1f}",
                f"{cost.total_s / costs[1].total_s:.2f}",
                "the same" if cost.is_same else "DIFFER",
            )
            for cost in costs
        ],
    )


def print_schedule(modelled: Mapping[int, Mapping[int, float]]) -> None:
    """Prints modelled times in seconds, by the number of drives and of workers."""
    workers = next(iter(modelled.values()))
    _print(
        ("drives", *(f"{count} workers, s" for count in workers)),
        [(str(drives), *(f"{seconds:.0f}" for seconds in row.values())) for drives, row in modelled.items()],
    )


def print_indices(costs: Sequence[IndexCosts]) -> None:
    """Prints the indices that were measured."""
    _print(
        (
            "keyframes",
            "index",
            "query, ms",
            "with a prior, ms",
            "open, ms",
            "memory, MB",
            "disk, MB",
            "build, s",
            "same answers",
        ),
        [
            (
                f"{cost.keyframes:,}",
                cost.kind,
                f"{cost.query_ms:.2f}",
                f"{cost.around_ms:.2f}",
                f"{cost.open_ms:.1f}",
                f"{cost.memory_mb:.0f}",
                f"{cost.disk_mb:.1f}",
                f"{cost.build_s:.2f}",
                f"{100 * cost.same:.1f} %",
            )
            for cost in costs
        ],
    )


def _name_of(cost: FleetCosts) -> str:
    if not cost.workers:
        return "none, in this process"
    killed = "" if cost.resumed is None else f", one killed and resumed after {cost.resumed} keyframes"
    return f"{cost.workers}{killed}"


def _print(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*header)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
