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

"""Publishes where on the Earth the map and the robot are."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import NavSatFix, NavSatStatus
from tf2_msgs.msg import TFMessage

from scene_geo_loc.core.errors import GeodesyError
from scene_geo_loc.geometry.datum import Georeference
from scene_geo_loc.geometry.geodesy import UtmZone
from scene_geo_loc.geometry.pose import Pose, make_pose
from scene_geo_loc.ros.common.messages import (
    make_message,
    message_class,
    ns_to_stamp,
    pose_to_message,
    transform_message,
)
from scene_geo_loc.traversals.messages.satellite import GEO_POSE

if TYPE_CHECKING:
    from rclpy.node import Node

    from scene_geo_loc.mapping.reference_map import AnyMap
    from scene_geo_loc.ros.common.settings import LocalizationNodeSettings

EARTH, UTM = "earth", "utm"
"""Frames that the map is placed in: Earth-centred axes (REP-105), or the UTM grid."""
GEODETIC = "wgs84"
"""Frame id of geographic poses, whose coordinates are no frame of TF."""
MOST_POSITIONS = 100_000
"""Most keyframes that the middle of a map is taken of."""


def check_datum(settings: LocalizationNodeSettings, reference_map: AnyMap) -> None:
    """Raises GeodesyError where a map lacks the datum that parameters need, or is near a pole for UTM."""
    georeference = reference_map.georeference
    if georeference is None:
        for name, value, unset in (
            ("earth_tf", settings.earth_tf, "none"),
            ("gps_topic", settings.gps_topic, ""),
        ):
            if value != unset:
                raise GeodesyError(
                    f"The map {reference_map.path} has no datum, which {name} {value} needs: give the map a "
                    f"datum, or set {name} to {unset!r}."
                )
    elif settings.earth_tf == "utm":
        _on_grid(georeference, reference_map)


def _on_grid(georeference: Georeference, reference_map: AnyMap) -> tuple[Pose, UtmZone]:
    """Returns the pose of a map on the UTM grid, exact in the middle of its keyframes, and the zone.

    Without keyframes it is exact at the map's origin. Of a large map every n-th keyframe is looked at.
    """
    step = max(1, len(reference_map) // MOST_POSITIONS)
    positions = reference_map.T_map_camera[::step, :3, 3]
    return georeference.datum.T_utm_map(positions.mean(axis=0) if len(positions) else np.zeros(3))


class GeoPublisher:
    """Publishes the transform from the Earth to the map, and the robot's pose by latitude and longitude.

    The pose is published where the map has a datum; as geographic_msgs/GeoPoseStamped, too, where that
    package is installed.

    Args:
        reference_map: a map that `check_datum` accepts.
    """

    def __init__(
        self, node: Node, settings: LocalizationNodeSettings, reference_map: AnyMap, map_frame: str
    ) -> None:
        self._node, self._base_frame = node, settings.base_frame
        self._georeference = reference_map.georeference
        self._publishers: list[Any] = []
        if self._georeference is None:
            return
        self._fix = self._publisher(NavSatFix, "localization/nav_sat_fix", QoSProfile(depth=10))
        self._geo_pose = None
        if find_spec("geographic_msgs") is not None:
            kind = message_class(GEO_POSE)
            self._geo_pose = self._publisher(kind, "localization/geo_pose", QoSProfile(depth=10))
        if settings.earth_tf != "none":
            self._place_map(self._georeference, settings.earth_tf, reference_map, map_frame)

    def _publisher(self, kind: Any, topic: str, qos: QoSProfile) -> Any:
        publisher = self._node.create_publisher(kind, topic, qos)
        self._publishers.append(publisher)
        return publisher

    def _place_map(
        self, georeference: Georeference, earth_tf: str, reference_map: AnyMap, map_frame: str
    ) -> None:
        """Broadcasts the static transform of the map."""
        parent, T_parent_map = EARTH, georeference.datum.T_ecef_map
        if earth_tf == "utm":
            parent = UTM
            T_parent_map, zone = _on_grid(georeference, reference_map)
            self._node.get_logger().info(f"{UTM} to {map_frame} is of UTM zone {zone}.")
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        now_ns = self._node.get_clock().now().nanoseconds
        placed = transform_message(now_ns, parent, map_frame, T_parent_map)
        self._publisher(TFMessage, "/tf_static", latched).publish(TFMessage(transforms=[placed]))

    def publish(self, stamp_ns: int, T_map_base: Pose, covariance: NDArray[np.float64]) -> None:
        """Publishes a pose of the robot.

        Args:
            covariance: (6, 6) in the map, order x y z and rotations about the map's axes.
        """
        if self._georeference is None:
            return
        self._fix.publish(nav_sat_fix(stamp_ns, self._base_frame, self._georeference, T_map_base, covariance))
        if self._geo_pose is not None:
            self._geo_pose.publish(geo_pose(stamp_ns, self._georeference, T_map_base))

    def close(self) -> None:
        """Stops publishing."""
        for publisher in self._publishers:
            self._node.destroy_publisher(publisher)


def nav_sat_fix(
    stamp_ns: int,
    base_frame: str,
    georeference: Georeference,
    T_map_base: Pose,
    covariance: NDArray[np.float64],
) -> NavSatFix:
    """Returns the position of the robot, with its covariance in east, north, up.

    The uncertainty of the datum adds to that of the pose in the map, where the datum was fitted.
    """
    datum, at = georeference.datum, T_map_base[:3, 3]
    latitude, longitude, altitude = (float(value) for value in datum.geodetic_of(at))
    R_enu_map = datum.R_enu_map(at)
    of_position = R_enu_map @ covariance[:3, :3] @ R_enu_map.T
    if georeference.fit is not None:
        of_position = of_position + georeference.fit.covariance_enu(at)
    message = NavSatFix(latitude=latitude, longitude=longitude, altitude=altitude)
    message.header.stamp, message.header.frame_id = ns_to_stamp(stamp_ns), base_frame
    message.status.status = NavSatStatus.STATUS_FIX
    message.position_covariance = of_position.reshape(9)
    message.position_covariance_type = NavSatFix.COVARIANCE_TYPE_KNOWN
    return message


def geo_pose(stamp_ns: int, georeference: Georeference, T_map_base: Pose) -> Any:
    """Returns the geographic_msgs/GeoPoseStamped of the robot; its orientation is in east, north, up."""
    datum, at = georeference.datum, T_map_base[:3, 3]
    latitude, longitude, altitude = (float(value) for value in datum.geodetic_of(at))
    message = make_message(GEO_POSE)
    message.header.stamp, message.header.frame_id = ns_to_stamp(stamp_ns), GEODETIC
    position = message.pose.position
    position.latitude, position.longitude, position.altitude = latitude, longitude, altitude
    R_enu_base = datum.R_enu_map(at) @ T_map_base[:3, :3]
    message.pose.orientation = pose_to_message(make_pose(R_enu_base, np.zeros(3))).orientation
    return message
