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

"""Tables of the street-view benchmark on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scene_geo_loc.benchmarks.streetview.results import StreetviewResults

_LEAST_WIDTH = 190
"""Width of the widest table: a narrower terminal wraps its lines rather than its cells."""


def print_streetview_results(results: StreetviewResults) -> None:
    """Prints the goals, the tables, and a line for everything that was left out."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from scene_geo_loc.benchmarks.streetview import table

    console = Console(highlight=False)
    console.width = max(console.width, _LEAST_WIDTH)
    tables = {
        "The slides' experiment beside ours": table.slides_table(results),
        "Distance between the panoramas": table.spacing_table(results),
        **{f"Methods, {name}": found for name, found in table.method_tables(results).items()},
        "Virtual views": table.virtual_table(results),
        "Geo-tags that err": table.tag_table(results),
    }
    for title, found in tables.items():
        if not found.lines:
            continue
        shown = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
        for heading in found.headings:
            shown.add_column(heading)
        for line in found.lines:
            shown.add_row(*map(escape, line))
        console.print(shown)
    for goal in table.goals(results):
        console.print(escape(f"{goal.text}: {goal.ours or 'not measured'}. Met: {goal.met or '–'}"))
    for sentence in results.left_out:
        console.print(f"Left out: {escape(sentence)}")
