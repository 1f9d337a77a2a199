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

"""`scene-geo-loc benchmark streetview`: localization in panoramas, beside the slides' printed numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scene_geo_loc.cli.options.common import Device, JsonFile


def streetview(
    sets: Annotated[
        list[Path], typer.Argument(metavar="SET...", help="Sets of panoramas (docs/datasets/streetview.md).")
    ],
    queries: Annotated[
        list[Path], typer.Option(help="Source to localize, with true poses. May be repeated.")
    ],
    spacing: Annotated[
        list[float] | None,
        typer.Option(
            min=1,
            help="Take panoramas about so many metres apart along the streets of each set. May be repeated. "
            "Default: all panoramas.",
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="Method to compare, by its name in the message of a wrong one. May be repeated. "
            "Default: all."
        ),
    ] = None,
    most_queries: Annotated[
        int | None,
        typer.Option(min=1, help="Localize at most so many images of each source, evenly spread over it."),
    ] = None,
    views: Annotated[int | None, typer.Option(min=1, help="Number of views of each panorama.")] = None,
    view_camera: Annotated[
        str | None, typer.Option(help="Camera of the views, as for `map build`. Default: 640x480@57.6.")
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder to keep maps and finished results in, so that a run can be resumed."),
    ] = None,
    json: JsonFile = None,
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
    device: Device = "auto",
) -> None:
    """Localize queries in panoramas every 10 to 50 m, by every method, with and without virtual views.

    Every set is measured with the package's defaults, the set whose spacing is nearest to the slides'
    (17.8 m) also with all other methods. Geo-tags that err are compared with the set's `truth.csv`, if it
    has one. The numbers are those that the slides print: localized queries over all, mean error, shares by
    error.

    Examples:
        scene-geo-loc benchmark streetview panoramas_18m --queries sunny --queries night --write results.md

        scene-geo-loc benchmark streetview panoramas_5m --spacing 10 --spacing 50 --queries snow --cache done
    """
    import tempfile

    from scene_geo_loc.benchmarks.streetview.methods import find_methods
    from scene_geo_loc.benchmarks.streetview.page import write_streetview_results
    from scene_geo_loc.benchmarks.streetview.results import merged, read_results
    from scene_geo_loc.benchmarks.streetview.run import StreetviewRun
    from scene_geo_loc.benchmarks.streetview.sets import PanoramaSet
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.cli.results.streetview import print_streetview_results
    from scene_geo_loc.core.atomic import write_json
    from scene_geo_loc.core.errors import SceneGeoLocError

    names = [path.resolve().stem for path in queries]
    if len(set(names)) < len(names):
        raise SceneGeoLocError("Two sources of queries have the same name; give each its own.")
    earlier = [read_results(path) for path in also or ()]
    with tempfile.TemporaryDirectory(prefix="streetview_") as scratch:
        run = StreetviewRun(
            [PanoramaSet(one, metres, views, view_camera) for one in sets for metres in spacing or (None,)],
            dict(zip(names, queries, strict=True)),
            cache or Path(scratch),
            find_methods(method),
            most_queries,
            device,
            progress,
            lambda line: typer.echo(line, err=True),
        )
        results = run.run()
        print_streetview_results(results)
        if json is not None:
            write_json(json, results.model_dump(mode="json"))
        if write is not None:
            written = write_streetview_results(write, merged(earlier, results), *run.pictures(results))
            typer.echo(f"The results are {written[0]}, with {len(written) - 1} pictures beside it.")
