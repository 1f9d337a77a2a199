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

"""Message types outside of ROS's own packages that are read from recordings without type definitions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rosbags.typesys import get_types_from_msg

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader

_LIVOX_PACKAGES = ("livox_ros_driver2", "livox_ros_driver", "livox_interfaces")

DEFINITIONS = {
    **{
        f"{package}/msg/CustomPoint": """
uint32 offset_time
float32 x
float32 y
float32 z
uint8 reflectivity
uint8 tag
uint8 line
"""
        for package in _LIVOX_PACKAGES
    },
    **{
        f"{package}/msg/CustomMsg": f"""
std_msgs/Header header
uint64 timebase
uint32 point_num
uint8 lidar_id
uint8[3] rsvd
{package}/CustomPoint[] points
"""
        for package in _LIVOX_PACKAGES
    },
    "geographic_msgs/msg/GeoPoint": """
float64 latitude
float64 longitude
float64 altitude
""",
    "geographic_msgs/msg/GeoPose": """
geographic_msgs/GeoPoint position
geometry_msgs/Quaternion orientation
""",
    "geographic_msgs/msg/GeoPoseStamped": """
std_msgs/Header header
geographic_msgs/GeoPose pose
""",
    "geographic_msgs/msg/GeoPoseWithCovariance": """
geographic_msgs/GeoPose pose
float64[36] covariance
""",
    "geographic_msgs/msg/GeoPoseWithCovarianceStamped": """
std_msgs/Header header
geographic_msgs/GeoPoseWithCovariance pose
""",
    "ffmpeg_image_transport_msgs/msg/FFMPEGPacket": """
std_msgs/Header header
int32 width
int32 height
string encoding
uint64 pts
uint8 flags
bool is_bigendian
uint8[] data
""",
    "foxglove_msgs/msg/CompressedVideo": """
builtin_interfaces/Time timestamp
string frame_id
uint8[] data
string format
""",
}
"""Fields by type, in the order in which they are serialized."""


def add_missing_types(reader: AnyReader) -> None:
    """Adds the types that a recording has messages of but no definition."""
    needed = {connection.msgtype.split("/")[0] for connection in reader.connections}
    for name, text in DEFINITIONS.items():
        if name.split("/")[0] in needed and name not in reader.typestore.fielddefs:
            reader.typestore.register(get_types_from_msg(text, name))
