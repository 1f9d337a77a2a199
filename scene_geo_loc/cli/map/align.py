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

"""`scene-geo-loc map align`: finds a reference map in an occupancy grid."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scene_geo_loc.cli.options.common import JsonFile, MapFolder


def align(
    map_folder: MapFolder,
    grid: Annotated[
        Path, typer.Argument(metavar="GRID", help="YAML file of the occupancy grid, as nav2's map_server's.")
    ],
    *,
    out: Annotated[
        Path | None, typer.Option(help="Write the map in the grid's frame to this folder.")
    ] = None,
    height: Annotated[
        tuple[float, float] | None,
        typer.Option(
            help="Lowest and highest z of the points to take, metres. Default: what stands upright."
        ),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Find where a map lies in an occupancy grid of the same place, for navigation in both.

    Nothing is written, and the exit code is 1, where the map does not fit the grid, or fits it in two places.

    Example:  scene-geo-loc map align office_map office.yaml --out office_map_in_grid
    """
    import math
    from dataclasses import asdict

    import numpy as np

    from scene_geo_loc.core.atomic import write_json
    from scene_geo_loc.core.errors import MapError
    from scene_geo_loc.localization.localizer import Localizer
    from scene_geo_loc.mapping.alignment.moved_map import write_moved_map
    from scene_geo_loc.mapping.alignment.occupancy_grid import read_occupancy_grid
    from scene_geo_loc.mapping.alignment.scan_matching import align as align_walls
    from scene_geo_loc.mapping.alignment.scan_matching import wall_points
    from scene_geo_loc.mapping.reference_map import ReferenceMap

    cells = read_occupancy_grid(grid)
    reference_map = ReferenceMap.open(map_folder)
    localizer = Localizer(reference_map)
    points = np.concatenate([localizer.points_of(k) for k in range(len(reference_map))])
    found = align_walls(wall_points(points, height), reference_map.T_map_camera[:, :2, 3], cells)
    if found is None:
        raise MapError(f"{map_folder} has no points of walls: give --height, or build it with depth.")
    typer.echo(
        f"It lies at x {found.x:.3f} y {found.y:.3f} m, yaw {math.degrees(found.yaw):.2f}° in the grid;\n"
        f"{found.overlap:.0%} of {found.points} wall points are on occupied cells, {found.residual_m:.3f} m "
        f"off (median);\n{found.free:.0%} of the keyframes are on free cells; the best other place fits "
        f"{found.rival:.0%} as well."
    )
    if json_file is not None:
        write_json(json_file, asdict(found) | {"doubts": found.doubts})
    if found.doubts:
        raise MapError(f"This is too uncertain: {'; '.join(found.doubts)}.")
    if out is not None:
        write_moved_map(reference_map, out, found.T_grid_map)
        typer.echo(f"{out}: the map in the grid's frame")
