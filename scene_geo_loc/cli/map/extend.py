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
from scene_geo_loc.cli.options.settings import takes_settings
from scene_geo_loc.cli.options.source import Source, takes_source
from scene_geo_loc.localization.map_growth.settings import GrowthSettings, PosesBy


@takes_source
@takes_settings(images=None)
def extend(
    map_folder: MapFolder,
    source: Source,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the larger map; it may be MAP.")],
    *,
    growth: GrowthSettings,
    poses_by: Annotated[
        PosesBy,
        typer.Option(
            help="Where the poses of new keyframes are from, of a source that is no map. drive: its own, "
            "which must be in the map's frame; map: by localizing in the map, with odometry between fixes; "
            "auto: the drive's where they agree with the map's, which is printed."
        ),
    ] = PosesBy.AUTO,
    overwrite: Annotated[
        bool, typer.Option(help="Replace an existing map once the new one is complete.")
    ] = False,
) -> None:
    """Add those keyframes of a later drive to a map that the map does not localize itself.

    A place gets new keyframes where the map has none, or where the light has become so different that its own
    are of no use. SOURCE is a recording, or a map of the drive made by `map build --like MAP`. A map whose
    poses are in another frame is refused; `map align` brings it into the map's. The settings are those of
    images whose poses are found by localizing.

    Examples:
        scene-geo-loc map extend street_map snow.bag street_map --overwrite

        scene-geo-loc map extend street_map snow_map street_map --overwrite
    """
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.localization.map_editing.extension import extend_map
    from scene_geo_loc.mapping.map_info import MAP_JSON
    from scene_geo_loc.mapping.reference_map import ReferenceMap

    is_map = (source.path / MAP_JSON).exists()
    extended = extend_map(
        map_folder,
        ReferenceMap.open(source.path) if is_map else source.open_cameras(),
        out,
        poses_by=poses_by,
        growth=growth,
        overwrite=overwrite,
        display=progress,
        say=typer.echo,
    )
    typer.echo(f"{extended}.")
