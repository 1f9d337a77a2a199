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
) -> None:
    """Make one map of the keyframes of several, such as of drives in different light.

    The maps must be of one network and one frame: build the later ones with `map build --like FIRST`.

    Example:  scene-geo-loc map merge sunny_map snow_map night_map year_map
    """
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.core.errors import MapError, SceneGeoLocError
    from scene_geo_loc.core.folder_lock import changing
    from scene_geo_loc.localization.uncertainty.self_measurement import measure_map
    from scene_geo_loc.mapping.editing.combination import MapPart, write_combination
    from scene_geo_loc.mapping.reference_map import ReferenceMap

    *sources, out = maps
    if len(sources) < 2:
        raise SceneGeoLocError("Two maps or more are merged: name them, and then the folder of the new map.")
    with changing(out, "map merge", MapError), progress("merging", "rows") as on_progress:
        parts = [MapPart.whole(ReferenceMap.open(source)) for source in sources]
        merged = write_combination(
            parts, out, overwrite=overwrite, measure=measure_map, on_progress=on_progress
        )
    drives = ", ".join(f"{drive.keyframes} of {drive.source}" for drive in merged.info.all_drives)
    typer.echo(f"{out}: {len(merged)} keyframes, {drives}.")
