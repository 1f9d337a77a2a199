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

"""Tables of pose errors by method on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scene_geo_loc.benchmarks.poses.results import PoseBenchmark

TABLE_WIDTH = 130
"""Minimum width of the ablation table, in characters."""
LOCALIZERS_WIDTH = 170
"""Minimum width of the table of localizers."""


def print_pose_benchmark(benchmark: PoseBenchmark) -> None:
    """Prints the ablation of each query set, the comparisons, and the paper's tables beside ours."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from scene_geo_loc.benchmarks.poses import comparisons as pose_comparisons
    from scene_geo_loc.benchmarks.poses import table as pose_table
    from scene_geo_loc.benchmarks.poses.localizers import table as localizer_table

    console = Console(highlight=False)
    # A narrow terminal wraps the lines of a wide table, but squeezed columns would lose names and numbers.
    wide = Console(highlight=False, width=max(console.width, TABLE_WIDTH))
    for queries in benchmark.sets:
        left_out = f", {queries.without_truth} without ground truth left out" if queries.without_truth else ""
        console.print(
            f"{escape(queries.name)} in {escape(queries.map_name)}: {queries.queries} queries{left_out}, "
            f"{queries.methods[0].keyframes} keyframes",
            style="bold",
        )
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.add_column("")
        for heading in pose_table.headings(queries):
            table.add_column(heading.replace(" ", "\n", 1), justify="right", no_wrap=True)
        for line in pose_table.ablation(queries):
            table.add_row(escape(line.name), *line.cells, style=None if line.cells else "dim")
        wide.print(table)
        if queries.localizers:
            table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
            table.add_column("localizers", no_wrap=True)
            for heading in localizer_table.headings(queries.place):
                table.add_column(heading.replace(" ", "\n", 1), justify="right", no_wrap=True)
            for line in localizer_table.lines(queries.place, queries.localizers):
                table.add_row(escape(line.name), *line.cells)
            Console(highlight=False, width=max(console.width, LOCALIZERS_WIDTH)).print(table)
            console.print(localizer_table.NOTE, style="dim")
        for sentence in [*queries.not_run.values(), *pose_comparisons.comparisons_in_words(queries)]:
            console.print(sentence)
        console.print()
    for compared in pose_table.paper_comparisons(benchmark):
        console.print(f"{compared.title}, metres / degrees", style="bold")
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.add_column("")
        for owner, columns in (("paper:", compared.printed), ("ours:", compared.ours)):
            for column in columns:
                table.add_column(f"{owner} {escape(column)}", justify="right")
        for line in compared.lines:
            table.add_row(escape(line.name), *line.cells)
        console.print(table)
        console.print(pose_table.PAPER_NOTE, style="dim")
    console.print(pose_table.notes(benchmark), style="dim")
    console.print(pose_comparisons.NOTE, style="dim")
