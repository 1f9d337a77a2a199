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

"""ROS messages from and to numpy arrays.

Images, clouds and camera intrinsics are read by the functions of `traversals`, which take messages of rclpy
and of bags alike.
"""

from __future__ import annotations

import array
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.pose import Pose, from_quaternion, to_quaternion
from scene_geo_loc.geometry.pose_series import MAX_TRANSLATION_M
from scene_geo_loc.traversals.messages.camera_info import camera_info_fields

if TYPE_CHECKING:
    from builtin_interfaces.msg import Time
    from geometry_msgs.msg import Pose as PoseMessage
    from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped, Transform, TransformStamped
    from sensor_msgs.msg import CameraInfo, Image

    from scene_geo_loc.geometry.camera import Camera


@cache
def message_class(kind: str) -> Any:
    """Returns the class of a message type, `package/msg/Name`."""
    package, _, name = kind.split("/")
    return getattr(import_module(f"{package}.msg"), name)


def make_message(kind: str, **fields: Any) -> Any:
    """Returns a message of a type with the given fields, of which bytes may be numpy arrays."""
    data = fields.get("data")
    if isinstance(data, np.ndarray):
        fields["data"] = _bytes_of(data)
    return message_class(kind)(**fields)


def _bytes_of(data: NDArray[np.uint8]) -> array.array[int]:
    # rclpy copies an array('B') at once, but checks an ndarray number by number (184 ms for 3.7 MB).
    copied = array.array("B")
    copied.frombytes(np.ascontiguousarray(data, np.uint8).data.cast("B"))
    return copied


def stamp_to_ns(stamp: Time) -> int:
    """Returns a stamp in integer nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def ns_to_stamp(stamp_ns: int) -> Time:
    """Returns the stamp of integer nanoseconds; before 1970 its seconds are negative."""
    from builtin_interfaces.msg import Time

    seconds, nanoseconds = divmod(int(stamp_ns), 1_000_000_000)
    return Time(sec=seconds, nanosec=nanoseconds)


def pose_from_message(pose: PoseMessage) -> Pose:
    """Returns a 4x4 pose. Raises ValueError where the numbers are not finite or no unit quaternion."""
    return _rigid(pose.position, pose.orientation)


def pose_from_transform(transform: Transform) -> Pose:
    """Returns a 4x4 pose. Raises ValueError where the numbers are not finite or no unit quaternion."""
    return _rigid(transform.translation, transform.rotation)


def _rigid(t: Any, q: Any) -> Pose:
    quaternion = (q.x, q.y, q.z, q.w)
    if not abs(np.linalg.norm(quaternion) - 1.0) < 0.01:
        raise ValueError("the quaternion is not of unit length")
    if not max(abs(t.x), abs(t.y), abs(t.z)) <= MAX_TRANSLATION_M:
        raise ValueError(f"its position is not finite or beyond {MAX_TRANSLATION_M:g} m")
    return from_quaternion((t.x, t.y, t.z), quaternion)


def pose_to_message(T: Pose) -> PoseMessage:
    """Returns the geometry_msgs/Pose of a 4x4 pose."""
    from geometry_msgs.msg import Point, Quaternion
    from geometry_msgs.msg import Pose as PoseMessage

    x, y, z, w = (float(value) for value in to_quaternion(T))
    return PoseMessage(position=Point(**_xyz(T)), orientation=Quaternion(x=x, y=y, z=z, w=w))


def _xyz(T: Pose) -> dict[str, float]:
    return dict(zip("xyz", (float(value) for value in T[:3, 3]), strict=True))


def pose_stamped(stamp_ns: int, frame_id: str, T: Pose) -> PoseStamped:
    """Returns the geometry_msgs/PoseStamped of a 4x4 pose."""
    from geometry_msgs.msg import PoseStamped

    message = PoseStamped(pose=pose_to_message(T))
    message.header.stamp, message.header.frame_id = ns_to_stamp(stamp_ns), frame_id
    return message


def pose_with_covariance(
    stamp_ns: int, frame_id: str, T: Pose, covariance: NDArray[np.float64]
) -> PoseWithCovarianceStamped:
    """Returns a geometry_msgs/PoseWithCovarianceStamped; covariance (6, 6): x, y, z, rotations about them."""
    from geometry_msgs.msg import PoseWithCovarianceStamped

    message = PoseWithCovarianceStamped()
    message.header.stamp, message.header.frame_id = ns_to_stamp(stamp_ns), frame_id
    message.pose.pose = pose_to_message(T)
    message.pose.covariance = np.asarray(covariance, np.float64).reshape(36)
    return message


def transform_message(stamp_ns: int, parent: str, child: str, T_parent_child: Pose) -> TransformStamped:
    """Returns the geometry_msgs/TransformStamped of the pose of `child` in `parent`."""
    from geometry_msgs.msg import Quaternion, TransformStamped, Vector3

    message = TransformStamped(child_frame_id=child)
    message.header.stamp, message.header.frame_id = ns_to_stamp(stamp_ns), parent
    x, y, z, w = (float(value) for value in to_quaternion(T_parent_child))
    message.transform.translation = Vector3(**_xyz(T_parent_child))
    message.transform.rotation = Quaternion(x=x, y=y, z=z, w=w)
    return message


def image_message(stamp_ns: int, frame_id: str, rgb: NDArray[np.uint8]) -> Image:
    """Returns the sensor_msgs/Image, rgb8, of an (H, W, 3) image."""
    from sensor_msgs.msg import Image

    height, width = rgb.shape[:2]
    message = Image(height=height, width=width, encoding="rgb8", step=3 * width)
    message.header.stamp, message.header.frame_id = ns_to_stamp(stamp_ns), frame_id
    message.data = _bytes_of(rgb)
    return message


def camera_info_message(stamp_ns: int, frame_id: str, camera: Camera) -> CameraInfo:
    """Returns the sensor_msgs/CameraInfo of a camera."""
    from sensor_msgs.msg import CameraInfo

    fields = camera_info_fields(camera)
    message = CameraInfo(**fields | {"d": fields["d"].tolist()})
    message.header.stamp, message.header.frame_id = ns_to_stamp(stamp_ns), frame_id
    return message
