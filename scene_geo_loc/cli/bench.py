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
    sizes: Annotated[
        list[int] | None,
        typer.Option(help="Keyframes of a map of a city; repeatable. Default: 1000 and 100000.", min=1000),
    ] = None,
    only_sizes: Annotated[bool, typer.Option(help="Measure maps of cities only.")] = False,
) -> None:
    """Measure time and memory of networks, queries, map building, dense depth and the live node.

    Then maps of a city are measured against their number of keyframes: opening, search, memory, disk, and
    recall. A map of ten million takes about seven minutes of processor time and 12 GB; it is kept in the
    folder.

    Machines differ: each time is also given as a multiple of a forward pass of the network on this machine.

    Example:  scene-geo-loc bench --minutes 10

    Example:  scene-geo-loc bench --only-sizes --sizes 1000 --sizes 1000000 --sizes 10000000
    """
    from scene_geo_loc.benchmarks.speed.benchmark import measure_speed
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.cli.results.speed import print_speed

    if not only_sizes:
        print_speed(measure_speed(out, minutes, progress), minutes)
    from scene_geo_loc.benchmarks.speed.city_cost import SIZES
    from scene_geo_loc.benchmarks.speed.city_drives import measure_simulated_cities
    from scene_geo_loc.benchmarks.speed.plot import map_size_figure
    from scene_geo_loc.cli.results.city import print_cities
    from scene_geo_loc.plots.style import write_figure

    costs = measure_simulated_cities(out, sizes or SIZES, progress)
    print_cities(costs)
    write_figure(out / "map_size.svg", lambda: map_size_figure(costs))
