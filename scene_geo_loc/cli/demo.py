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

"""`scene-geo-loc demo`: maps a simulated drive and localizes three other drives live."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(help="Folder for bags, maps, reports and result.json.")] = Path("demo"),
) -> None:
    """Map a simulated drive, localize three others with the live node, and report how well.

    An overcast drive is mapped. A sunny, a night and a snowy drive along the same street are replayed to a
    localization node in a process of its own, in real time or as fast as the node keeps up. Then they are
    localized offline in a map built from the images alone, without the lidar. Files of an earlier call are
    used again; the replays are repeated.

    Example:  scene-geo-loc demo --out demo
    """
    from scene_geo_loc.benchmarks.demo import MAPPED, Demo
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.cli.results.poses import print_results

    begin = time.monotonic()
    # SIGTERM ends the demo as Ctrl-C does, so that no process is left behind.
    earlier = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        result = Demo(out, progress, typer.echo).run()
    except KeyboardInterrupt:
        typer.echo("Stopped. The same command resumes the demo.", err=True)
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGTERM, earlier)
    print_results(result.live, f"Map of the {MAPPED} drive with lidar depth, localized live")
    print_results(result.images_only, f"Map of the {MAPPED} drive from images alone, localized offline")
    for name, pace in result.paces.items():
        typer.echo(f"{name}: {pace}")
    typer.echo(f"The report is {result.report}; that took {time.monotonic() - begin:.0f} s.")
    if result.missed_goals:
        typer.echo(f"The sunny drive misses its goals: {'; '.join(result.missed_goals)}.", err=True)
        raise typer.Exit(1)
