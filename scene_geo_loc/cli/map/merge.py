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

"""`scene-geo-loc map merge`: makes one map of several."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def merge(
    maps: Annotated[
        list[Path],
        typer.Argument(metavar="MAP... OUT", help="Maps to merge, then the folder of the new one."),
    ],
    *,
    overwrite: Annotated[
        bool, typer.Option(help="Replace an existing map once the new one is complete.")
    ] = False,
    describe_anew: Annotated[
        bool,
        typer.Option(
            "--describe-anew",
            help="Describe the keyframes of maps with another network or matcher anew, as those of the first "
            "map, from the images of their drives.",
        ),
    ] = False,
    drives: Annotated[
        Path | None,
        typer.Option(help="With --describe-anew: folder of drives that are no longer where they were."),
    ] = None,
) -> None:
    """Make one map of the keyframes of several, such as of drives in different light.

    The maps must be of one network and one frame: build the later ones with `map build --like FIRST`, or give
    --describe-anew while their drives are still there.

    Examples:
        scene-geo-loc map merge sunny_map snow_map night_map year_map

        scene-geo-loc map merge street_map map_of_another_network both --describe-anew
    """
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.localization.map_editing.merging import merge_maps

    *sources, out = maps
    merged = merge_maps(
        sources,
        out,
        describe_anew=describe_anew,
        drives=drives,
        overwrite=overwrite,
        display=progress,
        on_described=lambda drive: typer.echo(f"{drive}."),
    )
    counts = ", ".join(f"{drive.keyframes} of {drive.source}" for drive in merged.info.all_drives)
    typer.echo(f"{out}: {len(merged)} keyframes, {counts}.")
