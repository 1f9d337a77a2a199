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

"""Tables of descriptor recall on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scene_geo_loc.benchmarks.descriptors.results import Benchmark


def print_descriptor_benchmark(benchmark: Benchmark) -> None:
    """Prints recall, costs, numbers of queries, comparisons and notes."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from scene_geo_loc.benchmarks.descriptors.comparisons import comparison_texts
    from scene_geo_loc.benchmarks.descriptors.table import COSTS, NOTES, headings, rows

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 1, 0))
    table.add_column("")
    for heading in headings(benchmark):
        table.add_column("\n".join(heading), justify="right", no_wrap=True)
    for row in rows(benchmark):
        cells = ("\n".join(lines) for lines in row.cells)
        name = f"{escape(row.name)}\n[dim]{escape(row.training)}[/]" if row.training else escape(row.name)
        table.add_row(name, *cells, style="dim" if row.is_paper else None)
    console = Console(highlight=False)
    console.print(table)
    for row in rows(benchmark):
        if row.costs:
            costs = ", ".join(f"{cost} {unit}" for cost, unit in zip(row.costs, COSTS, strict=True))
            console.print(f"{row.name}: {costs}.")
    for views in benchmark.scenarios:
        name, recall = views.name, benchmark.recall(views.name)
        line = f"{name}: {recall.queries} queries, {recall.references} references, recall@1 by chance "
        line += f"{100 * recall.chance:.1f} %"
        if recall.without_reference:
            line += f"; {recall.without_reference} queries have no reference within 25 m and count as missed"
        console.print(f"{line}; left out {views.skipped}." if views.skipped else f"{line}.")
    for comparison in comparison_texts(benchmark):
        console.print(comparison.title, style="bold")
        for sentence in comparison.sentences:
            console.print(f"  {sentence}")
    for sentence in benchmark.left_out:
        console.print(sentence)
    console.print("\n".join(NOTES), style="dim")
