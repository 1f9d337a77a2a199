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

"""`scene-geo-loc benchmark pose`: ablation of pose errors, with the numbers printed in the papers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scene_geo_loc.cli.options.common import JsonFile
from scene_geo_loc.cli.options.settings import setting
from scene_geo_loc.cli.options.source import Format, Poses
from scene_geo_loc.mapping.settings import BuilderSettings
from scene_geo_loc.matchers import NETWORK_FEATURES, matcher_choices


def pose(
    map_source: Annotated[
        Path,
        typer.Argument(
            metavar="MAP_SOURCE", help="Source of the map: a bag, a dataset, or a folder of scenes."
        ),
    ],
    query_sources: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[QUERY_SOURCE]...", help="Sources to localize in the map. Default: a part of MAP_SOURCE."
        ),
    ] = None,
    query_every: Annotated[int, typer.Option(min=1, help="Localize every n-th query.")] = 1,
    keyframe_distance: Annotated[
        float | None, setting(BuilderSettings, "keyframe_distance_m", "--keyframe-distance")
    ] = None,
    keyframe_angle: Annotated[
        float | None, setting(BuilderSettings, "keyframe_angle_deg", "--keyframe-angle")
    ] = None,
    indoors: Annotated[
        bool | None,
        typer.Option(
            "--indoors/--outdoors", help="Error bounds to count by. Default: those of the source's format."
        ),
    ] = None,
    network: Annotated[
        list[Path] | None,
        typer.Option(help="Checkpoint to use in place of the package's network. May be repeated."),
    ] = None,
    matcher: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Local features to match: {', '.join(matcher_choices())}. May be repeated.",
        ),
    ] = None,
    localizer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="System of `train pose` to train on MAP_SOURCE and to compare with the package's own "
            "localizer; all: each. May be repeated.",
        ),
    ] = None,
    localizer_map: Annotated[
        list[Path] | None,
        typer.Option(help="Map made before, whose localizer is compared as well. May be repeated."),
    ] = None,
    images: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            help="Number of images to make localizers' maps of, evenly spread; repeated, it shows how the "
            "accuracy depends on it. Default: all.",
        ),
    ] = None,
    unseen: Annotated[
        Path | None,
        typer.Option(
            metavar="SOURCE", help="Source of another place, which none of the localizers should find."
        ),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder to keep maps in, so that each is built only once.")
    ] = None,
    json: JsonFile = None,
    curves: Annotated[
        Path | None,
        typer.Option(help="Folder to write curves of cumulative errors to, one PNG for each query set."),
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(
            help="Markdown file to write the results to; pictures go to the folder `images` beside it."
        ),
    ] = None,
    also: Annotated[
        list[Path] | None,
        typer.Option(help="Earlier results, written by --json, to include. May be repeated."),
    ] = None,
    device: Annotated[str, typer.Option(help="Where networks run: auto, cpu, cuda, ...")] = "auto",
    format: Format = None,
    poses: Poses = None,
    camera: Annotated[
        list[str] | None,
        typer.Option(
            help="Camera, as for `evaluate`. If several are named, the rig and the first camera "
            "alone are scored."
        ),
    ] = None,
) -> None:
    """Localize queries by every method, from retrieval alone to refined poses, and compare their errors.

    Without a QUERY_SOURCE the training split is mapped and the test split is localized; if the source has no
    splits, even frames are mapped and odd frames are localized. In both cases every frame becomes a keyframe
    unless a keyframe distance or angle is given. A folder of scenes of 7-Scenes, 12-Scenes or Cambridge
    Landmarks is run scene by scene, and compared with the errors printed in Perspective-n-Learned-Point.

    With --localizer, learned localizers are trained and asked the same queries: errors, wrong fixes,
    calibration, bytes of the map, minutes of the training and milliseconds of a query, side by side.

    Examples:
        scene-geo-loc benchmark pose 7scenes --cache maps --write poses.md

        scene-geo-loc benchmark pose morning.bag noon.bag evening.bag --json poses.json --curves curves

        scene-geo-loc benchmark pose morning.bag evening.bag --localizer all --unseen other_town.bag
    """
    from scene_geo_loc.benchmarks.machine import describe_machine
    from scene_geo_loc.benchmarks.poses.benchmark import PoseBenchmarkRun
    from scene_geo_loc.benchmarks.poses.errors import Place
    from scene_geo_loc.benchmarks.poses.experiments import find_experiments
    from scene_geo_loc.benchmarks.poses.results import PoseBenchmark, read_benchmark, write_benchmark
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.cli.results.pose_benchmark import print_pose_benchmark
    from scene_geo_loc.training.localizers import FAMILIES

    earlier = [queries for path in also or () for queries in read_benchmark(path).sets]
    place = None if indoors is None else Place.INDOORS if indoors else Place.OUTDOORS
    experiments = find_experiments(
        map_source,
        query_sources or [],
        query_every=query_every,
        keyframe_distance_m=keyframe_distance,
        keyframe_angle_deg=keyframe_angle,
        place=place,
        format=format,
        poses=poses,
        cameras=camera or (),
        unseen=unseen,
    )
    names = [name for family in FAMILIES for name in family.systems]
    run = PoseBenchmarkRun(
        network or [None],
        matcher or [NETWORK_FEATURES],
        cache,
        device,
        systems=names if "all" in (localizer or ()) else localizer or (),
        maps=localizer_map or (),
        images=images or (),
        show=progress,
    )
    done = PoseBenchmark(
        machine=describe_machine(),
        sets=[queries for experiment in experiments for queries in run.run(experiment)],
    )
    print_pose_benchmark(done)
    if json is not None:
        write_benchmark(json, done)
    shown = done.model_copy(update={"sets": [*earlier, *done.sets]})
    if curves is not None:
        from scene_geo_loc.benchmarks.poses.plot import write_curves

        for file in write_curves(curves, shown):
            typer.echo(f"Curves are in {file}.")
    if write is not None:
        from scene_geo_loc.benchmarks.poses.page import write_pose_results

        written = write_pose_results(write, shown)
        typer.echo(f"The results are {written[0]}, with {len(written) - 1} pictures in {written[1].parent}.")
