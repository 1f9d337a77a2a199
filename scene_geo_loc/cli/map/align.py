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
    _check_target(target, out, move_target, is_surveyed=move_surveyed)
    if not target.is_dir():
        _align_to_grid(source.path, target, out, height, json_file)
    elif (source.path / "map.json").is_file():
        _align_to_map(source.path, target, out, move_target, json_file)
    else:
        _align_drive(source, settings, target, out, move_target, json_file)


def _check_target(target: Path, out: Path | None, move_target: Path | None, *, is_surveyed: bool) -> None:
    """Raises MapError where the target may not move."""
    from scene_geo_loc.core.errors import MapError
    from scene_geo_loc.mapping.alignment.joint_adjustment import check_movable
    from scene_geo_loc.mapping.reference_map import ReferenceMap

    if move_target is None:
        return
    if not target.is_dir():
        raise MapError(f"{target} is an occupancy grid, which does not move: leave out --move-target.")
    if out is None:
        raise MapError("Both maps move with --move-target: name the folder of the other one by --out.")
    for folder in (move_target, out):
        if folder.exists():
            raise MapError(f"{folder} exists already: name another folder.")
    check_movable(ReferenceMap.open(target), is_surveyed=is_surveyed)


def _align_drive(
    source: Source,
    settings: BuilderSettings,
    target: Path,
    out: Path | None,
    move_target: Path | None,
    json_file: Path | None,
) -> None:
    """Builds a map of a drive, like the target, and aligns it."""
    import shutil

    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.core.errors import MapError
    from scene_geo_loc.localization.uncertainty.self_measurement import measure_map
    from scene_geo_loc.mapping.builder import MapBuilder
    from scene_geo_loc.mapping.reference_map import ReferenceMap
    from scene_geo_loc.traversals.sources import sources_of

    if out is None:
        raise MapError(f"{source.path} is a drive, of which a map is built: name its folder by --out.")
    if out.exists():
        raise MapError(f"{out} exists already: name another folder.")
    own = out.with_name(f"{out.name}.drive")
    if not own.exists():  # else an earlier alignment was interrupted
        traversal = source.open_cameras()
        builder = MapBuilder(
            own,
            settings,
            map_frame=traversal.map_frame,
            source=traversal.name,
            sources=sources_of(traversal),
            like=ReferenceMap.open(target),
            measure=measure_map,
        )
        with progress("building", "frames") as on_progress:
            builder.add_traversal(traversal, on_progress)
        with progress("finishing", "steps") as on_progress:
            builder.finish(on_progress)
    _align_to_map(own, target, out, move_target, json_file)
    shutil.rmtree(own)


def _align_to_map(
    map_folder: Path, target: Path, out: Path | None, move_target: Path | None, json_file: Path | None
) -> None:
    import numpy as np

    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.core.atomic import write_json
    from scene_geo_loc.core.errors import MapError
    from scene_geo_loc.localization.keyframe_queries.other_map import localize_other_map, sightings_of
    from scene_geo_loc.localization.localizer import Localizer
    from scene_geo_loc.mapping.alignment.joint_adjustment import adjust_together
    from scene_geo_loc.mapping.alignment.moved_map import write_map_with_poses
    from scene_geo_loc.mapping.alignment.pose_graph import align_poses
    from scene_geo_loc.mapping.reference_map import ReferenceMap

    reference_map, into = ReferenceMap.open(map_folder), ReferenceMap.open(target)
    without = sum(not np.isfinite(depth).any() for depth in reference_map.depth)
    if without > len(reference_map) / 2 and not reference_map.info.has_rays:
        raise MapError(
            f"{without} of {len(reference_map)} keyframes of {map_folder} have no depth, and no features to "
            "localize them by: build it with --depth auto, which estimates depth from the images."
        )
    with progress(f"localizing {map_folder} in {target}", "keyframes") as on_progress:
        found = localize_other_map(
            Localizer(into, device="cpu"), reference_map, range(len(reference_map)), on_progress
        )
    sightings = sightings_of(found, into)
    joint = None
    if move_target is None:
        fixed = {i: (seen.T_map_camera, seen.covariance) for i, seen in sightings.items()}
        aligned = align_poses(reference_map.T_map_camera, fixed)
        T_map_camera = aligned.T_map_camera
    else:
        joint = adjust_together(reference_map.T_map_camera, np.asarray(into.T_map_camera), sightings)
        aligned, T_map_camera = joint.aligned, joint.T_drive_cameras
    typer.echo(f"{len(found)} of {len(reference_map)} keyframes are found in {target};\n{aligned}.")
    if joint is not None:
        typer.echo(f"{str(joint).capitalize()}.")
    if json_file is not None:
        write_json(
            json_file,
            {
                "keyframes": len(reference_map),
                "localized": len(aligned.measured),
                "outliers": int(aligned.is_outlier.sum()),
                "residual_m": aligned.residual_m,
                "residual_deg": aligned.residual_deg,
                "drift_m": aligned.drift_m,
                "std_m": aligned.std_m,
            }
            | ({} if joint is None else {"target_moved_m": joint.moved_m, "joint_std_m": joint.std_m}),
        )
    if joint is not None and move_target is not None:
        write_map_with_poses(into, move_target, joint.T_map_cameras, {})
        typer.echo(f"{move_target}: {target} with adjusted poses")
    if out is not None:
        changes = {"map_frame": into.map_frame, "georeference": into.georeference}
        write_map_with_poses(reference_map, out, T_map_camera, changes)
        typer.echo(f"{out}: the map in the frame of {target}")


def _align_to_grid(
    map_folder: Path,
    grid: Path,
    out: Path | None,
    height: tuple[float, float] | None,
    json_file: Path | None,
) -> None:
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
