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

"""Brings a map or a drive into the frame of another map, or of an occupancy grid."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.core.progress import ProgressDisplay, no_display
from scene_geo_loc.localization.keyframe_queries.other_map import localize_other_map, sightings_of
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.map_editing.drive_map import build_drive_map
from scene_geo_loc.localization.uncertainty.self_measurement import measure_map
from scene_geo_loc.mapping.alignment.joint_adjustment import JointPoses, adjust_together, check_movable
from scene_geo_loc.mapping.alignment.moved_map import write_map_with_poses
from scene_geo_loc.mapping.alignment.occupancy_grid import read_occupancy_grid
from scene_geo_loc.mapping.alignment.pose_graph import AlignedPoses, align_poses
from scene_geo_loc.mapping.alignment.scan_matching import Alignment, align, wall_points
from scene_geo_loc.mapping.map_info import MAP_JSON
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.mapping.settings import BuilderSettings
from scene_geo_loc.traversals.frame import Traversal
from scene_geo_loc.traversals.sources import sources_of


@dataclass(frozen=True)
class AlignedMap:
    """A map or a drive in the frame of another map.

    Attributes:
        target: folder of the other map.
        keyframes: number of keyframes of the map.
        found: number of those that are localized in the target.
        aligned: its poses, in the target as it is.
        joint: its poses and those of the target, adjusted together; None: the target stays.
    """

    target: Path
    keyframes: int
    found: int
    aligned: AlignedPoses
    joint: JointPoses | None

    def __str__(self) -> str:
        text = f"{self.found} of {self.keyframes} keyframes are found in {self.target};\n{self.aligned}"
        return text if self.joint is None else f"{text}.\n{str(self.joint).capitalize()}"

    @property
    def values(self) -> dict[str, float]:
        """Counts, residuals, drift and standard deviations, to be written as JSON."""
        aligned, joint = self.aligned, self.joint
        values = {
            "keyframes": self.keyframes,
            "localized": len(aligned.measured),
            "outliers": int(aligned.is_outlier.sum()),
            "residual_m": aligned.residual_m,
            "residual_deg": aligned.residual_deg,
            "drift_m": aligned.drift_m,
            "std_m": aligned.std_m,
        }
        return values | (
            {} if joint is None else {"target_moved_m": joint.moved_m, "joint_std_m": joint.std_m}
        )


def align_map(
    source: Traversal | ReferenceMap,
    target: ReferenceMap,
    out: Path | str | None = None,
    *,
    settings: BuilderSettings | None = None,
    move_target: Path | str | None = None,
    move_surveyed: bool = False,
    display: ProgressDisplay = no_display,
    on_aligned: Callable[[AlignedMap], None] = lambda aligned: None,
) -> AlignedMap:
    """Finds where a map or a drive lies in another map, and writes a map of it in that frame.

    Keyframes are localized in the target by their stored features; a pose graph of the localized poses and of
    the steps from one keyframe to the next corrects the drift.

    Args:
        source: a map built like the target, in any frame, or a drive, of which one is built first.
        target: the other map.
        out: folder of the map in the frame of the target; None: nothing is written, of a map.
        settings: of the map of a drive.
        move_target: folder of the target with poses that are adjusted too; None: the target stays.
        move_surveyed: whether the target may move although it may be surveyed.
        display: shows the progress of each step.
        on_aligned: receives the result before maps are written.

    Raises MapError where too little agrees, so that the source shows another place, where the two maps have
    other networks, where keyframes have no depth, where the target may not move, where a folder exists
    already or cannot be written, or where an interrupted alignment left the map of another drive.
    """
    out, move_target = None if out is None else Path(out), None if move_target is None else Path(move_target)
    if move_target is not None:
        if out is None:
            raise MapError("Both maps move with --move-target: name the folder of the other one by --out.")
        for folder in (move_target, out):
            _check_new(folder)
        check_movable(target, is_surveyed=move_surveyed)
    if isinstance(source, ReferenceMap):
        return _align(source, target, out, move_target, display, on_aligned)
    if out is None:
        raise MapError(f"{source.name} is a drive, of which a map is built: name its folder by --out.")
    _check_new(out)
    own = out.with_name(f"{out.name}.drive")
    settings = settings or BuilderSettings()
    if own.exists():
        _check_same_drive(own, source, settings)
    else:
        build_drive_map(source, target, own, settings, source.map_frame, display, measure_map)
    try:
        aligned = _align(ReferenceMap.open(own), target, out, move_target, display, on_aligned)
    except MapError:
        shutil.rmtree(own)  # other settings or another drive would help
        raise
    shutil.rmtree(own)
    return aligned


def _check_same_drive(own: Path, traversal: Traversal, settings: BuilderSettings) -> None:
    """Raises MapError unless a folder is the map of a drive that an interrupted alignment left."""
    wanted = (traversal.name, list(sources_of(traversal)), settings.record())
    if (own / MAP_JSON).is_file():
        info = ReferenceMap.open(own).info
        if (info.source, info.sources, info.settings) == wanted:
            return
    raise MapError(
        f"{own} is in the way: it is not what an interrupted alignment of {traversal.name} with these "
        "settings leaves; remove it, or name another --out."
    )


def _check_new(folder: Path) -> None:
    if folder.exists():
        raise MapError(f"{folder} exists already: name another folder.")


def _align(
    reference_map: ReferenceMap,
    target: ReferenceMap,
    out: Path | None,
    move_target: Path | None,
    display: ProgressDisplay,
    on_aligned: Callable[[AlignedMap], None],
) -> AlignedMap:
    """Localizes the keyframes of a map in another, adjusts the poses, and writes what is asked for."""
    without = sum(not np.isfinite(depth).any() for depth in reference_map.depth)
    if without > len(reference_map) / 2 and not reference_map.info.has_rays:
        raise MapError(
            f"{without} of {len(reference_map)} keyframes of {reference_map.path} have no depth, and no "
            "features to localize them by: build it with --depth auto, which estimates depth from the images."
        )
    with display(f"localizing {reference_map.path} in {target.path}", "keyframes") as on_progress:
        found = localize_other_map(
            Localizer(target, device="cpu"), reference_map, range(len(reference_map)), on_progress
        )
    sightings = sightings_of(found, target)
    joint = None
    if move_target is None:
        fixed = {i: (seen.T_map_camera, seen.covariance) for i, seen in sightings.items()}
        poses = align_poses(reference_map.T_map_camera, fixed)
        T_map_camera = poses.T_map_camera
    else:
        joint = adjust_together(reference_map.T_map_camera, np.asarray(target.T_map_camera), sightings)
        poses, T_map_camera = joint.aligned, joint.T_drive_cameras
    aligned = AlignedMap(target.path, len(reference_map), len(found), poses, joint)
    on_aligned(aligned)
    if joint is not None and move_target is not None:
        write_map_with_poses(target, move_target, joint.T_map_cameras, {})
    if out is not None:
        changes = {"map_frame": target.map_frame, "georeference": target.georeference}
        write_map_with_poses(reference_map, out, T_map_camera, changes)
    return aligned


def locate_in_grid(
    reference_map: ReferenceMap, grid: Path | str, height: tuple[float, float] | None = None
) -> Alignment:
    """Returns where a map lies in an occupancy grid; `Alignment.check` says whether that is certain.

    `write_moved_map` writes the map in the frame of the grid, by `Alignment.T_grid_map`.

    Args:
        reference_map: the map, with depth.
        grid: YAML file of the grid, as nav2's map_server's.
        height: lowest and highest z of the points to take, metres; None: what stands upright.

    Raises MapError where the map has no points of walls, and GridError where the file is no grid.
    """
    cells, localizer = read_occupancy_grid(Path(grid)), Localizer(reference_map)
    points = np.concatenate([localizer.points_of(k) for k in range(len(reference_map))])
    found = align(wall_points(points, height), reference_map.T_map_camera[:, :2, 3], cells)
    if found is None:
        raise MapError(f"{reference_map.path} has no points of walls: give --height, or build it with depth.")
    return found
