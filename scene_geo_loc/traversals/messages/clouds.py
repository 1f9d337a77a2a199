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

"""Points of ROS lidar messages: decoding and de-skewing, the same for live and recorded messages.

Messages are read by their fields, as in `images`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DATATYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
"""Values of sensor_msgs/PointField."""

_TIME_FIELDS = ("time", "t", "timestamp", "time_stamp", "offset_time", "timeOffset")
"""Names of the field of a point's time: Velodyne, Ouster, Hesai and RoboSense, Livox and others."""

_LONGEST_SWEEP_S = 10.0
_USUAL_SWEEP_S = 3.0
"""Sweeps whose floating-point times would last longer are in a smaller unit."""
_UNITS = (1.0, 1e3, 1e6, 1e9)
_EPOCH_S = 1e9
"""Larger times count from 1970, in any unit; smaller ones from the start of the sweep."""

LIVOX_POINTS = tuple(
    f"{package}/msg/CustomMsg" for package in ("livox_ros_driver2", "livox_ros_driver", "livox_interfaces")
)
"""Message types of Livox lidars with the time of each point."""

LIDAR_PACKETS = {
    "velodyne_msgs/msg/VelodyneScan": "velodyne_pointcloud",
    "ouster_ros/msg/PacketMsg": "ouster_ros",
    "ouster_sensor_msgs/msg/PacketMsg": "ouster_ros",
    "hesai_ros_driver/msg/UdpFrame": "hesai_ros_driver",
    "pandar_msgs/msg/PandarScan": "nebula_ros",
    "nebula_msgs/msg/NebulaPackets": "nebula_ros",
    "rslidar_msg/msg/RslidarPacket": "rslidar_sdk",
    "rslidar_msgs/msg/rslidarScan": "rslidar_sdk",
    "robosense_msgs/msg/RobosenseScan": "nebula_ros",
}
"""Message types of packets as lidars send them, with the package whose driver makes points of them."""

_KNOTS_NS = (16_000_000, 4_000_000, 1_000_000)
"""Intervals of the poses of a sweep, between which points are interpolated linearly: the first that is fine
enough for the motion, else the last.  With that, a point at 100 m is 0.1 mm off its arc at 3 rad/s."""

_MAX_SAGITTA_M = 1e-4
"""Largest distance of a point's arc from the straight line between two poses."""

_FAR_M = 100.0

PosesAt = Callable[[NDArray[np.int64]], tuple[NDArray[np.float64], NDArray[np.bool_]]]
"""Returns the poses (N, 4, 4) of a sensor at stamps (N,) in nanoseconds, and a mask (N,) of known ones."""


@dataclass(frozen=True)
class PointCloud:
    """Points of a sweep in the sensor's frame; none is NaN, infinite or the origin.

    Attributes:
        xyz: (N, 3) float64 metres.
        time_s: (N,) float64 seconds after the message's stamp, or None where the message has no times.
    """

    xyz: NDArray[np.float64]
    time_s: NDArray[np.float64] | None

    def __len__(self) -> int:
        return len(self.xyz)


def decode_point_cloud(message: Any) -> PointCloud:
    """Returns the points of a sensor_msgs/PointCloud2, with their times where there is a field for them.

    Integer times are nanoseconds; the unit of floating-point times is told from their size, from seconds to
    nanoseconds.  Absolute times become relative to the stamp.  Times more than 10 s from the stamp are those
    of an unknown driver and are left out.

    Raises:
        ValueError: the fields x, y and z are missing, or the data do not have the message's size.
    """
    fields = {field.name: field for field in message.fields}
    if not {"x", "y", "z"} <= fields.keys():
        raise ValueError(
            f"a point cloud needs the fields x, y and z; this one has {', '.join(fields) or 'none'}"
        )
    order = ">" if message.is_bigendian else "<"
    width, height, step = message.width, message.height, message.point_step
    raw = np.frombuffer(message.data, np.uint8)
    row_step = message.row_step or width * step
    if width * height and (row_step < width * step or len(raw) < row_step * (height - 1) + width * step):
        raise ValueError(
            f"a point cloud of {width} x {height} points of {step} bytes does not fit "
            f"its {len(raw)} bytes of data"
        )
    time_name = next((name for name in _TIME_FIELDS if name in fields), None)
    names = ["x", "y", "z"] + ([time_name] if time_name else [])
    try:
        dtype = np.dtype(
            {
                "names": names,
                "formats": [order + _DATATYPES[fields[name].datatype] for name in names],
                "offsets": [fields[name].offset for name in names],
                "itemsize": step,
            }
        )
    except KeyError as error:
        raise ValueError(f"a point cloud's field has the unknown datatype {error}") from error
    if width * height == 0:
        return PointCloud(np.zeros((0, 3)), None)
    rows = np.lib.stride_tricks.as_strided(raw, (height, width * step), (row_step, 1), writeable=False)
    table = np.ascontiguousarray(rows).view(dtype).reshape(-1)
    x, y, z = (table[name].astype(np.float64) for name in ("x", "y", "z"))
    good = np.isfinite(x) & np.isfinite(y) & np.isfinite(z) & ((x != 0) | (y != 0) | (z != 0))
    time_s = _relative_seconds(table[time_name][good], message.header.stamp) if time_name else None
    return PointCloud(np.stack([x[good], y[good], z[good]]).T, time_s)


def laser_scan_points(message: Any) -> PointCloud:
    """Returns the points of a sensor_msgs/LaserScan, in its plane z = 0, with the time of each beam."""
    ranges = np.asarray(message.ranges, np.float64)
    beams = np.arange(len(ranges))
    angles = message.angle_min + beams * message.angle_increment
    good = np.isfinite(ranges) & (ranges > 0) & (ranges >= message.range_min)
    good &= ranges <= message.range_max
    xyz = np.stack([ranges * np.cos(angles), ranges * np.sin(angles), np.zeros(len(ranges))], axis=1)
    with np.errstate(invalid="ignore"):  # an infinite increment
        time_s = (beams * float(message.time_increment))[good]
    return PointCloud(xyz[good], time_s if _is_sweep(time_s) else None)


def livox_points(message: Any) -> PointCloud:
    """Returns the points of a Livox CustomMsg, each with its time after the message's time base."""
    numbers = np.array([(p.x, p.y, p.z, p.offset_time) for p in message.points], np.float64).reshape(-1, 4)
    xyz, time_s = numbers[:, :3], numbers[:, 3] / 1e9
    # The stamp is that of the time base in all drivers.
    good = np.isfinite(xyz).all(axis=1) & (xyz != 0).any(axis=1)
    time_s = time_s[good]
    return PointCloud(xyz[good], time_s if _is_sweep(time_s) else None)


def cloud_of(message: Any) -> PointCloud:
    """Returns the points of a PointCloud2, a LaserScan or a Livox CustomMsg. Raises ValueError."""
    if hasattr(message, "timebase"):
        return livox_points(message)
    return laser_scan_points(message) if hasattr(message, "ranges") else decode_point_cloud(message)


def last_stamp_ns(cloud: PointCloud, stamp_ns: int) -> int:
    """Returns the time of a sweep's last point in nanoseconds; `stamp_ns` is the message's stamp."""
    return int(_stamps_ns(cloud, stamp_ns).max(initial=stamp_ns))


def deskew(cloud: PointCloud, stamp_ns: int, poses_at: PosesAt) -> NDArray[np.float64]:
    """Returns the points (M, 3) of a sweep in the map, each transformed by the pose at its own time.

    Poses are looked up at intervals of `_KNOTS_NS`; in between, a transformed point is interpolated linearly.

    Args:
        stamp_ns: the message's stamp.
        poses_at: gives the poses of the sensor in the map.

    Returns:
        The points at whose time the pose is known, in their order.
    """
    stamps_ns = _stamps_ns(cloud, stamp_ns)
    if len(stamps_ns) == 0:
        return np.zeros((0, 3))
    first, last = int(stamps_ns.min()), int(stamps_ns.max())
    for interval in _KNOTS_NS:
        knots = np.array([*range(first, last, interval), last], np.int64)
        poses, known = poses_at(knots)
        if known.all() and _sagitta_m(poses) <= _MAX_SAGITTA_M:
            break
    before = np.minimum((stamps_ns - first) // interval, len(knots) - 1)
    after = np.minimum(before + 1, len(knots) - 1)
    since = stamps_ns - knots[before]
    usable = known[before] & (known[after] | (since == 0))
    # All points between two knots at once; most lidars send them in order of time.
    by_time: NDArray[np.intp] | slice = slice(None)
    order: NDArray[np.intp] | slice = slice(None) if usable.all() else np.flatnonzero(usable)
    if (before[1:] < before[:-1]).any():
        by_time = np.argsort(before[order], kind="stable")
        order = np.flatnonzero(usable)[by_time]
    before, xyz = before[order], np.array(cloud.xyz.T[:, order])
    fraction = since[order] / np.maximum(knots[after[order]] - knots[before], 1)
    next_knot = np.minimum(np.arange(len(knots)) + 1, len(knots) - 1)
    T_map_sensors = np.concatenate([poses[:, :3], poses[next_knot, :3]], axis=1)
    ends = np.searchsorted(before, np.arange(len(knots) + 1))
    for knot in np.flatnonzero(np.diff(ends)):
        part = slice(ends[knot], ends[knot + 1])
        moved = T_map_sensors[knot, :, :3] @ xyz[:, part] + T_map_sensors[knot, :, 3:]
        xyz[:, part] = moved[:3] + fraction[part] * (moved[3:] - moved[:3])
    if isinstance(by_time, slice):
        return xyz.T
    points = np.empty_like(xyz)
    points[:, by_time] = xyz
    return points.T


def _sagitta_m(poses: NDArray[np.float64]) -> float:
    """Returns how far points up to 100 m away are off straight lines between consecutive poses, metres."""
    bent = np.diff(poses[:-1, :3, 3], n=2, axis=0)  # the last interval is shorter
    cosines = (np.einsum("nij,nij->n", poses[:-1, :3, :3], poses[1:, :3, :3]) - 1) / 2
    squared_angle = 2 * (1 - cosines)
    return float((np.linalg.norm(bent, axis=1).max(initial=0) + _FAR_M * squared_angle.max(initial=0)) / 8)


def _stamps_ns(cloud: PointCloud, stamp_ns: int) -> NDArray[np.int64]:
    if cloud.time_s is None:
        return np.full(len(cloud), stamp_ns, np.int64)
    return stamp_ns + np.round(cloud.time_s * 1e9).astype(np.int64)


def _relative_seconds(times: NDArray[Any], stamp: Any) -> NDArray[np.float64] | None:
    if len(times) == 0:
        return np.zeros(0)
    if np.issubdtype(times.dtype, np.integer):
        per_second = 1e9
    else:
        known = times[np.isfinite(times)].astype(np.float64)
        per_second = _units_per_second(known)
    seconds = times.astype(np.float64) / per_second
    if abs(seconds).max() > _LONGEST_SWEEP_S:
        start = stamp.sec * per_second + stamp.nanosec * (per_second / 1e9)
        seconds = (times.astype(np.float64) - start) / per_second
    return seconds if _is_sweep(seconds) else None


def _units_per_second(times: NDArray[np.float64]) -> float:
    """Returns the unit of floating-point times, told from their size: the largest in which they are a sweep.

    Times since 1970 tell it by themselves.
    """
    if len(times) == 0:
        return 1.0
    latest, span = abs(times).max(), np.ptp(times)
    if latest > _EPOCH_S:
        return next((unit for unit in _UNITS if latest / unit < 100 * _EPOCH_S), _UNITS[-1])
    span = span or latest
    return next((unit for unit in _UNITS if span / unit <= _USUAL_SWEEP_S), _UNITS[-1])


def _is_sweep(seconds: NDArray[np.float64]) -> bool:
    """Returns whether times of points (N,), relative to the stamp, can be those of a sweep."""
    return bool((abs(seconds) <= _LONGEST_SWEEP_S).all())
