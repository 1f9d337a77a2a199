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

"""Messages of a satellite receiver and of a heading, in bags."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from rosbags.typesys import get_types_from_msg

from scene_geo_loc.geometry.datum import Datum
from scene_geo_loc.geometry.geodesy import ecef_of_geodetic, enu_axes, geodetic_of_ecef
from scene_geo_loc.geometry.pose import Pose, make_pose
from scene_geo_loc.traversals.rosbag.message_types import DEFINITIONS
from scene_geo_loc.traversals.rosbag.writer import BagWriter

DATUM = Datum(52.1, 5.2, 40.0, 30.0)
"""Place on the Earth of the map that `drive` is in."""


def write_fix(
    bag: BagWriter,
    stamp_ns: int,
    T_map_antenna: Pose,
    *,
    topic: str = "/gps/fix",
    frame: str = "base_link",
    error: ArrayLike = (0.0, 0.0, 0.0),
    sigma: float = 0.5,
    status: int = 0,
    latitude: float | None = None,
    longitude: float | None = None,
) -> None:
    """Writes a NavSatFix with an error (3,) in metres to the east, to the north and upwards."""
    true = DATUM.geodetic_of(T_map_antenna[:3, 3])
    place = geodetic_of_ecef(ecef_of_geodetic(true) + enu_axes(true[0], true[1]) @ np.asarray(error))
    bag.nav_sat_fix(
        topic,
        stamp_ns,
        frame,
        place[0] if latitude is None else latitude,
        place[1] if longitude is None else longitude,
        place[2],
        (sigma**2,) * 3,
        has_fix=status >= 0,
    )


def _R_enu_base(T_map_base: Pose) -> np.ndarray:
    return np.asarray(DATUM.R_enu_map(T_map_base[:3, 3]) @ T_map_base[:3, :3])


def _message(bag: BagWriter, kind: str, **fields: Any) -> Any:
    return bag._message(kind, **fields)


def write_imu(
    bag: BagWriter,
    stamp_ns: int,
    T_map_base: Pose,
    *,
    has_orientation: bool = True,
    turned_deg: float = 0.0,
) -> None:
    """Writes a sensor_msgs/Imu of base_link; turned_deg: constant error of its yaw."""
    yaw = np.radians(turned_deg)
    turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    covariance = np.zeros(9)
    covariance[0] = 0.0 if has_orientation else -1.0
    R = turn @ _R_enu_base(T_map_base) if has_orientation else np.eye(3)
    bag._write(
        "/imu/data",
        stamp_ns,
        "sensor_msgs/msg/Imu",
        header=bag._header(stamp_ns, "base_link"),
        orientation=bag._quaternion(make_pose(R, np.zeros(3))),
        orientation_covariance=covariance,
        angular_velocity=bag._vector(np.zeros(3)),
        angular_velocity_covariance=np.zeros(9),
        linear_acceleration=bag._vector([0.0, 0.0, 9.81]),
        linear_acceleration_covariance=np.zeros(9),
    )


def write_compass(bag: BagWriter, stamp_ns: int, T_map_base: Pose) -> None:
    """Writes a heading in degrees, clockwise from north."""
    ahead = _R_enu_base(T_map_base)[:, 0]
    heading = float(np.degrees(np.arctan2(ahead[0], ahead[1])) % 360)
    bag._write("/mavros/global_position/compass_hdg", stamp_ns, "std_msgs/msg/Float64", data=heading)


def write_geo_pose(bag: BagWriter, stamp_ns: int, T_map_base: Pose) -> None:
    """Writes a geographic_msgs/GeoPoseStamped."""
    for name, text in DEFINITIONS.items():
        if name.startswith("geographic_msgs") and name not in bag._typestore.fielddefs:
            bag._typestore.register(get_types_from_msg(text, name))
    latitude, longitude, altitude = (float(value) for value in DATUM.geodetic_of(T_map_base[:3, 3]))
    position = _message(
        bag, "geographic_msgs/msg/GeoPoint", latitude=latitude, longitude=longitude, altitude=altitude
    )
    orientation = bag._quaternion(make_pose(_R_enu_base(T_map_base), np.zeros(3)))
    bag._write(
        "/geo_pose",
        stamp_ns,
        "geographic_msgs/msg/GeoPoseStamped",
        header=bag._header(stamp_ns, "wgs84"),
        pose=_message(bag, "geographic_msgs/msg/GeoPose", position=position, orientation=orientation),
    )
