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

"""Numbers printed in the slides on learned localizers, to stand beside ours.

Learning-based Visual Localization, A. Kendall, University of Cambridge, tutorial on Large-Scale Visual Place
Recognition and Image-Based Localization, CVPR 2017.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files

_UNKNOWN = "–"


@dataclass(frozen=True)
class PrintedLine:
    """A line of a printed table, with cells as text."""

    name: str
    cells: list[str]


@dataclass(frozen=True)
class PrintedTable:
    """A printed table.

    Attributes:
        title: of the table, with the dataset.
        columns: with their units.
        lines: one for each method or scene.
    """

    title: str
    columns: list[str]
    lines: list[PrintedLine]


def printed_tables() -> list[PrintedTable]:
    """Returns the tables of the slides."""
    tables = json.loads(files("scene_geo_loc.metrics.published").joinpath("slides_learning.json").read_text())
    return [
        PrintedTable(
            table["title"],
            table["columns"],
            [
                PrintedLine(name, [_UNKNOWN if value is None else f"{value:g}" for value in row])
                for name, row in table["rows"].items()
            ],
        )
        for table in tables.values()
    ]
