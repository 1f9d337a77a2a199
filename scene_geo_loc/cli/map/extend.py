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

"""`scene-geo-loc map extend`: adds a later drive to a map."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scene_geo_loc.cli.options.common import MapFolder


def extend(
    map_folder: MapFolder,
    drive: Annotated[
        Path,
        typer.Argument(metavar="DRIVE", help="Map of the later drive, made by `map build --like MAP`."),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the larger map; it may be MAP.")],
    *,
    overwrite: Annotated[
        bool, typer.Option(help="Replace an existing map once the new one is complete.")
    ] = False,
) -> None:
    """Add those keyframes of a later drive to a map that the map does not localize itself.

    A place gets new keyframes where the map has none, or where the light has become so different that its own
    are of no use. A drive whose poses are in another frame is refused; `map align` brings it into the map's.

    Example:  scene-geo-loc map extend street_map snow_drive street_map --overwrite
    """
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.localization.keyframe_queries.map_extension import needed_keyframes
    from scene_geo_loc.localization.keyframe_queries.other_map import localize_other_map
    from scene_geo_loc.localization.localizer import Localizer
    from scene_geo_loc.localization.uncertainty.self_measurement import measure_map
    from scene_geo_loc.mapping.editing.combination import MapPart, write_combination
    from scene_geo_loc.mapping.editing.compatibility import check_combinable
    from scene_geo_loc.mapping.reference_map import ReferenceMap

    reference_map, later = ReferenceMap.open(map_folder), ReferenceMap.open(drive)
    check_combinable([reference_map, later])
    with progress(f"localizing {drive} in {map_folder}", "keyframes") as on_progress:
        found = localize_other_map(
            Localizer(reference_map, device="cpu"), later, range(len(later)), on_progress
        )
    extension = needed_keyframes(later, found)
    offset = "" if extension.offset_m is None else f", {extension.offset_m:.3f} m off (median)"
    typer.echo(f"{extension.found} of {len(later)} keyframes of {drive} are found in {map_folder}{offset}.")
    if not len(extension.needed):
        typer.echo("Nothing is added: the map localizes all of the drive.")
        return
    parts = [MapPart.whole(reference_map), MapPart(later, extension.needed)]
    with progress("writing", "rows") as on_progress:
        written = write_combination(
            parts, out, overwrite=overwrite, measure=measure_map, on_progress=on_progress
        )
    typer.echo(f"{out}: {len(written)} keyframes, {len(extension.needed)} of them new.")
