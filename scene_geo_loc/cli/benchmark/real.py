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

"""`scene-geo-loc benchmark real`: every matcher on public sets of real images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scene_geo_loc.cli.options.common import Device, JsonFile
from scene_geo_loc.matchers import matcher_choices


def real(
    root: Annotated[
        Path, typer.Argument(metavar="ROOT", help="Folder that has the sets, at any depth to 4.")
    ],
    sets: Annotated[
        list[str] | None,
        typer.Option(
            help="Set to run, by its name in the page or the message of a wrong one. May be repeated."
        ),
    ] = None,
    matcher: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Matcher to compare: {', '.join(matcher_choices())}. May be repeated. "
            "Default: all that run here."
        ),
    ] = None,
    network: Annotated[
        Path | None, typer.Option(help="Checkpoint to use in place of the package's network.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder to keep finished results in, so that a run can be resumed.")
    ] = None,
    poses: Annotated[
        Path | None,
        typer.Option(help="Folder for the poses files of sets whose ground truth is not public."),
    ] = None,
    json: JsonFile = None,
    write: Annotated[Path | None, typer.Option(help="Markdown file to write the results to.")] = None,
    device: Device = "auto",
) -> None:
    """Score the package's matchers on real images: poses, places, labelled pairs, and matches by day and
    night.

    Sets are recognised by their layout below ROOT, whatever their folders are called; those that are not
    there are named with where they can be had. Each is scored by its own protocol, which the page states.

    Examples:
        scene-geo-loc benchmark real datasets --cache done --write real_results.md

        scene-geo-loc benchmark real datasets --sets 7scenes --matcher network --matcher sift --json
        rooms.json
    """
    from scene_geo_loc.benchmarks.real.page import write_real_results
    from scene_geo_loc.benchmarks.real.run import RealRun
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.cli.results.real import print_real_results
    from scene_geo_loc.core.atomic import write_json

    results = RealRun(
        root, sets, matcher, network, cache, poses, device, progress, lambda line: typer.echo(line, err=True)
    ).run()
    print_real_results(results)
    if json is not None:
        write_json(json, results.model_dump(mode="json"))
    if write is not None:
        write_real_results(write, results)
        typer.echo(f"The results are in {write}.")
