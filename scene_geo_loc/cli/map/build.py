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

"""`scene-geo-loc map build`: builds a reference map from a source of frames."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scene_geo_loc.cli.map.georeference import DatumText
from scene_geo_loc.cli.options.common import Device
from scene_geo_loc.cli.options.settings import takes_settings
from scene_geo_loc.cli.options.source import Source, SourcesAndOutput, takes_sources
from scene_geo_loc.mapping.settings import WITHOUT_DEPTH, BuilderSettings

if TYPE_CHECKING:
    from scene_geo_loc.mapping.fleet.drive_job import DriveResult


@takes_sources
@takes_settings()
def build(
    drives: SourcesAndOutput,
    *,
    settings: BuilderSettings,
    network: Annotated[
        Path | None,
        typer.Option(help="Checkpoint of a network, for example another map's. Default: the package's."),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            metavar="MAP",
            help="Map whose network and fitted parts to use, so that the two can be merged. Default: none.",
        ),
    ] = None,
    cloud: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Point cloud (.pcd, .ply, .las, .laz) in the frame of the poses, such as an existing lidar "
            "map, to take the depth from. Default: the source's own lidar.",
        ),
    ] = None,
    datum: DatumText = None,
    device: Device = "auto",
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Ray cluster whose workers map a drive each, such as 10.0.0.1:6379 or auto; local starts a "
            "worker on each core of this machine, local:2 two. Default: one drive after the other.",
        ),
    ] = None,
    leave_out_failed: Annotated[
        bool,
        typer.Option(
            "--leave-out-failed", help="Several drives: leave out those that cannot be mapped, and name them."
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option(help="Replace an existing map once the new one is complete.")
    ] = False,
) -> None:
    """Build a reference map from images with poses; lidar or depth images are used where the source has them.

    The same command resumes a build that was interrupted. If several cameras are named, the images of all of
    them become keyframes. Several sources are drives in one frame, and become one map: what is fitted to
    images is fitted to the first one.

    Examples:
        scene-geo-loc map build morning.bag street_map --keyframe-distance 2

        scene-geo-loc map build monday.bag tuesday.bag friday.bag week_map --ray local
    """
    from scene_geo_loc.core.errors import SceneGeoLocError

    if like is not None and network is not None:
        raise SceneGeoLocError("--like takes the network of that map: leave out --network.")
    if leave_out_failed and len(drives.sources) == 1:
        raise SceneGeoLocError("--leave-out-failed is for several drives, and one is named: leave it out.")
    if len(drives.sources) > 1 or ray is not None:
        _build_of_drives(
            drives, settings, network, like, cloud, datum, device, ray, leave_out_failed, overwrite
        )
    else:
        _build_of_drive(
            drives.sources[0], drives.out, settings, network, like, cloud, datum, device, overwrite
        )


def _build_of_drive(
    source: Source,
    out: Path,
    settings: BuilderSettings,
    network: Path | None,
    like: Path | None,
    cloud: Path | None,
    datum: str | None,
    device: str,
    overwrite: bool,
) -> None:
    """Builds a map of one source."""
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.depth.point_cloud import SPACING_M, PointCloud
    from scene_geo_loc.geometry.datum import Georeference, datum_of_text
    from scene_geo_loc.localization.uncertainty.self_measurement import measure_map
    from scene_geo_loc.mapping.builder import MapBuilder
    from scene_geo_loc.mapping.map_info import read_info
    from scene_geo_loc.mapping.reference_map import ReferenceMap
    from scene_geo_loc.traversals.satellite import georeference_of
    from scene_geo_loc.traversals.sources import sources_of
    from scene_geo_loc.visual_words.sizes import POINT_WORDS, REGION_WORDS

    given = None if datum is None else Georeference(datum_of_text(datum))
    traversal = source.open_cameras()
    points = None if cloud is None else PointCloud.read(cloud)
    if points is not None:
        typer.echo(f"{cloud}: {points.count:,} points {100 * SPACING_M:g} cm apart.")
    builder = MapBuilder(
        out,
        settings,
        map_frame=traversal.map_frame,
        source=traversal.name,
        sources=sources_of(traversal),
        georeference=given or georeference_of(traversal),
        network=network,
        like=None if like is None else ReferenceMap.open(like),
        cloud=points,
        device=device,
        overwrite=overwrite,
        measure=measure_map,
    )
    if builder.resumed_keyframes:
        typer.echo(f"Resuming an interrupted build with {builder.resumed_keyframes} keyframes.")
    with progress("building", "frames") as on_progress:
        builder.add_traversal(traversal, on_progress)
    with progress("finishing", "steps") as on_progress:
        builder.finish(on_progress)
    done = builder.progress
    typer.echo(f"{out}: {done.keyframes} keyframes from {done.frames} frames.")
    if cloud is not None and builder.cloud_agreement is not None:
        typer.echo(f"{cloud.name}: {builder.cloud_agreement}.")
    if builder.georeference is not None:
        typer.echo(f"Datum: {builder.georeference}.")
    vocabulary = read_info(out).vocabulary
    if vocabulary is not None:
        typer.echo(f"Visual words: {vocabulary}.")
        is_small = vocabulary.point_words < POINT_WORDS or vocabulary.region_words < REGION_WORDS
        if is_small and vocabulary.file is None:
            typer.echo(f"The keyframes show too few features for {POINT_WORDS} and {REGION_WORDS} words.")
    if done.without_depth and settings.depth not in WITHOUT_DEPTH:
        advice = (
            " Use --depth auto to estimate depth from the images." if settings.depth == "measured" else ""
        )
        typer.echo(
            f"{done.without_depth} keyframes have no depth: they can be retrieved but give no pose.{advice}"
        )
    for stage, skipped in (("reader", traversal.skipped), ("map builder", done.skipped)):
        if skipped:
            typer.echo(f"Frames skipped by the {stage}: {skipped}.")


def _build_of_drives(
    drives: SourcesAndOutput,
    settings: BuilderSettings,
    network: Path | None,
    like: Path | None,
    cloud: Path | None,
    datum: str | None,
    device: str,
    ray: str | None,
    leave_out_failed: bool,
    overwrite: bool,
) -> None:
    """Builds one map of several sources, on Ray if it has an address."""
    from contextlib import ExitStack

    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.core.errors import SceneGeoLocError
    from scene_geo_loc.localization.uncertainty.self_measurement import measure_map
    from scene_geo_loc.mapping.fleet.drive_job import DriveJob, DriveSource
    from scene_geo_loc.mapping.fleet.executors import DriveExecutor, InThisProcess
    from scene_geo_loc.mapping.fleet.fleet_build import FailedDrives, build_fleet
    from scene_geo_loc.mapping.fleet.ray_cluster import RayCluster
    from scene_geo_loc.traversals.formats import OPTIONS

    total = len(drives.sources)

    def on_drive(number: int, job: DriveJob, result: DriveResult) -> None:
        typer.echo(f"{number}/{total} {job.source.path}: {_line_of(result)}")

    with ExitStack() as stack:
        executor: DriveExecutor = InThisProcess()
        if ray is not None:
            executor = stack.enter_context(RayCluster(ray))
        try:
            fleet = build_fleet(
                [
                    DriveSource(
                        path=str(source.path),
                        format=source.format,
                        cameras=tuple(source.camera or ()),
                        options={
                            option: getattr(source, option)
                            for option in OPTIONS
                            if option != "camera" and getattr(source, option) is not None
                        },
                        every=source.every,
                        offset=source.offset,
                        start=source.start,
                        end=source.end,
                    )
                    for source in drives.sources
                ],
                drives.out,
                settings,
                network=network,
                like=like,
                cloud=cloud,
                datum=datum,
                device=device,
                overwrite=overwrite,
                leave_out_failed=leave_out_failed,
                executor=executor,
                measure=measure_map,
                display=progress,
                on_drive=on_drive,
            )
        except FailedDrives as error:
            raise SceneGeoLocError(f"{error} (--leave-out-failed).") from error
    for path, reason in fleet.left_out.items():
        typer.echo(f"Left out: {path}, {reason}")
    mapped = fleet.map.info.all_drives
    typer.echo(f"{drives.out}: {len(fleet.map)} keyframes of {len(mapped)} drives.")
    if fleet.map.georeference is not None:
        typer.echo(f"Datum: {fleet.map.georeference}.")
    typer.echo(
        f"{fleet.work} keeps the maps of the drives for later builds: remove it if there will be none."
    )


def _line_of(result: DriveResult) -> str:
    """Returns what became of a drive."""
    if result.error is not None:
        return f"no map, {result.error}"
    if result.is_reused:
        return f"{result.keyframes} keyframes, mapped before."
    resumed = f", {result.resumed} of them before it was interrupted" if result.resumed else ""
    line = (
        f"{result.keyframes} keyframes{resumed}, from {result.frames} frames in {result.seconds:.1f} s on "
        f"{result.host}."
    )
    if result.without_depth:
        line += f" {result.without_depth} keyframes have no depth."
    for stage, skipped in result.skipped.items():
        line += f" Skipped by the {stage}: {skipped}."
    return line
