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

"""Records of the Oxford RobotCar besides its images, as ROS messages.

The frames are base_link (the vehicle, x forward, y left, z up), a frame for each sensor with the
sensor's own axes, and the optical frame of each camera.  Scans of all lidars go to /lidar/points,
each in its lidar's frame, with reflectance as intensity.  /ground_truth/pose has base_link in the map
at the stamps of the RTK or inertial solution; the motion of visual odometry is on /odom and on /tf,
from odom to base_link.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.pose import Pose, inverse
from scene_geo_loc.traversals.robotcar.calibration import CAMERAS, T_VEHICLE_BASE, Calibration
from scene_geo_loc.traversals.robotcar.poses import VehiclePoses, read_vo
from scene_geo_loc.traversals.robotcar.rows import NS_PER_STAMP, read_table
from scene_geo_loc.traversals.robotcar.scans import LIDARS, ScanTimes, read_beams
from scene_geo_loc.traversals.rosbag.convert import BASE_FRAME, POINTS_TOPIC, POSE_TOPIC
from scene_geo_loc.traversals.rosbag.writer import BagWriter
from scene_geo_loc.traversals.skipped import Skipped, SkipReason
from scene_geo_loc.traversals.vehicle import Record, Recording

INERTIAL_FRAME = "ins"
ODOMETRY_FRAME = "odom"
ODOMETRY_TOPIC = "/odom"
FIX_TOPIC = "/gps/fix"

_FIX_COLUMNS = ("latitude", "longitude", "altitude", "latitude_sigma", "longitude_sigma", "altitude_sigma")

_POSE_VARIANCES = (1.0, 1.0, 1.0, 0.01, 0.01, 0.01)
_TWIST_VARIANCES = (0.05**2, 0.05**2, 0.05**2, 0.01**2, 0.01**2, 0.01**2)
"""The dataset has none for its odometry: values of good visual odometry in a car."""


def optical_frame(camera: str) -> str:
    """Returns the id of a camera's optical frame."""
    return f"{camera.replace('/', '_')}_optical_frame"


def recording_of(
    run: Path,
    camera: str,
    calibration: Calibration,
    scans: ScanTimes,
    poses: VehiclePoses | None,
    map_frame: str,
) -> Recording:
    """Returns the recording of a run beside the frames of one camera. Raises TraversalError."""
    T_base_vehicle = inverse(T_VEHICLE_BASE)
    mounts = {optical_frame(camera): T_base_vehicle @ calibration.T_vehicle_camera(camera)}
    for other in CAMERAS:
        if calibration.has_camera(other):
            mounts[optical_frame(other)] = T_base_vehicle @ calibration.T_vehicle_camera(other)
    for sensor in (*LIDARS, INERTIAL_FRAME):
        if calibration.has(sensor):
            mounts[sensor] = T_base_vehicle @ calibration.extrinsics(sensor)
    return Recording(optical_frame(camera), mounts, _Records(run, scans, poses, map_frame).between)


@dataclass(frozen=True)
class _Records:
    run: Path
    scan_times: ScanTimes
    poses: VehiclePoses | None
    map_frame: str

    def between(self, first_ns: int, last_ns: int, skipped: Skipped) -> Iterator[Record]:
        """Yields all records between two stamps, in order of time."""
        streams = (self._truth(), self._odometry(skipped), self._fixes(skipped), self._scans())
        for record in heapq.merge(*streams, key=lambda record: record.stamp_ns):
            if record.stamp_ns > last_ns:
                return
            if record.stamp_ns >= first_ns:
                yield record

    def _truth(self) -> Iterator[Record]:
        if self.poses is None or self.poses.origin == "vo":
            return
        base = self.poses.of_base()
        for stamp, T in zip(base.stamps_ns.tolist(), base.poses, strict=True):
            yield Record(stamp, partial(_write_pose, stamp, self.map_frame, T), "poses")

    def _odometry(self, skipped: Skipped) -> Iterator[Record]:
        odometry = self.poses
        if odometry is None or odometry.origin != "vo":
            path = self.run / "vo" / "vo.csv"
            try:
                odometry = read_vo(path, skipped) if path.is_file() else None
            except TraversalError:
                skipped.add(SkipReason.TABLE_UNREADABLE, subject="odometry")
                return
        if odometry is None:
            return
        base = odometry.of_base()
        for i, stamp in enumerate(base.stamps_ns.tolist()):
            before = max(i - 1, 0)
            seconds = (stamp - int(base.stamps_ns[before])) / 1e9
            motion = inverse(base.poses[before]) @ base.poses[i]
            yield Record(
                stamp, partial(_write_odometry, stamp, base.poses[i], motion, seconds), "odometry steps"
            )

    def _fixes(self, skipped: Skipped) -> Iterator[Record]:
        path = self.run / "gps" / "gps.csv"
        if not path.is_file():
            return
        try:
            stamps, table = read_table(path, "timestamp", _FIX_COLUMNS, skipped, position=_FIX_COLUMNS[:2])
        except TraversalError:
            skipped.add(SkipReason.TABLE_UNREADABLE, subject="GPS fixes")
            return
        for stamp, row in zip(stamps.tolist(), table.tolist(), strict=True):
            yield Record(stamp, partial(_write_fix, stamp, row), "GPS fixes")

    def _scans(self) -> Iterator[Record]:
        times = self.scan_times
        for i, stamp in enumerate((times.stamps * NS_PER_STAMP).tolist()):
            frame = LIDARS[times.lidars[i]]
            yield Record(stamp, partial(_write_scan, stamp, frame, times.path(self.run, i)), "scans")


def _write_pose(stamp_ns: int, map_frame: str, T: Pose, bag: BagWriter) -> None:
    bag.pose(POSE_TOPIC, stamp_ns, map_frame, T)


def _write_odometry(stamp_ns: int, T: Pose, motion: Pose, seconds: float, bag: BagWriter) -> None:
    linear, angular = np.zeros(3), np.zeros(3)
    if seconds > 0:
        # In the frame of the previous pose; a step rotates so little that it holds for this one, too.
        linear = motion[:3, 3] / seconds
        angular = Rotation.from_matrix(motion[:3, :3]).as_rotvec() / seconds
    bag.odometry(
        ODOMETRY_TOPIC,
        stamp_ns,
        ODOMETRY_FRAME,
        BASE_FRAME,
        T,
        linear,
        angular,
        _POSE_VARIANCES,
        _TWIST_VARIANCES,
    )
    bag.transform(stamp_ns, ODOMETRY_FRAME, BASE_FRAME, T)


def _write_fix(stamp_ns: int, row: list[float], bag: BagWriter) -> None:
    latitude, longitude, altitude, north_sigma, east_sigma, up_sigma = row
    variances = (east_sigma**2, north_sigma**2, up_sigma**2)
    bag.nav_sat_fix(FIX_TOPIC, stamp_ns, INERTIAL_FRAME, latitude, longitude, altitude, variances)


def _write_scan(stamp_ns: int, frame: str, path: Path, bag: BagWriter) -> None:
    points, reflectance = read_beams(path)
    bag.points(POINTS_TOPIC, stamp_ns, frame, points, reflectance)
