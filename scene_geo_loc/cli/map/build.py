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
from typing import Annotated

import typer

from scene_geo_loc.cli.map.georeference import DatumText
from scene_geo_loc.cli.options.common import Device
from scene_geo_loc.cli.options.settings import takes_settings
from scene_geo_loc.cli.options.source import Source, takes_source
from scene_geo_loc.mapping.settings import WITHOUT_DEPTH, BuilderSettings


@takes_source
@takes_settings()
def build(
    source: Source,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the new map.")],
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
    overwrite: Annotated[
        bool, typer.Option(help="Replace an existing map once the new one is complete.")
    ] = False,
) -> None:
    """Build a reference map from images with poses; lidar or depth images are used where the source has them.

    The same command resumes a build that was interrupted. If several cameras are named, the images of all of
    them become keyframes.

    Example:  scene-geo-loc map build morning.bag street_map --keyframe-distance 2
    """
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.core.errors import SceneGeoLocError
    from scene_geo_loc.depth.point_cloud import SPACING_M, PointCloud
    from scene_geo_loc.geometry.datum import Georeference, datum_of_text
    from scene_geo_loc.localization.uncertainty.self_measurement import measure_map
    from scene_geo_loc.mapping.builder import MapBuilder
    from scene_geo_loc.mapping.map_info import read_info
    from scene_geo_loc.mapping.reference_map import ReferenceMap
    from scene_geo_loc.traversals.satellite import georeference_of
    from scene_geo_loc.traversals.sources import sources_of
    from scene_geo_loc.visual_words.sizes import POINT_WORDS, REGION_WORDS

    if like is not None and network is not None:
        raise SceneGeoLocError("--like takes the network of that map: leave out --network.")
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
