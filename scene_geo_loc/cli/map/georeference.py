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

"""`scene-geo-loc map georeference`: places an existing map on the Earth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scene_geo_loc.cli.options.common import Device, MapFolder

if TYPE_CHECKING:
    from scene_geo_loc.geometry.datum import Georeference

DatumText = Annotated[
    str | None,
    typer.Option(
        "--datum",
        metavar="LAT,LON,ALT[,YAW]",
        help="Position of the map's origin (WGS-84; degrees, metres above the ellipsoid), and the angle from "
        "east to its x axis, counter-clockwise in degrees. Default: by the satellite positions of the "
        "source, if there are any (docs/georeference.md).",
    ),
]


def georeference(
    map_folder: MapFolder,
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="[SOURCE]",
            help="Drive with images and satellite positions, such as a bag with NavSatFix.",
        ),
    ] = None,
    datum: DatumText = None,
    device: Device = "auto",
) -> None:
    """Give a map its datum, or another one: from a drive with satellite positions, or by numbers.

    The images of the drive are localized in the map, and the datum is fitted to the positions. A node that
    has the map open uses the new datum once it is configured again.

    Examples:
        scene-geo-loc map georeference street_map drive.bag

        scene-geo-loc map georeference street_map --datum 52.0004,5.0012,41.3,12.5
    """
    from scene_geo_loc.core.errors import GeodesyError
    from scene_geo_loc.geometry.datum import Georeference, datum_of_text
    from scene_geo_loc.mapping.georeference import keep_georeference

    if (source is None) == (datum is None):
        raise GeodesyError("Give either a source with satellite positions, or --datum LAT,LON,ALT[,YAW].")
    if datum is not None:
        found = Georeference(datum_of_text(datum))
    else:
        assert source is not None
        found = _by_drive(map_folder, source, device)
    keep_georeference(map_folder, found)
    typer.echo(f"{map_folder}: datum {found}.")


def _by_drive(map_folder: Path, source: Path, device: str) -> Georeference:
    from scene_geo_loc.benchmarks.localization.run import localize_traversal
    from scene_geo_loc.cli.options.progress import track
    from scene_geo_loc.geometry.trajectory import Trajectory
    from scene_geo_loc.localization.pose_localizer import open_localizer
    from scene_geo_loc.localization.session import Session
    from scene_geo_loc.traversals.opening import open_traversal
    from scene_geo_loc.traversals.satellite import fixes_of

    traversal = open_traversal(source)
    fixes = fixes_of(traversal)
    session = Session(open_localizer(map_folder, device=device))
    answers = track(localize_traversal(session, traversal), len(traversal), "localizing")
    localized = [record for record in answers if record.is_localized]
    poses = [record.T_estimated for record in localized if record.T_estimated is not None]
    typer.echo(f"{len(localized)} of {len(traversal)} frames localized.")
    return fixes.georeference_along(
        Trajectory.from_unsorted([record.stamp_ns for record in localized], poses)
    )
