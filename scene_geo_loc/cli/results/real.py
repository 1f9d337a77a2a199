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

"""Tables of results on real images on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scene_geo_loc.benchmarks.real.results import RealResults

_LEAST_WIDTH = 150
"""Width of the widest table: a narrower terminal wraps its lines rather than its cells."""


def print_real_results(results: RealResults) -> None:
    """Prints a table for each set, and a line for everything that was left out."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from scene_geo_loc.benchmarks.real.page import table_lines
    from scene_geo_loc.benchmarks.real.results import COLUMNS
    from scene_geo_loc.benchmarks.real.sets import SETS

    titles = {entry.name: entry.title for entry in SETS}
    console = Console(highlight=False)
    console.width = max(console.width, _LEAST_WIDTH)
    for result in results.sets:
        columns = COLUMNS[result.kind]
        table = Table(box=box.SIMPLE_HEAD, title=titles[result.name], title_justify="left")
        for heading in ("", "method"):
            table.add_column(heading)
        for heading in ("queries", "references", *(column.heading for column in columns)):
            table.add_column(heading, justify="right")
        for line in table_lines(result, result.part_names(), columns):
            table.add_row(*map(escape, line))
        console.print(table)
        for sentence in result.left_out:
            console.print(f"Left out: {escape(sentence)}")
    for sentence in results.missing_methods:
        console.print(f"Not run: {escape(sentence)}")
