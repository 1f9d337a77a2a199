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

"""Lidar scans of the Oxford RobotCar: two lidars with one plane each, and one with four planes.

A file `<stamp>.bin` holds float64 numbers, three for each beam: x, y and reflectance of `lms_front`
and `lms_rear`, whose plane is z = 0; x, y and z of `ldmrs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.traversals.folder import ScanFile
from scene_geo_loc.traversals.robotcar.calibration import Calibration
from scene_geo_loc.traversals.robotcar.poses import VehiclePoses
from scene_geo_loc.traversals.robotcar.rows import NS_PER_STAMP, present, read_stamps
from scene_geo_loc.traversals.skipped import Skipped, SkipReason

LIDARS = ("lms_front", "lms_rear", "ldmrs")

_BEAM_BYTES = 24


@dataclass(frozen=True)
class ScanTimes:
    """Stamps and lidars of scans, in order of time.

    Attributes:
        stamps: (N,) int64 microseconds.
        lidars: (N,) uint8, indices in `LIDARS`.
    """

    stamps: NDArray[np.int64]
    lidars: NDArray[np.uint8]

    def path(self, run: Path, i: int) -> Path:
        """Returns the file of scan `i`."""
        return run / LIDARS[self.lidars[i]] / f"{self.stamps[i]}.bin"


def find_scans(run: Path, calibration: Calibration, skipped: Skipped) -> ScanTimes:
    """Finds the scans of the lidars whose mounting is known.

    Raises TraversalError where a list of stamps cannot be read.
    """
    stamps = [np.zeros(0, np.int64)]
    lidars = [np.zeros(0, np.uint8)]
    for place, lidar in enumerate(LIDARS):
        listed = run / f"{lidar}.timestamps"
        has_scans, has_stamps = (run / lidar).is_dir(), listed.is_file()
        if not has_scans and not has_stamps:
            continue
        if not (has_scans and has_stamps and calibration.has(lidar)):
            lacking = "scans" if not has_scans else "stamps" if not has_stamps else "extrinsics"
            skipped.add(SkipReason.LIDAR_INCOMPLETE, subject=lacking)
            continue
        lidar_stamps = read_stamps(listed, skipped)
        exists = present(run / lidar, lidar_stamps, ".bin")
        if not exists.all():
            skipped.add(SkipReason.SCAN_MISSING, int((~exists).sum()), subject=lidar)
        stamps.append(lidar_stamps[exists])
        lidars.append(np.full(int(exists.sum()), place, np.uint8))
    together = np.concatenate(stamps)
    order = np.argsort(together, kind="stable")
    return ScanTimes(together[order], np.concatenate(lidars)[order])


def read_beams(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Reads points (N, 3) in metres in the lidar's frame, and reflectance (N,) where it is measured.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is empty, or ends within a beam.
    """
    size = path.stat().st_size
    if size == 0 or size % _BEAM_BYTES:
        raise ValueError(
            f"{path}: its {size} bytes are no positive multiple of {_BEAM_BYTES} bytes, a beam's"
        )
    beams = np.fromfile(path, "<f8").reshape(-1, 3)
    if path.parent.name == "ldmrs":
        return beams, None
    reflectance = beams[:, 2].copy()
    beams[:, 2] = 0.0
    return beams, reflectance


def read_points(path: Path) -> NDArray[np.float64]:
    """Reads points (N, 3) in metres in the lidar's frame. Raises OSError or ValueError."""
    return read_beams(path)[0]


class ScanFiles(Sequence[ScanFile]):
    """Scans at times of known poses, as a sequence that makes its items on demand.

    A run has hundreds of thousands of scans, which are kept as arrays.
    """

    def __init__(
        self, run: Path, times: ScanTimes, poses: NDArray[np.float64], mounts: NDArray[np.float64]
    ) -> None:
        self._run, self._times, self._poses, self._mounts = run, times, poses, mounts

    def __len__(self) -> int:
        return len(self._times.stamps)

    @overload
    def __getitem__(self, place: int) -> ScanFile: ...

    @overload
    def __getitem__(self, place: slice) -> ScanFiles: ...

    def __getitem__(self, place: int | slice) -> ScanFile | ScanFiles:
        times = self._times
        if isinstance(place, slice):
            some = ScanTimes(times.stamps[place], times.lidars[place])
            return ScanFiles(self._run, some, self._poses[place], self._mounts)
        stamp_ns = int(times.stamps[place]) * NS_PER_STAMP
        T_map_lidar = self._poses[place] @ self._mounts[times.lidars[place]]
        return ScanFile(stamp_ns, times.path(self._run, place), T_map_lidar)


def place_scans(
    run: Path, times: ScanTimes, calibration: Calibration, poses: VehiclePoses | None, skipped: Skipped
) -> Sequence[ScanFile]:
    """Returns the scans with the lidars' poses; those at times without a pose are left out and counted.

    Raises TraversalError where extrinsics are damaged.
    """
    if poses is None or len(times.stamps) == 0:
        if len(times.stamps):
            skipped.add(SkipReason.SCAN_WITHOUT_POSE, len(times.stamps))
        return ()
    T_map_vehicle, known = poses.at_many(times.stamps * NS_PER_STAMP)
    if not known.all():
        skipped.add(SkipReason.SCAN_WITHOUT_POSE, int((~known).sum()))
    mounts = np.stack(
        [calibration.extrinsics(lidar) if calibration.has(lidar) else np.eye(4) for lidar in LIDARS]
    )
    return ScanFiles(run, ScanTimes(times.stamps[known], times.lidars[known]), T_map_vehicle[known], mounts)
