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

"""Adds a later drive to a map: those keyframes that the map does not localize itself."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.core.folder_lock import changing
from scene_geo_loc.core.progress import ProgressDisplay, no_display
from scene_geo_loc.localization.keyframe_queries.map_extension import SAME_FRAME_M, needed_keyframes
from scene_geo_loc.localization.keyframe_queries.other_map import localize_other_map
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.map_editing.drive_map import build_drive_map
from scene_geo_loc.localization.map_growth.building import build_waiting
from scene_geo_loc.localization.map_growth.drive import (
    DriveFrame,
    frame_of_drive,
    instants_of,
    localize_drive,
)
from scene_geo_loc.localization.map_growth.growth import MapGrowth
from scene_geo_loc.localization.map_growth.settings import GrowthSettings, PosesBy
from scene_geo_loc.localization.session import Session
from scene_geo_loc.localization.uncertainty.self_measurement import measure_map
from scene_geo_loc.mapping.editing.combination import MapPart, write_combination
from scene_geo_loc.mapping.editing.compatibility import check_combinable, check_extendable, settings_like
from scene_geo_loc.mapping.map_info import check_output
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.traversals.frame import Traversal


@dataclass(frozen=True)
class ExtendedMap:
    """A map with what it needed of a later drive.

    Attributes:
        map: the larger map; None: nothing is added, and nothing is written.
        added: number of keyframes added.
        asked: keyframes of the drive, or its images (of a rig, instants) where these were localized.
        found: number of those that the map localizes itself.
        is_localized: whether the new poses are by localizing, and not the drive's own.
    """

    map: ReferenceMap | None
    added: int
    asked: int
    found: int
    is_localized: bool

    def __str__(self) -> str:
        if self.map is None:
            return "Nothing is added" + ("" if self.is_localized else ": the map localizes all of the drive")
        if self.is_localized:
            return f"{self.map.path}: {self.added} keyframes added, {len(self.map)} in all"
        return f"{self.map.path}: {len(self.map)} keyframes, {self.added} of them new"


def extend_map(
    reference_map: Path | str,
    drive: Traversal | ReferenceMap,
    out: Path | str,
    *,
    poses_by: PosesBy = PosesBy.AUTO,
    growth: GrowthSettings | None = None,
    overwrite: bool = False,
    display: ProgressDisplay = no_display,
    say: Callable[[str], None] = lambda sentence: None,
) -> ExtendedMap:
    """Adds those keyframes of a later drive to a map that the map does not localize itself.

    Args:
        reference_map: folder of the map; it is opened here, once `out` is locked.
        drive: a recording, or a map of the drive in the frame of the map, built like it.
        out: folder of the larger map; it may be that of the map.
        poses_by: where the poses of new keyframes are from, of a recording.
        growth: settings of images whose poses are found by localizing; default: those of `GrowthSettings`.
        overwrite: whether a map at `out` is replaced.
        display: shows the progress of each step.
        say: receives a sentence on what is found, before the next step begins.

    Returns what was added.

    Raises MapError where the drive is in another frame or of another place, where `growth` is given and has
    no effect, where keyframes of the drive cannot stand in the map, where `out` exists and may not be
    replaced, where another process changes it, or where it cannot be written.
    """
    out, settings = Path(out), growth or GrowthSettings()
    with changing(out, "map extend", MapError):
        check_output(out, overwrite)
        opened = ReferenceMap.open(reference_map)
        extension = _Extension(opened, out, overwrite, display, say)
        if isinstance(drive, ReferenceMap):
            _check_unused(settings, drive.path)
            return extension.by_map(drive)
        return extension.by_drive(drive, poses_by, settings)


def _check_unused(growth: GrowthSettings, source: Path | str) -> None:
    """Raises MapError where settings are given that have no effect."""
    if growth != GrowthSettings():
        raise MapError(
            f"{source} has its own poses in the map's frame, so the settings of localizing have no effect: "
            "leave them out, or give --poses-by map."
        )


@dataclass(frozen=True)
class _Extension:
    """A map to extend, and where it is written."""

    map: ReferenceMap
    out: Path
    overwrite: bool
    display: ProgressDisplay
    say: Callable[[str], None]

    def by_map(self, later: ReferenceMap) -> ExtendedMap:
        """Adds keyframes of a map of the drive, in the frame of the map."""
        check_combinable([self.map, later])
        with self.display(f"localizing the drive in {self.map.path}", "keyframes") as on_progress:
            found = localize_other_map(
                Localizer(self.map, device="cpu"), later, range(len(later)), on_progress
            )
        extension = needed_keyframes(later, found)
        offset = "" if extension.offset_m is None else f", {extension.offset_m:.3f} m off (median)"
        self.say(
            f"{extension.found} of {len(later)} keyframes of {later.info.source} are found in "
            f"{self.map.path}{offset}."
        )
        written, added = None, len(extension.needed)
        if added:
            parts = [MapPart.whole(self.map), MapPart(later, extension.needed)]
            with self.display("writing", "rows") as on_progress:
                written = write_combination(
                    parts, self.out, overwrite=self.overwrite, measure=measure_map, on_progress=on_progress
                )
        return ExtendedMap(written, added, len(later), extension.found, is_localized=False)

    def by_drive(self, traversal: Traversal, poses_by: PosesBy, growth: GrowthSettings) -> ExtendedMap:
        """Adds keyframes of a recording, with its own poses or those that the map gives its images."""
        check_extendable(self.map)
        localizer = Localizer(self.map, device="cpu")
        with self.display("comparing frames", "images") as on_progress:
            frame = frame_of_drive(localizer, traversal, on_progress)
        keeps_poses = _keeps_poses(frame, traversal.name, poses_by)
        used = "the drive's own" if keeps_poses else "by localizing, with odometry between fixes"
        self.say(f"{frame}. Poses of new keyframes: {used}.")
        folder = self.out.with_name(f".{self.out.name}.extending")
        try:
            if keeps_poses:
                _check_unused(growth, traversal.name)
                return self.by_map(self._map_of(traversal, folder / "drive"))
            return self._by_localizing(localizer, traversal, growth, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _map_of(self, traversal: Traversal, folder: Path) -> ReferenceMap:
        """Builds a map of a recording that can be merged with the map."""
        # Complete, of a process that was killed before it could merge it: perhaps of another drive.
        shutil.rmtree(folder, ignore_errors=True)
        settings = settings_like(self.map)
        self.say(f"Settings of the map, with depth: {settings.depth}.")
        return build_drive_map(traversal, self.map, folder, settings, self.map.map_frame, self.display)

    def _by_localizing(
        self, localizer: Localizer, traversal: Traversal, settings: GrowthSettings, folder: Path
    ) -> ExtendedMap:
        """Adds images that the map does not localize, with poses between those that it does."""
        shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed, perhaps with another drive
        growth = MapGrowth(self.map, settings, source=traversal.name, folder=folder)
        with self.display("localizing", "images") as on_progress:
            localized = localize_drive(Session(localizer), growth, traversal, on_progress)
        growth.settle()
        images = growth.placed
        growth.interrupt()
        asked = instants_of(traversal)
        self.say(f"{localized} of {asked} images are localized.")
        for reason, count in growth.counts.dropped.items():
            if count:
                self.say(f"{count} images are dropped: {reason.value}.")
        if not images:
            return ExtendedMap(None, 0, asked, localized, is_localized=True)
        with self.display("adding", "images") as on_progress:
            grown = build_waiting(
                self.map.path,
                images,
                folder,
                traversal.name,
                out=self.out,
                overwrite=self.overwrite,
                on_progress=on_progress,
            )
        written = ReferenceMap.open(self.out)
        return ExtendedMap(written, grown.added, asked, localized, is_localized=True)


def _keeps_poses(frame: DriveFrame, name: str, poses_by: PosesBy) -> bool:
    """Returns whether the poses of a drive are taken as they are. Raises MapError where that is unclear."""
    if poses_by is PosesBy.DRIVE and frame.offset_m is not None and not frame.is_maps:
        raise MapError(
            f"The poses of {name} are {frame.offset_m:.2f} m > {SAME_FRAME_M:g} m off the map "
            f"(median of {frame.found} images): they are in another frame; give --poses-by map."
        )
    if poses_by is PosesBy.AUTO and frame.offset_m is None and frame.with_poses:
        raise MapError(
            f"{name}: {frame}: if they are in the map's frame give --poses-by drive; else the "
            "drive shows another place, or too little of this one."
        )
    return poses_by is PosesBy.DRIVE or (poses_by is PosesBy.AUTO and frame.is_maps)
