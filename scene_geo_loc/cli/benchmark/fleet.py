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

"""`scene-geo-loc benchmark fleet`: measures builds of one map of many drives."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scene_geo_loc.cli.options.common import JsonFile
from scene_geo_loc.cli.options.settings import takes_settings
from scene_geo_loc.mapping.settings import BuilderSettings

MODELLED_DRIVES = (4, 16, 64, 256)
MODELLED_WORKERS = (1, 2, 4, 8, 16, 32)


@takes_settings()
def fleet(
    drives: Annotated[list[Path], typer.Argument(metavar="DRIVE...", help="Two drives or more.")],
    *,
    out: Annotated[Path, typer.Option(help="Folder for the maps.")],
    settings: BuilderSettings,
    end: Annotated[
        float | None, typer.Option(help="Use frames until this many seconds after the first one.")
    ] = None,
    workers: Annotated[str, typer.Option(help="Numbers of local workers.")] = "1,2",
    json: JsonFile = None,
) -> None:
    """Build one map of several drives in this process and on local workers of Ray, with one of them killed.

    Prints the times, whether all files are the same, and a model of more workers and drives: events in time,
    computed from the times that were measured on one worker.

    Example:  scene-geo-loc benchmark fleet bags/overcast bags/sunny bags/snow bags/night --out maps --end 10
    """
    from dataclasses import asdict

    from scene_geo_loc.benchmarks.fleet.build_costs import measure_fleet
    from scene_geo_loc.benchmarks.fleet.schedule import BuildTimes, build_seconds
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.cli.results.fleet import print_builds, print_schedule
    from scene_geo_loc.core.atomic import write_json
    from scene_geo_loc.core.errors import SceneGeoLocError
    from scene_geo_loc.mapping.fleet.drive_job import DriveSource

    words = workers.split(",")
    if not all(word.isdigit() and int(word) for word in words):
        raise SceneGeoLocError(f"--workers: {workers!r} are no numbers such as 1,2.")
    sources = [DriveSource(path=str(drive.absolute()), end=end) for drive in drives]
    costs = measure_fleet(sources, out.absolute(), settings, [int(word) for word in words], progress)
    print_builds(costs)
    times = costs[1].times
    modelled = {
        count: {
            number: build_seconds(
                BuildTimes(
                    times.start_s,
                    [times.drives_s[i % len(drives)] for i in range(count)],
                    times.merge_s * count / len(drives),
                ),
                number,
            )
            for number in MODELLED_WORKERS
        }
        for count in MODELLED_DRIVES
    }
    typer.echo(
        f"Modelled and not run, by the times of {costs[1].workers} worker, with a merge that takes "
        "as much longer as there are more drives:"
    )
    print_schedule(modelled)
    if json is not None:
        write_json(json, {"measured": [asdict(cost) for cost in costs], "modelled_s": modelled})
