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

"""`scene-geo-loc map index`: puts the index of a map into a database that many robots ask."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scene_geo_loc.cli.options.common import MapFolder


def index(
    map_folder: MapFolder,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the new map; it may be MAP.")],
    *,
    database: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="LanceDB database: a folder, for example of a file server, or an object store such as "
            "s3://bucket/folder, with the credentials in the environment. Default: a file of the map.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option(help="Replace an existing map once the new one is complete.")
    ] = False,
) -> None:
    """Put the descriptors that keyframes are found by into a database, or back into a file of the map.

    Robots with the new map ask the database, and need no memory for the index. Answers are the same.

    Example:  scene-geo-loc map index city_map robot_map --database /mnt/fleet/index
    """
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.mapping.editing.indexing import write_map_with_index
    from scene_geo_loc.mapping.reference_map import ReferenceMap
    from scene_geo_loc.mapping.search.database_index import DatabaseIndex

    with progress("indexing", "keyframes") as on_progress:
        written = write_map_with_index(
            ReferenceMap.open(map_folder), out, database, overwrite=overwrite, on_progress=on_progress
        )
    place = "its own folder"
    if isinstance(written.index, DatabaseIndex):
        place = f"the table {written.index.table.table} of {written.index.table.database}"
    typer.echo(f"{out}: {len(written)} descriptors of {written.index.size} numbers in {place}.")
