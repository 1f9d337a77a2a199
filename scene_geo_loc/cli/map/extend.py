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

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scene_geo_loc.cli.options.common import MapFolder
from scene_geo_loc.cli.options.settings import takes_settings
from scene_geo_loc.cli.options.source import Source, takes_source
from scene_geo_loc.localization.map_growth.settings import GrowthSettings

if TYPE_CHECKING:
    from scene_geo_loc.localization.localizer import Localizer
    from scene_geo_loc.mapping.reference_map import ReferenceMap
    from scene_geo_loc.traversals.frame import Traversal


class PosesBy(str, Enum):
    """Where the poses of new keyframes are from."""

    AUTO = "auto"
    DRIVE = "drive"
    MAP = "map"


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
    from scene_geo_loc.core.errors import MapError
    from scene_geo_loc.core.folder_lock import changing
    from scene_geo_loc.mapping.map_info import MAP_JSON, check_output
    from scene_geo_loc.mapping.reference_map import ReferenceMap

    with changing(out, "map extend", MapError):
        check_output(out, overwrite)
        reference_map = ReferenceMap.open(map_folder)
        if (source.path / MAP_JSON).exists():
            _check_unused(growth, source.path)
            _extend_by_map(reference_map, ReferenceMap.open(source.path), out, overwrite)
        else:
            _extend_by_drive(reference_map, source.open_cameras(), out, poses_by, growth, overwrite)


def _check_unused(growth: GrowthSettings, source: Path | str) -> None:
    """Raises MapError where settings are given that have no effect."""
    from scene_geo_loc.core.errors import MapError

    if growth != GrowthSettings():
        raise MapError(
            f"{source} has its own poses in the map's frame, so the settings of localizing have no effect: "
            "leave them out, or give --poses-by map."
        )


def _extend_by_map(reference_map: ReferenceMap, later: ReferenceMap, out: Path, overwrite: bool) -> None:
    """Adds keyframes of a map of the drive, in the frame of the map."""
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.localization.keyframe_queries.map_extension import needed_keyframes
    from scene_geo_loc.localization.keyframe_queries.other_map import localize_other_map
    from scene_geo_loc.localization.localizer import Localizer
    from scene_geo_loc.localization.uncertainty.self_measurement import measure_map
    from scene_geo_loc.mapping.editing.combination import MapPart, write_combination
    from scene_geo_loc.mapping.editing.compatibility import check_combinable

    check_combinable([reference_map, later])
    with progress(f"localizing the drive in {reference_map.path}", "keyframes") as on_progress:
        found = localize_other_map(
            Localizer(reference_map, device="cpu"), later, range(len(later)), on_progress
        )
    extension = needed_keyframes(later, found)
    offset = "" if extension.offset_m is None else f", {extension.offset_m:.3f} m off (median)"
    typer.echo(
        f"{extension.found} of {len(later)} keyframes of {later.info.source} are found in "
        f"{reference_map.path}{offset}."
    )
    if not len(extension.needed):
        typer.echo("Nothing is added: the map localizes all of the drive.")
        return
    parts = [MapPart.whole(reference_map), MapPart(later, extension.needed)]
    with progress("writing", "rows") as on_progress:
        written = write_combination(
            parts, out, overwrite=overwrite, measure=measure_map, on_progress=on_progress
        )
    typer.echo(f"{out}: {len(written)} keyframes, {len(extension.needed)} of them new.")


def _extend_by_drive(
    reference_map: ReferenceMap,
    traversal: Traversal,
    out: Path,
    poses_by: PosesBy,
    growth: GrowthSettings,
    overwrite: bool,
) -> None:
    """Adds keyframes of a recording, with its own poses or those that the map gives its images."""
    import shutil

    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.core.errors import MapError
    from scene_geo_loc.localization.keyframe_queries.map_extension import SAME_FRAME_M
    from scene_geo_loc.localization.localizer import Localizer
    from scene_geo_loc.localization.map_growth.drive import frame_of_drive
    from scene_geo_loc.mapping.editing.compatibility import check_extendable

    check_extendable(reference_map)
    localizer = Localizer(reference_map, device="cpu")
    with progress("comparing frames", "images") as on_progress:
        frame = frame_of_drive(localizer, traversal, on_progress)
    if poses_by is PosesBy.DRIVE and frame.offset_m is not None and not frame.is_maps:
        raise MapError(
            f"The poses of {traversal.name} are {frame.offset_m:.2f} m > {SAME_FRAME_M:g} m off the map "
            f"(median of {frame.found} images): they are in another frame; give --poses-by map."
        )
    if poses_by is PosesBy.AUTO and frame.offset_m is None and frame.with_poses:
        raise MapError(
            f"{traversal.name}: {frame}: if they are in the map's frame give --poses-by drive; else the "
            "drive shows another place, or too little of this one."
        )
    by_drive = poses_by is PosesBy.DRIVE or (poses_by is PosesBy.AUTO and frame.is_maps)
    used = "the drive's own" if by_drive else "by localizing, with odometry between fixes"
    typer.echo(f"{frame}. Poses of new keyframes: {used}.")
    folder = out.with_name(f".{out.name}.extending")
    try:
        if by_drive:
            _check_unused(growth, traversal.name)
            later = _map_of_drive(reference_map, traversal, folder)
            _extend_by_map(reference_map, later, out, overwrite)
        else:
            _extend_by_localizing(localizer, traversal, growth, folder, out, overwrite)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _map_of_drive(reference_map: ReferenceMap, traversal: Traversal, folder: Path) -> ReferenceMap:
    """Builds a map of a recording that can be merged with another."""
    import shutil

    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.mapping.builder import MapBuilder
    from scene_geo_loc.mapping.editing.compatibility import settings_like
    from scene_geo_loc.mapping.reference_map import ReferenceMap
    from scene_geo_loc.traversals.sources import sources_of

    # Complete, of a command that was killed before it could merge it: perhaps of another drive.
    shutil.rmtree(folder / "drive", ignore_errors=True)
    settings = settings_like(reference_map)
    typer.echo(f"Settings of the map, with depth: {settings.depth}.")
    builder = MapBuilder(
        folder / "drive",
        settings,
        map_frame=reference_map.map_frame,
        source=traversal.name,
        sources=sources_of(traversal),
        like=reference_map,
    )
    with progress("building", "frames") as on_progress:
        builder.add_traversal(traversal, on_progress)
    with progress("finishing", "steps") as on_progress:
        return ReferenceMap.open(builder.finish(on_progress))


def _extend_by_localizing(
    localizer: Localizer,
    traversal: Traversal,
    settings: GrowthSettings,
    folder: Path,
    out: Path,
    overwrite: bool,
) -> None:
    """Adds images of a recording that the map does not localize, with poses between those that it does."""
    import shutil

    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.localization.map_growth.building import build_waiting
    from scene_geo_loc.localization.map_growth.drive import instants_of, localize_drive
    from scene_geo_loc.localization.map_growth.growth import MapGrowth
    from scene_geo_loc.localization.session import Session

    shutil.rmtree(folder, ignore_errors=True)  # of a command that was killed, perhaps with another drive
    growth = MapGrowth(localizer.map, settings, source=traversal.name, folder=folder)
    with progress("localizing", "images") as on_progress:
        localized = localize_drive(Session(localizer), growth, traversal, on_progress)
    growth.settle()
    images = growth.placed
    growth.interrupt()
    typer.echo(f"{localized} of {instants_of(traversal)} images are localized.")
    for reason, count in growth.counts.dropped.items():
        if count:
            typer.echo(f"{count} images are dropped: {reason.value}.")
    if not images:
        typer.echo("Nothing is added.")
        return
    with progress("adding", "images") as on_progress:
        grown = build_waiting(
            localizer.map.path,
            images,
            folder,
            traversal.name,
            out=out,
            overwrite=overwrite,
            on_progress=on_progress,
        )
    typer.echo(f"{out}: {grown}.")
