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

"""`scene-geo-loc map split`: makes a map of each drive, or of each part of an area."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scene_geo_loc.cli.options.common import MapFolder


def split(
    map_folder: MapFolder,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the new maps.")],
    *,
    tile: Annotated[
        float | None,
        typer.Option(min=1.0, help="Side of the squares to split into, metres. Default: split by drives."),
    ] = None,
) -> None:
    """Make a map of each drive of a map, or of each square of its area.

    The maps can be merged again. OUT gets its name when all of them are complete.

    Example:  scene-geo-loc map split city_map tiles --tile 200
    """
    from scene_geo_loc.localization.map_editing.splitting import split_map
    from scene_geo_loc.mapping.reference_map import ReferenceMap

    for part in split_map(ReferenceMap.open(map_folder), out, tile_m=tile):
        typer.echo(f"{part.path}: {len(part)} keyframes.")
