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
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from scene_geo_loc.mapping.reference_map import ReferenceMap


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
    import shutil
    from contextlib import ExitStack

    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.core.errors import MapError, SceneGeoLocError
    from scene_geo_loc.core.folder_lock import changing
    from scene_geo_loc.localization.uncertainty.self_measurement import measure_map
    from scene_geo_loc.mapping.editing.combination import MapPart, write_combination
    from scene_geo_loc.mapping.editing.redescription import is_described_alike
    from scene_geo_loc.mapping.map_info import check_output
    from scene_geo_loc.mapping.reference_map import ReferenceMap

    *sources, out = maps
    if len(sources) < 2:
        raise SceneGeoLocError("Two maps or more are merged: name them, and then the folder of the new map.")
    if drives is not None and not describe_anew:
        raise SceneGeoLocError("--drives has no effect without --describe-anew: give both.")
    with ExitStack() as held:
        held.enter_context(changing(out, "map merge", MapError))
        check_output(out, overwrite)
        opened = [ReferenceMap.open(source) for source in sources]
        first, parts = opened[0], []
        folder = out.with_name(f".{out.name}.describing")
        held.callback(shutil.rmtree, folder, ignore_errors=True)
        for number, reference_map in enumerate(opened):
            if describe_anew and not is_described_alike(first, reference_map):
                described = _described(reference_map, first, folder / f"{number}", drives)
            else:
                described = [reference_map]
            parts += [MapPart.whole(part) for part in described]
        with progress("merging", "rows") as on_progress:
            merged = write_combination(
                parts, out, overwrite=overwrite, measure=measure_map, on_progress=on_progress
            )
    counts = ", ".join(f"{drive.keyframes} of {drive.source}" for drive in merged.info.all_drives)
    typer.echo(f"{out}: {len(merged)} keyframes, {counts}.")


def _described(
    reference_map: ReferenceMap, like: ReferenceMap, folder: Path, drives: Path | None
) -> list[ReferenceMap]:
    """Describes a map anew, drive by drive, and prints how."""
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.mapping.editing.redescription import describe_anew

    maps = []
    with progress(f"describing {reference_map.path} anew", "keyframes") as on_progress:
        for drive in describe_anew(reference_map, like, folder, drives, on_progress):
            typer.echo(f"{drive}.")
            maps.append(drive.map)
    return maps
