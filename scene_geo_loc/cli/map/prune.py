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

"""`scene-geo-loc map prune`: makes a map smaller without losing places."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scene_geo_loc.cli.options.common import MapFolder


def prune(
    map_folder: MapFolder,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the smaller map; it may be MAP.")],
    *,
    keyframes: Annotated[int | None, typer.Option(min=1, help="Most keyframes to keep.")] = None,
    megabytes: Annotated[
        float | None, typer.Option(min=0.1, help="Largest size of the map, with its networks.")
    ] = None,
    statistics: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Statistics of the keyframes, by which those that help stay: written by a node "
            "(`statistics_dir`), `localize` or `evaluate`. The option can be repeated, the oldest first.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option(help="Replace an existing map once the new one is complete.")
    ] = False,
) -> None:
    """Keep those of a map's keyframes, within a budget, that support most of what it shows.

    Each place counts once in each drive, and a keyframe supports those within its reach, which is measured by
    the map's own features. No place is dropped. With statistics the keyframes that helped to localize most
    are preferred, and those that were of no use go first: they never helped although images were taken near
    them, or contradict later images. Prints how many of the keyframes that are left out are still localized
    by those that are kept.

    Example:  scene-geo-loc map prune year_map small_map --megabytes 50 --statistics year_map.parquet
    """
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.localization.map_editing.pruning import prune_map

    pruned = prune_map(
        map_folder,
        out,
        keyframes=keyframes,
        megabytes=megabytes,
        statistics=statistics or (),
        overwrite=overwrite,
        display=progress,
        say=typer.echo,
    )
    typer.echo(f"{pruned}.")
