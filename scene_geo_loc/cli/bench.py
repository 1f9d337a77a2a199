"""`scene-geo-loc bench`: measures time and memory on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def bench(
    out: Annotated[Path, typer.Option(help="Folder for the recording that it makes.")] = Path("demo/bench"),
    minutes: Annotated[
        float, typer.Option(min=0.1, help="Minutes during which the live node receives images at 10 Hz.")
    ] = 1.0,
) -> None:
    """Measure time and memory of networks, queries, map building, dense depth and the live node.

    Machines differ: each time is also given as a multiple of a forward pass of the network on this machine.

    Example:  scene-geo-loc bench --minutes 10
    """
    from scene_geo_loc.benchmarks.speed.benchmark import measure_speed
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.cli.results.speed import print_speed

    print_speed(measure_speed(out, minutes, progress), minutes)
