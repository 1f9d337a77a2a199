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
) -> None:
    """Measure time and memory of networks, queries, map building, dense depth and the live node.

    Machines differ: each time is also given as a multiple of a forward pass of the network on this machine.

    Example:  scene-geo-loc bench --minutes 10
    """
    from scene_geo_loc.benchmarks.speed.benchmark import measure_speed
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.cli.results.speed import print_speed

    print_speed(measure_speed(out, minutes, progress), minutes)
