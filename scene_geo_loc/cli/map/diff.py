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

"""`scene-geo-loc map diff`: shows what differs between two maps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def diff(
    first: Annotated[Path, typer.Argument(metavar="FIRST", help="Folder of a map.")],
    second: Annotated[Path, typer.Argument(metavar="SECOND", help="Folder of the map to compare with it.")],
) -> None:
    """Show what differs between two maps: keyframes, poses, networks, settings, frames.

    The exit code is 1 where they differ.

    Example:  scene-geo-loc map diff street_map street_map_of_last_week
    """
    from scene_geo_loc.mapping.editing.comparison import compare_maps
    from scene_geo_loc.mapping.reference_map import AnyMap

    found = compare_maps(AnyMap.open(first), AnyMap.open(second))
    if found.is_none:
        typer.echo(f"The maps have the same {found.common} keyframes.")
        return
    moved = f", {found.moved} of which moved by up to {found.largest_move_m:.3f} m" if found.moved else ""
    typer.echo(f"keyframes: {found.common} in both{moved}, {found.removed} removed, {found.added} added")
    for name, (before, after) in found.changed.items():
        typer.echo(f"{name}: {before} -> {after}")
    raise typer.Exit(1)
