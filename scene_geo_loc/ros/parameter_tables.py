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

"""Renews the parameter tables of docs/nodes.md: `python -m scene_geo_loc.ros.parameter_tables`."""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import BaseModel

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.ros.bags.player import BagPlayerSettings
from scene_geo_loc.ros.bags.recorder import BagRecorderSettings
from scene_geo_loc.ros.common.parameters import parameters_of, range_text
from scene_geo_loc.ros.common.settings import LocalizationNodeSettings, MapBuilderNodeSettings

NODES: dict[str, type[BaseModel]] = {
    "localization_node": LocalizationNodeSettings,
    "map_builder_node": MapBuilderNodeSettings,
    "bag_player": BagPlayerSettings,
    "bag_recorder": BagRecorderSettings,
}
"""The settings of each node, by its name."""


def table(settings: type[BaseModel]) -> str:
    """Returns a Markdown table of the parameters of a settings model."""
    lines = [
        "| Parameter | Type | Default | Unit | Range | Live | Description |",
        "|---|---|---|---|---|---|---|",
    ]
    for p in parameters_of(settings):
        default = (
            f'"{p.default}"' if p.kind is str else str(p.default).lower() if p.kind is bool else p.default
        )
        live = "yes" if p.live else ""
        cells = (f"`{p.name}`", p.kind_name, f"`{default}`", p.unit, range_text(p), live, p.description)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def with_tables(document: str, models: dict[str, type[BaseModel]]) -> str:
    """Returns the document with the table of each model between its `<!-- parameters: NAME -->` marks."""
    for name, settings in models.items():
        begin, end = f"<!-- parameters: {name} -->", "<!-- end -->"
        before, found, rest = document.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise SceneGeoLocError(f"The document has no place marked {begin} ... {end}.")
        document = f"{before}{begin}\n{table(settings)}\n{end}{after}"
    return document


def main(document: Path = Path("docs/nodes.md")) -> None:
    """Renews the tables of a document; run it from the repository's root."""
    document.write_text(with_tables(document.read_text(), NODES))


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
