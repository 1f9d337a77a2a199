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

"""Describes the keyframes of a map anew, by the network of another map, from the images of their drives.

A map stores a small picture of each keyframe, too small for features, so the images are read again from the
drives that its provenance names.  Stamps and poses of the keyframes stay.  Their depth is measured again
where the drive has depth images, or a lidar in the frame of these poses, and else triangulated.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from scene_geo_loc.core.errors import MapError, TraversalError
from scene_geo_loc.core.progress import ProgressCallback, ignore_progress
from scene_geo_loc.geometry.pose import Pose, inverse, position_error_m, rotation_error_deg
from scene_geo_loc.mapping.builder import MapBuilder, remove_partial
from scene_geo_loc.mapping.editing.compatibility import (
    check_extendable,
    check_same_features,
    check_same_frame,
    settings_like,
)
from scene_geo_loc.mapping.map_info import DriveRecord
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.traversals.frame import Frame, PassOver, PassOverScan, Scan, Traversal, read_all
from scene_geo_loc.traversals.opening import open_traversal
from scene_geo_loc.traversals.rig import one_or_rig
from scene_geo_loc.traversals.skipped import Skipped
from scene_geo_loc.traversals.sources import Role, SensorSource, sources_of

SAME_POSE_M, SAME_POSE_DEG = 0.05, 0.5
"""A drive's lidar is used where its poses differ by no more from those of the keyframes."""


@dataclass(frozen=True)
class DescribedDrive:
    """Keyframes of a drive that are described anew.

    Attributes:
        map: a map of them.
        source: name of the drive.
        asked: number of its keyframes; images that show nothing to the network are left out.
        offset_m: largest distance between poses of the drive and of the keyframes; None where the drive has
            none.
        has_lidar: whether their depth is measured by the drive's lidar.
    """

    map: ReferenceMap
    source: str
    asked: int
    offset_m: float | None
    has_lidar: bool

    def __str__(self) -> str:
        depth = ", depth by its lidar" if self.has_lidar else ""
        return f"{len(self.map)} of {self.asked} keyframes of {self.source} are described anew{depth}"


def is_described_alike(first: ReferenceMap, other: ReferenceMap) -> bool:
    """Returns whether keyframes of two maps can be compared as they are."""
    try:
        check_same_features(first, other)
    except MapError:
        return False
    return True


def describe_anew(
    reference_map: ReferenceMap,
    like: ReferenceMap,
    folder: Path,
    drives: Path | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> Iterator[DescribedDrive]:
    """Yields maps of the keyframes of each drive of a map, which can be combined with another map.

    Args:
        reference_map: the map.
        like: map whose network, matcher and fitted parts describe the keyframes.
        folder: where the maps are written, which is removed by the caller.
        drives: folder of drives that are no longer where they were; they are found by their names.
        on_progress: receives the keyframes described and their number.

    Raises MapError where the maps have other frames, where keyframes of `like` can only be made from files of
    the user, where a drive is missing, or where it lacks images of the keyframes.
    """
    check_extendable(like)
    check_same_frame(like, reference_map)
    records = reference_map.info.all_drives
    paths = _paths_of(reference_map, drives)
    first = done = 0
    for number, (record, path) in enumerate(zip(records, paths, strict=True), start=1):
        rows = range(first, first + record.keyframes)
        first += record.keyframes
        counted = _Counted(on_progress, done, len(reference_map))
        yield _describe(reference_map, rows, record, path, like, folder / f"{number}", counted)
        done += record.keyframes


@dataclass(frozen=True)
class _Counted:
    """Passes on the progress of a part of the keyframes."""

    on_progress: ProgressCallback
    before: int
    total: int

    def __call__(self, done: int, total: int) -> None:
        self.on_progress(self.before + done, self.total)


def _paths_of(reference_map: ReferenceMap, drives: Path | None) -> list[Path]:
    """Returns where the drives of a map are. Raises MapError, which names those that are missing."""
    paths, missing = [], []
    for record in reference_map.info.all_drives:
        named = Path(record.source)
        places = [named, *([] if drives is None else [drives / named.name])]
        found = next((path for path in places if record.source and path.exists()), None)
        if found is None:
            missing.append(f"{record.source or 'a drive without a name'} ({record.keyframes} keyframes)")
        else:
            paths.append(found)
    if missing:
        raise MapError(
            f"{reference_map.path} is described anew from the images of its drives, and these are missing: "
            f"{', '.join(missing)}; name the folder where they are, or split the map and leave them out."
        )
    return paths


def _describe(
    reference_map: ReferenceMap,
    rows: range,
    record: DriveRecord,
    path: Path,
    like: ReferenceMap,
    out: Path,
    on_progress: ProgressCallback,
) -> DescribedDrive:
    traversal = _opened(path, reference_map.info.sources)
    keyframes = _Keyframes(traversal, reference_map, rows)
    keyframes.check(keyframes.stamps_found)
    # Each of them is a keyframe already.
    settings = settings_like(like).model_copy(update={"keyframe_distance_m": 0.0})
    remove_partial(out)
    shutil.rmtree(out, ignore_errors=True)
    builder = MapBuilder(
        out,
        settings,
        map_frame=like.map_frame,
        source=record.source,
        sources=sources_of(traversal),
        georeference=reference_map.georeference,
        like=like,
        device="cpu",
    )
    try:
        builder.add_traversal(keyframes, on_progress)
        keyframes.check(keyframes.found)
        described = ReferenceMap.open(builder.finish())
    finally:
        builder.abandon()
    return DescribedDrive(described, record.source, len(rows), keyframes.offset_m, keyframes.has_lidar)


def _opened(path: Path, sources: Sequence[SensorSource]) -> Traversal:
    """Opens a drive as it was opened for the map, as far as the provenance says."""
    images = [source.name for source in sources if source.role == Role.IMAGES.value and source.name]
    poses = [source.name for source in sources if source.role == Role.POSES.value and source.name]
    named = poses[0] if len(poses) == 1 and poses[0].startswith("/") else None
    cameras = []
    for camera in images:  # of a merged map: not all are of this drive
        try:
            cameras.append(_opened_camera(path, camera, named))
        except TraversalError:
            continue
    return one_or_rig(cameras) if cameras else _opened_camera(path, None, None)


def _opened_camera(path: Path, camera: str | None, poses: str | None) -> Traversal:
    """Opens the images of a camera; poses that are unclear are not needed. Raises TraversalError."""
    try:
        return open_traversal(path, camera=camera, poses=poses)
    except TraversalError:
        try:
            return open_traversal(path, camera=camera, poses="none")
        except TraversalError:
            pass
        raise


class _Keyframes:
    """The images of keyframes in a drive, with the poses of the keyframes; a `Traversal`.

    Attributes:
        stamps_found: keyframes with an image at their time.
        found: keyframes whose images were yielded so far.
        offset_m: see `DescribedDrive`.
        has_lidar: whether the scans of the drive are in the frame of the keyframes.
    """

    def __init__(self, traversal: Traversal, reference_map: ReferenceMap, rows: range) -> None:
        self.name, self.map_frame = traversal.name, reference_map.map_frame
        self._traversal, self._map = traversal, reference_map
        self._rows: dict[int, list[int]] = {}
        for row in rows:
            self._rows.setdefault(int(reference_map.stamps_ns[row]), []).append(row)
        self.stamps_found = self.found = 0
        self.offset_m: float | None = None
        self.has_lidar = self._is_same_frame() and next(iter(traversal.scans()), None) is not None

    def _is_same_frame(self) -> bool:
        """Returns whether the drive's own poses are those of the keyframes, without reading its images."""
        off = []

        seen = set()

        def compare(stamp_ns: int, T_map_camera: Pose | None) -> bool:
            rows = self._rows.get(stamp_ns, [])
            seen.update(rows)
            if T_map_camera is not None:
                for row in rows[:1]:
                    T_keyframe = self._map.T_map_camera[row]
                    error_m = float(position_error_m(T_map_camera, T_keyframe))
                    off.append((error_m, float(rotation_error_deg(T_map_camera, T_keyframe))))
            return True

        for _ in self._traversal.frames(compare):
            pass
        self.stamps_found = len(seen)
        if not off:
            return False
        offset_m, offset_deg = np.max(off, axis=0)
        self.offset_m = float(offset_m)
        return bool(offset_m <= SAME_POSE_M and offset_deg <= SAME_POSE_DEG)

    def check(self, found: int) -> None:
        """Raises MapError where fewer images than keyframes are found."""
        if found < len(self):
            raise MapError(
                f"{self.name} has images of {found} of {len(self)} keyframes of {self._map.path}, by stamp "
                "and camera: build a map of it, with its options, like the first map, and merge that."
            )

    @property
    def skipped(self) -> Skipped:
        return self._traversal.skipped

    def __len__(self) -> int:
        return sum(map(len, self._rows.values()))

    def frames(self, pass_over: PassOver = read_all) -> Iterator[Frame]:
        def is_unknown(stamp_ns: int, T_map_camera: Pose | None) -> bool:
            return stamp_ns not in self._rows

        for stamp_ns, group in groupby(self._traversal.frames(is_unknown), key=lambda frame: frame.stamp_ns):
            yield from self._keyframes_at(stamp_ns, list(group))

    def _keyframes_at(self, stamp_ns: int, frames: list[Frame]) -> Iterator[Frame]:
        """Yields those images of an instant that are keyframes, with their poses."""
        for row in self._rows[stamp_ns]:
            name, camera = self._map.name_of(row), self._map.camera_of(row)
            alike = [frame for frame in frames if replace(frame.camera, readout_s=0.0) == camera]
            chosen = [frame for frame in alike if frame.name == name] or alike
            if len(chosen) == 1:
                self.found += 1
                yield _posed(chosen[0], self._map.T_map_camera[row], name)

    def scans(self, pass_over: PassOverScan = read_all) -> Iterator[Scan]:
        return self._traversal.scans(pass_over) if self.has_lidar else iter(())


def _posed(frame: Frame, T_map_camera: Pose, name: str) -> Frame:
    """Returns an image with the pose of its keyframe, that of the middle row of a rolling shutter."""
    if frame.readout_motion is not None:
        T_image_middle, _ = frame.readout_motion.at_middle_row()
        T_map_camera = T_map_camera @ inverse(T_image_middle)
    return replace(frame, T_map_camera=T_map_camera, name=name)
