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

"""`scene-geo-loc map align`: brings a reference map into the frame of another, or of an occupancy grid."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scene_geo_loc.cli.options.common import JsonFile
from scene_geo_loc.cli.options.settings import takes_settings
from scene_geo_loc.cli.options.source import Source, takes_source
from scene_geo_loc.mapping.settings import BuilderSettings


@takes_source
@takes_settings()
def align(
    source: Source,
    target: Annotated[
        Path,
        typer.Argument(
            metavar="TARGET",
            help="Map to bring SOURCE into the frame of, or the YAML file of an occupancy grid, as nav2's "
            "map_server's.",
        ),
    ],
    *,
    settings: BuilderSettings,
    out: Annotated[
        Path | None, typer.Option(help="Write a map of SOURCE in the frame of TARGET to it.")
    ] = None,
    move_target: Annotated[
        Path | None,
        typer.Option(
            help="Map: let TARGET move as well, and write it to this folder: two drives by odometry that "
            "close a loop are adjusted together. TARGET is of one drive, and not surveyed: without a place "
            "on the Earth of its own, geo-tags, or depth from a cloud."
        ),
    ] = None,
    move_surveyed: Annotated[
        bool, typer.Option(help="With --move-target: let TARGET move although it may be surveyed.")
    ] = False,
    height: Annotated[
        tuple[float, float] | None,
        typer.Option(
            help="Grid: lowest and highest z of the points to take, metres. Default: what stands upright."
        ),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Find where a map or a drive lies in another map, or in an occupancy grid of the same place.

    SOURCE is a map, built with `map build --like TARGET`, or a drive (a bag or a dataset), which is built so
    first: its poses may be of odometry or GPS (--poses), in any frame. Keyframes are localized in TARGET by
    the features that are stored of them; a pose graph of the localized poses and of the steps from one
    keyframe to the next corrects the drift.

    Nothing is written, and the exit code is 1, where too little agrees: the map shows another place, does not
    fit the grid, or fits it in two places.

    Examples:
        scene-geo-loc map align office_map office.yaml --out office_map_in_grid

        scene-geo-loc map align second_robot.bag first_robot_map --poses /odom --out second_in_first

        scene-geo-loc map align second_half first_half --out second_aligned --move-target first_aligned
    """
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.core.atomic import write_json
    from scene_geo_loc.core.errors import MapError
    from scene_geo_loc.localization.map_editing.alignment import AlignedMap, align_map
    from scene_geo_loc.mapping.map_info import MAP_JSON
    from scene_geo_loc.mapping.reference_map import ReferenceMap

    if not target.is_dir():
        if move_target is not None:
            raise MapError(f"{target} is an occupancy grid, which does not move: leave out --move-target.")
        _align_to_grid(source.path, target, out, height, json_file)
        return
    into = ReferenceMap.open(target)

    def on_aligned(aligned: AlignedMap) -> None:
        typer.echo(f"{aligned}.")
        if json_file is not None:
            write_json(json_file, aligned.values)

    align_map(
        ReferenceMap.open(source.path) if (source.path / MAP_JSON).is_file() else source.open_cameras(),
        into,
        out,
        settings=settings,
        move_target=move_target,
        move_surveyed=move_surveyed,
        display=progress,
        on_aligned=on_aligned,
    )
    if move_target is not None:
        typer.echo(f"{move_target}: {target} with adjusted poses")
    if out is not None:
        typer.echo(f"{out}: the map in the frame of {target}")


def _align_to_grid(
    map_folder: Path,
    grid: Path,
    out: Path | None,
    height: tuple[float, float] | None,
    json_file: Path | None,
) -> None:
    from dataclasses import asdict

    from scene_geo_loc.core.atomic import write_json
    from scene_geo_loc.localization.map_editing.alignment import locate_in_grid
    from scene_geo_loc.mapping.alignment.moved_map import write_moved_map
    from scene_geo_loc.mapping.reference_map import ReferenceMap

    reference_map = ReferenceMap.open(map_folder)
    found = locate_in_grid(reference_map, grid, height)
    typer.echo(f"{found}.")
    if json_file is not None:
        write_json(json_file, asdict(found) | {"doubts": found.doubts})
    found.check()
    if out is not None:
        write_moved_map(reference_map, out, found.T_grid_map)
        typer.echo(f"{out}: the map in the grid's frame")
