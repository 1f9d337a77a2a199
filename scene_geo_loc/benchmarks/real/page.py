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

"""Results on real images as a page of Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scene_geo_loc.benchmarks.real.results import COLUMNS, Column, Part, RealResults, SetResult
from scene_geo_loc.benchmarks.real.sets import SETS, RealSet
from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.reports.report import template

_MOST_PARTS = 8
"""Parts beyond these are folded, the first two of a set stay in sight."""
_IN_SIGHT = 2


@dataclass(frozen=True)
class Section:
    """A set on the page.

    Attributes:
        entry: the set.
        result: its results.
        headings: of the numbers.
        lines: rows in sight.
        folded: further rows.
    """

    entry: RealSet
    result: SetResult
    headings: Sequence[str]
    lines: Sequence[Sequence[str]]
    folded: Sequence[Sequence[str]]


def write_real_results(path: Path, results: RealResults) -> None:
    """Writes the page. Raises SceneGeoLocError where it cannot be written."""
    entries = {entry.name: entry for entry in SETS}
    page = template("real_results.md.j2").render(
        results=results,
        command_path=path.name if path.parent == Path() else f"{path.parent.name}/{path.name}",
        sections=[_section(entries[result.name], result) for result in results.sets],
        missing=[entries[name] for name in results.missing],
    )
    write_aside(path, page.encode())


def _section(entry: RealSet, result: SetResult) -> Section:
    columns = COLUMNS[result.kind]
    names = result.part_names()
    shown = names if len(names) <= _MOST_PARTS else names[:_IN_SIGHT]
    return Section(
        entry,
        result,
        [column.heading for column in columns],
        table_lines(result, shown, columns),
        table_lines(result, names[len(shown) :], columns),
    )


def table_lines(result: SetResult, parts: Sequence[str], columns: Sequence[Column]) -> list[list[str]]:
    """Returns the rows of a set's table: part, method, queries, references, and the numbers."""
    lines = []
    for name in parts:
        for method in result.methods:
            part = result.find(method.method, name)
            if part is not None:
                lines.append([name, method.method, *_cells(part, columns)])
    return lines


def _cells(part: Part, columns: Sequence[Column]) -> list[str]:
    references = str(part.references) if part.references else "–"
    return [str(part.queries), references, *(column.text(part.values.get(column.key)) for column in columns)]
