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

"""Publishes poses of the robot in the map, on topics and on TF."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from numpy.typing import NDArray
from rclpy.qos import DurabilityPolicy, QoSProfile

from scene_geo_loc.geometry.pose import Pose, inverse
from scene_geo_loc.geometry.transform_tree import TransformUnavailable
from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.localization.uncertainty.covariance import move_covariance
from scene_geo_loc.ros.common.messages import pose_stamped, pose_with_covariance
from scene_geo_loc.ros.common.transforms import TransformBroadcaster

if TYPE_CHECKING:
    from rclpy.node import Node

    from scene_geo_loc.localization.session import Answer
    from scene_geo_loc.ros.common.settings import LocalizationNodeSettings
    from scene_geo_loc.ros.localization.inputs.robot_transforms import RobotTransforms
    from scene_geo_loc.ros.localization.outputs.geo_publisher import GeoPublisher


class PosePublisher:
    """Publishes the pose of `base_frame` in the map: as measured, as tracked, the latest one, and as TF.

    Measured poses rest on an image alone, so that a filter that also fuses odometry counts it once.  Tracked
    ones, with `tracking` only, are fused with odometry.

    Attributes:
        problem: sentence on the last transform that was missing, or "" where none was.
        broadcaster: of map -> odom or map -> base; None without TF.
    """

    def __init__(
        self,
        node: Node,
        settings: Callable[[], LocalizationNodeSettings],
        map_frame: str,
        transforms: RobotTransforms,
        geo: GeoPublisher,
    ) -> None:
        self.problem = ""
        self._geo = geo
        self._node, self._settings, self._map_frame, self._transforms = node, settings, map_frame, transforms
        self._measured = _PoseTopics(node, "localization", map_frame)
        self._tracked = _PoseTopics(node, "localization/tracked", map_frame) if settings().tracking else None
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._latest = node.create_publisher(PoseWithCovarianceStamped, "localization/latest_pose", latched)
        child = {"map_to_odom": settings().odom_frame, "map_to_base": settings().base_frame}.get(
            settings().publish_tf
        )
        self.broadcaster = TransformBroadcaster(node, map_frame, child) if child else None
        self._T_map_odom: Pose | None = None
        self._lock = threading.Lock()

    def publish(self, stamp_ns: int, camera_frame: str, answer: Answer) -> bool:
        """Publishes the pose of one image; returns False where the camera's mounting is unknown.

        Args:
            stamp_ns: the image's stamp.
            answer: pose of the camera, which has one.
        """
        try:
            T_base_camera = self._transforms.base_T_camera(camera_frame, stamp_ns)
        except TransformUnavailable as unavailable:
            self.problem = (
                f"{unavailable} Poses are withheld; publish the mounting on TF or set base_T_camera, and set "
                "base_frame to a frame of the robot."
            )
            return False
        pose, estimate = answer.pose, answer.estimate
        T_map_base, covariance = _of_base(pose.T_map_base, pose.covariance, T_base_camera)
        if pose.status is Status.LOCALIZED:
            measured = _of_base(estimate.T_map_base, estimate.covariance, T_base_camera)
            self._measured.publish(stamp_ns, *measured)
        if self._tracked is not None:
            self._tracked.publish(stamp_ns, T_map_base, covariance)
        self._latest.publish(pose_with_covariance(stamp_ns, self._map_frame, T_map_base, covariance))
        self._geo.publish(stamp_ns, T_map_base, covariance)
        self.problem = ""
        if self._settings().publish_tf == "map_to_base" and self.broadcaster is not None:
            self.broadcaster.send(stamp_ns, T_map_base)
        elif self._settings().publish_tf == "map_to_odom":
            self._correct_odometry(stamp_ns, T_map_base)
        return True

    def _correct_odometry(self, stamp_ns: int, T_map_base: Pose) -> None:
        """Sends map -> odom (REP-105), which takes odometry's pose of the robot to the estimated one."""
        assert self.broadcaster is not None
        try:
            T_odom_base = self._transforms.odom_T_base(stamp_ns)
        except TransformUnavailable as unavailable:
            self.problem = (
                f"{unavailable} {self._map_frame} to {self._settings().odom_frame} is unknown; "
                "without odometry set publish_tf to map_to_base or none."
            )
            return
        with self._lock:
            self._T_map_odom = T_map_base @ inverse(T_odom_base)
            self.broadcaster.send(stamp_ns + self._tolerance_ns, self._T_map_odom)
            newest = self.broadcaster.newest_ns
        # Transforms that were sent since the image was taken have later stamps, and listeners would use them.
        if newest is not None and newest > stamp_ns + self._tolerance_ns:
            self.repeat()

    def repeat(self) -> None:
        """Sends the last map -> odom again with the present time, so that it does not expire."""
        with self._lock:
            if self._T_map_odom is None or self.broadcaster is None:
                return
            now_ns = self._node.get_clock().now().nanoseconds
            self.broadcaster.send(now_ns + self._tolerance_ns, self._T_map_odom)

    @property
    def _tolerance_ns(self) -> int:
        return int(self._settings().transform_tolerance * 1e9)

    def forget(self) -> None:
        """Withholds map -> odom until the next pose."""
        with self._lock:
            self._T_map_odom = None
            self.problem = ""
            if self.broadcaster is not None:
                self.broadcaster.reset()

    def close(self) -> None:
        """Stops publishing."""
        self._measured.close()
        if self._tracked is not None:
            self._tracked.close()
        self._node.destroy_publisher(self._latest)
        if self.broadcaster is not None:
            self.broadcaster.close()


class _PoseTopics:
    """Topics `PREFIX/pose` and `PREFIX/pose_with_covariance`."""

    def __init__(self, node: Node, prefix: str, map_frame: str) -> None:
        self._node, self._map_frame = node, map_frame
        self._pose = node.create_publisher(PoseStamped, f"{prefix}/pose", 10)
        self._pose_with_covariance = node.create_publisher(
            PoseWithCovarianceStamped, f"{prefix}/pose_with_covariance", 10
        )

    def publish(self, stamp_ns: int, T_map_base: Pose, covariance: NDArray[np.float64]) -> None:
        self._pose.publish(pose_stamped(stamp_ns, self._map_frame, T_map_base))
        self._pose_with_covariance.publish(
            pose_with_covariance(stamp_ns, self._map_frame, T_map_base, covariance)
        )

    def close(self) -> None:
        self._node.destroy_publisher(self._pose)
        self._node.destroy_publisher(self._pose_with_covariance)


def _of_base(
    T_map_camera: Pose | None, covariance: NDArray[np.float64] | None, T_base_camera: Pose
) -> tuple[Pose, NDArray[np.float64]]:
    """Returns pose and covariance (6, 6) of the robot, from those of its camera.

    The covariance is of x y z and rotations about the map's axes.
    """
    assert T_map_camera is not None
    assert covariance is not None
    T_map_base = T_map_camera @ inverse(T_base_camera)
    return T_map_base, move_covariance(covariance, T_map_base[:3, 3] - T_map_camera[:3, 3])
