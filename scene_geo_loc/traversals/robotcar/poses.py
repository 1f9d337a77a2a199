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

"""Poses of the Oxford RobotCar: RTK ground truth, inertial navigation, or visual odometry.

`gps/ins.csv` and `rtk.csv` have the pose of the inertial unit in north, east, down: UTM metres, and
roll, pitch, yaw.  The map's axes are east, north, up, its origin is `ORIGIN`, so that all runs share
coordinates.  They are those of the grid, on which a kilometre is 22 cm shorter there than on the ground.
`vo/vo.csv` has the vehicle's motion between images, each row the pose at the first stamp in the frame of
the row before; its map is base_link at the first row, one for each run.

Poses are interpolated as the dataset's SDK does: of the inertial unit, linear in position and
slerp in rotation; only then they are transformed to the vehicle.  RTK files whose yaw is 90 degrees
more than the car's heading are corrected, which the SDK does not do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.datum import Datum, Georeference
from scene_geo_loc.geometry.geodesy import UtmZone
from scene_geo_loc.geometry.pose import Pose, from_xyzrpy, inverse, make_pose
from scene_geo_loc.geometry.trajectory import Trajectory
from scene_geo_loc.traversals.robotcar.calibration import T_VEHICLE_BASE, Calibration
from scene_geo_loc.traversals.robotcar.rows import (
    FASTEST_M_S,
    LATEST_STAMP,
    NS_PER_STAMP,
    read_table,
    without_jumps,
)
from scene_geo_loc.traversals.skipped import Skipped, SkipReason

logger = logging.getLogger(__name__)

ORIGIN = np.array([5_735_000.0, 620_000.0, 0.0])
"""Northing, easting (UTM zone 30U) and down of the map's origin in metres, in the south-west of Oxford."""

ZONE = UtmZone(30, is_north=True)
"""Zone of the dataset's UTM coordinates."""

T_MAP_NED = make_pose([[0, 1, 0], [1, 0, 0], [0, 0, -1]], np.zeros(3))
"""Transforms north, east, down to east, north, up."""

LONGEST_BREAK_NS = 500_000_000
"""Over a longer gap in the rows of visual odometry the motion is unknown."""

_GOOD_SOLUTIONS = (
    "INS_SOLUTION_GOOD",
    "INS_ALIGNMENT_COMPLETE",
    "INS_BAD_GPS_AGREEMENT",  # the inertial solution is trusted, GPS is not; later renamed to the next
    "INS_SOLUTION_FREE",
)
"""Status of the solutions that NovAtel's receivers trust."""

_DRIVING_M_S = 2.0
"""At lower speed, steps of the position are noise and give no course."""

_UTM = ("northing", "easting", "down")
_ANGLES = ("roll", "pitch", "yaw")


@dataclass(frozen=True)
class VehiclePoses:
    """Poses of the vehicle over time.

    Attributes:
        origin: "rtk", "ins" or "vo".
        trajectory: poses of a unit of the vehicle in the map.
        T_unit_vehicle: pose of the vehicle in that unit.
    """

    origin: str
    trajectory: Trajectory
    T_unit_vehicle: Pose

    @property
    def georeference(self) -> Georeference | None:
        """Datum of the map, exact at the middle of the run; None for visual odometry."""
        if self.origin == "vo" or not len(self.trajectory):
            return None
        middle = np.median(self.trajectory.poses[:, :3, 3], axis=0)
        northing, easting, down = ORIGIN
        T_utm_map = make_pose(np.eye(3), np.array([easting, northing, -down]))
        return Georeference(Datum.of_grid(ZONE, T_utm_map, middle), self.origin)

    def at_many(self, stamps_ns: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Returns `T_map_vehicle` (N, 4, 4) at stamps (N,), and a mask (N,) of the known ones."""
        poses, known = self.trajectory.at_many(stamps_ns)
        return poses @ self.T_unit_vehicle, known

    def of_base(self) -> Trajectory:
        """Returns `T_map_base` at the stamps of the rows."""
        return Trajectory(
            self.trajectory.stamps_ns, self.trajectory.poses @ self.T_unit_vehicle @ T_VEHICLE_BASE
        )


def rtk_file(run: Path) -> Path | None:
    """Finds the RTK ground truth: in the run, or in `rtk/` beside the runs as it is published."""
    whole = run.absolute()
    inside = (run / "rtk.csv", run / "rtk" / "rtk.csv", run / "gps" / "rtk.csv")
    places = (*inside, whole.parent / "rtk" / whole.name / "rtk.csv")
    return next((path for path in places if path.is_file()), None)


def read_rtk(path: Path, calibration: Calibration, skipped: Skipped) -> VehiclePoses | None:
    """Reads the RTK ground truth; None where no row is usable. Raises TraversalError."""
    return _read_navigation("rtk", path, calibration, skipped)


def read_ins(path: Path, calibration: Calibration, skipped: Skipped) -> VehiclePoses | None:
    """Reads the solution of the inertial navigation; None where no row is usable. Raises TraversalError."""
    return _read_navigation(
        "ins",
        path,
        calibration,
        skipped,
        lambda row: (row.get("ins_status") or "").strip() in _GOOD_SOLUTIONS,
    )


def read_vo(path: Path, skipped: Skipped) -> VehiclePoses | None:
    """Reads the longest part of the visual odometry without a break; None where no row is usable.

    Raises TraversalError.
    """
    columns = ("destination_timestamp", "x", "y", "z", *_ANGLES)
    stamps, table = read_table(path, "source_timestamp", columns, skipped)
    if len(stamps) == 0:
        return None
    steps = np.diff(stamps, prepend=stamps[0])
    covered = stamps - np.clip(table[:, 0], 0, LATEST_STAMP).astype(np.int64) * NS_PER_STAMP
    motions = _over_holes(from_xyzrpy(table[:, 1:]), steps, covered)
    jumps = np.linalg.norm(motions[:, :3, 3], axis=1) > FASTEST_M_S * steps / 1e9
    breaks = np.flatnonzero(jumps[1:] | (steps[1:] > LONGEST_BREAK_NS)) + 1
    segments = zip([0, *breaks], [*breaks, len(stamps)], strict=True)
    first, end = max(segments, key=lambda segment: segment[1] - segment[0])
    if end - first < len(stamps):
        skipped.add(SkipReason.ROW_BEYOND_BREAK, len(stamps) - (end - first), subject=path.name)
    poses = np.empty((end - first, 4, 4))
    poses[0] = T_VEHICLE_BASE  # its own inverse, so that base_link is at the map's origin
    for i in range(1, end - first):
        poses[i] = poses[i - 1] @ motions[first + i]
    return VehiclePoses("vo", Trajectory(stamps[first:end], poses), np.eye(4))


def _over_holes(
    motions: NDArray[np.float64], steps: NDArray[np.int64], covered: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Extends motions (N, 4, 4) over missing rows before them, at constant speed.

    Args:
        steps: (N,) nanoseconds since the previous row.
        covered: (N,) nanoseconds that each motion was measured over.
    """
    holes = np.flatnonzero((covered > 0) & (covered < steps))
    if len(holes):
        share = (steps[holes] / covered[holes])[:, None]
        motions[holes, :3, 3] *= share
        turned = Rotation.from_matrix(motions[holes, :3, :3]).as_rotvec() * share
        motions[holes, :3, :3] = Rotation.from_rotvec(turned).as_matrix()
    return motions


def _read_navigation(
    origin: str,
    path: Path,
    calibration: Calibration,
    skipped: Skipped,
    usable: Callable[[dict[str, str]], bool] = lambda row: True,
) -> VehiclePoses | None:
    stamps, table = read_table(
        path, "timestamp", (*_UTM, *_ANGLES), skipped, position=_UTM[:2], usable=usable
    )
    believed = without_jumps(stamps, table[:, :3])
    if not believed.all():
        skipped.add(SkipReason.ROW_JUMP, int((~believed).sum()), subject=path.name)
    stamps, table = stamps[believed], table[believed]
    if len(stamps) == 0:
        return None
    if origin == "rtk" and _is_turned(stamps, table):
        logger.info("%s: by its yaw the car would drive to its left; yaw is corrected by 90 degrees", path)
        table[:, 5] -= np.pi / 2
    poses = T_MAP_NED @ from_xyzrpy(table - np.concatenate([ORIGIN, np.zeros(3)]))
    return VehiclePoses(origin, Trajectory(stamps, poses), inverse(calibration.extrinsics("ins")))


def _is_turned(stamps: NDArray[np.int64], table: NDArray[np.float64]) -> bool:
    """Returns whether yaw is 90 degrees more than the course, as in the published RTK files.

    Users reported that (issues 30 and 40 of the SDK); it is detected, not presumed.
    """
    steps = np.diff(table[:, :2], axis=0)
    moving = np.linalg.norm(steps, axis=1) > _DRIVING_M_S * np.diff(stamps) / 1e9
    ahead = np.arctan2(steps[moving, 1], steps[moving, 0])
    if len(ahead) == 0:
        return False
    # With a constant angle between yaw and course, the mean is on the unit circle.
    return bool(abs(np.exp(1j * (table[:-1, 5][moving] - ahead)).mean() - 1j) < 0.3)


SOURCES = ("rtk", "ins", "vo")
"""Sources of poses, the best first."""


def files_of(run: Path) -> dict[str, Path]:
    """Returns the files of poses of a run by source, the best first."""
    files = {"rtk": rtk_file(run), "ins": run / "gps" / "ins.csv", "vo": run / "vo" / "vo.csv"}
    return {origin: path for origin, path in files.items() if path is not None and path.is_file()}


def read_poses(
    run: Path, calibration: Calibration, skipped: Skipped, wanted: str | None = None
) -> VehiclePoses | None:
    """Reads the wanted poses, else the best available; None where there are none.

    Raises:
        TraversalError: the wanted poses are missing, or none of their rows is usable.
    """
    if wanted is not None and wanted not in SOURCES:
        raise TraversalError(f"{run}: unknown poses {wanted!r}; the dataset has {', '.join(SOURCES)}.")
    files = files_of(run)
    if wanted is not None and wanted not in files:
        there = ", ".join(files) or "none"
        raise TraversalError(f"{run}: no poses of {wanted} here; available: {there}.")
    for origin in [wanted] if wanted is not None else files:
        path = files[origin]
        if origin == "vo":
            poses = read_vo(path, skipped)
        elif origin == "rtk":
            poses = read_rtk(path, calibration, skipped)
        else:
            poses = read_ins(path, calibration, skipped)
        if poses is not None:
            return poses
        if wanted is not None:
            raise TraversalError(f"{path}: none of the rows is usable ({skipped or 'the table is empty'}).")
    return None
