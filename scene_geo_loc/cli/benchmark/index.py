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

"""`scene-geo-loc benchmark index`: measures an index in a database beside that of faiss."""

from __future__ import annotations

from typing import Annotated

import typer

from scene_geo_loc.cli.options.common import JsonFile


def index(
    *,
    keyframes: Annotated[
        str, typer.Option(help="Numbers of keyframes, separated by commas.")
    ] = "1000,10000,100000",
    size: Annotated[int, typer.Option(min=1, help="Length of a descriptor.")] = 512,
    json: JsonFile = None,
) -> None:
    """Measure the index of a map in a LanceDB database on this disk beside that of faiss.

    The descriptors are drawn: neighbours along a drive are similar. Each index is opened in a new process.
    """
    from dataclasses import asdict

    from scene_geo_loc.benchmarks.fleet.index_costs import measure_indices
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.cli.results.fleet import print_indices
    from scene_geo_loc.core.atomic import write_json
    from scene_geo_loc.core.errors import SceneGeoLocError

    words = keyframes.split(",")
    if not all(word.isdigit() and int(word) for word in words):
        raise SceneGeoLocError(f"--keyframes: {keyframes!r} are no numbers such as 1000,10000.")
    costs = measure_indices([int(word) for word in words], size, progress)
    print_indices(costs)
    if json is not None:
        write_json(json, [asdict(cost) for cost in costs])
