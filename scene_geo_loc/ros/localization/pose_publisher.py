"""Turns the localizer's camera poses into poses of the robot and into map -> odom."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from numpy.typing import NDArray

from scene_geo_loc.geometry.pose import Pose, from_quaternion, inverse
from scene_geo_loc.geometry.transform_tree import TransformTree, TransformUnavailable
from scene_geo_loc.localization.covariance import move_covariance
from scene_geo_loc.ros.common.messages import pose_stamped, pose_with_covariance
from scene_geo_loc.ros.common.transforms import TransformBroadcaster

if TYPE_CHECKING:
    from rclpy.lifecycle import LifecycleNode

    from scene_geo_loc.ros.common.settings import LocalizationNodeSettings

TOGETHER_NS = 5_000_000
"""Images no further apart than this were taken at once, whatever moves."""


class FixPublisher:
    """Publishes pose estimates, measured or dead-reckoned, as poses of `base_frame` in the map, and as TF.

    Attributes:
        problem: the sentence of the last transform that was missing, or "" where none was.
    """

    def __init__(
        self, node: LifecycleNode, settings: LocalizationNodeSettings, map_frame: str, tree: TransformTree
    ) -> None:
        self.settings = settings
        self.problem = ""
        self._node, self._map_frame, self._tree = node, map_frame, tree
        self._pose = node.create_publisher(PoseStamped, "localization/pose", 10)
        self._pose_with_covariance = node.create_publisher(
            PoseWithCovarianceStamped, "localization/pose_with_covariance", 10
        )
        child = {"map_to_odom": settings.odom_frame, "map_to_base": settings.base_frame}.get(
            settings.publish_tf
        )
        self._broadcaster = TransformBroadcaster(node, map_frame, child) if child else None
        self._T_map_odom: Pose | None = None
        self._lock = threading.Lock()

    def base_T_camera(self, camera_frame: str, stamp_ns: int) -> Pose:
        """The camera's mounting, from the parameter or from TF. Raises TransformUnavailable."""
        given = self.settings.base_T_camera
        if given:
            return from_quaternion(given[:3], given[3:])
        return self._tree.wait(
            self.settings.base_frame, camera_frame, stamp_ns, self.settings.transform_timeout
        )

    def odom_T_camera(self, camera_frame: str, stamp_ns: int) -> Pose | None:
        """The camera's pose by odometry, or None where TF does not tell."""
        settings = self.settings
        try:
            T_odom_base = self._tree.wait(
                settings.odom_frame, settings.base_frame, stamp_ns, settings.transform_timeout
            )
            return T_odom_base @ self.base_T_camera(camera_frame, stamp_ns)
        except TransformUnavailable:
            return None

    def camera_T_other(self, camera_frame: str, stamp_ns: int, other_frame: str, other_stamp_ns: int) -> Pose:
        """The pose of another camera at its own time, in the frame of a camera at that one's.

        What the robot moved in between is taken from odometry.  Raises TransformUnavailable.
        """
        settings, timeout_s = self.settings, self.settings.transform_timeout
        mounting = self.base_T_camera(camera_frame, stamp_ns)
        other = self._tree.wait(settings.base_frame, other_frame, other_stamp_ns, timeout_s)
        if abs(other_stamp_ns - stamp_ns) > TOGETHER_NS:
            before, after = (
                self._tree.wait(settings.odom_frame, settings.base_frame, at_ns, timeout_s)
                for at_ns in (stamp_ns, other_stamp_ns)
            )
            other = inverse(before) @ after @ other
        return inverse(mounting) @ other

    def publish(
        self, stamp_ns: int, camera_frame: str, T_map_camera: Pose, covariance: NDArray[np.float64]
    ) -> bool:
        """Publishes one fix; returns whether the robot's pose could be told.

        Args:
            stamp_ns: the image's stamp.
            covariance: (6, 6) of the camera's pose, order x y z and rotations about the map's axes.
        """
        try:
            T_base_camera = self.base_T_camera(camera_frame, stamp_ns)
        except TransformUnavailable as unavailable:
            self.problem = f"{unavailable} Poses are withheld; give the mounting on TF or as base_T_camera."
            return False
        T_map_base = T_map_camera @ inverse(T_base_camera)
        covariance = move_covariance(covariance, T_map_base[:3, 3] - T_map_camera[:3, 3])
        self._pose.publish(pose_stamped(stamp_ns, self._map_frame, T_map_base))
        self._pose_with_covariance.publish(
            pose_with_covariance(stamp_ns, self._map_frame, T_map_base, covariance)
        )
        self.problem = ""
        if self.settings.publish_tf == "map_to_base" and self._broadcaster is not None:
            self._broadcaster.send(stamp_ns, T_map_base)
        elif self.settings.publish_tf == "map_to_odom":
            self._correct_odometry(stamp_ns, T_map_base)
        return True

    def _correct_odometry(self, stamp_ns: int, T_map_base: Pose) -> None:
        """Map -> odom is what takes odometry's pose of the robot at the image's stamp to the fix, REP-105."""
        assert self._broadcaster is not None
        settings = self.settings
        try:
            T_odom_base = self._tree.wait(
                settings.odom_frame, settings.base_frame, stamp_ns, settings.transform_timeout
            )
        except TransformUnavailable as unavailable:
            self.problem = (
                f"{unavailable} {self._map_frame} to {settings.odom_frame} cannot be told; "
                "without odometry set publish_tf to map_to_base or none."
            )
            return
        with self._lock:
            self._T_map_odom = T_map_base @ inverse(T_odom_base)
            self._broadcaster.send(stamp_ns + self._tolerance_ns, self._T_map_odom)
            newest = self._broadcaster.newest_ns
        # What was sent since the image was taken is dated later, and listeners would go on using it.
        if newest is not None and newest > stamp_ns + self._tolerance_ns:
            self.repeat()

    def repeat(self) -> None:
        """Sends the last map -> odom again, dated now, so that it does not run out between fixes."""
        with self._lock:
            if self._T_map_odom is None or self._broadcaster is None:
                return
            now_ns = self._node.get_clock().now().nanoseconds
            self._broadcaster.send(now_ns + self._tolerance_ns, self._T_map_odom)

    @property
    def _tolerance_ns(self) -> int:
        return int(self.settings.transform_tolerance * 1e9)

    def forget(self) -> None:
        """Withholds map -> odom until the next fix."""
        with self._lock:
            self._T_map_odom = None
            self.problem = ""
            if self._broadcaster is not None:
                self._broadcaster.reset()

    def close(self) -> None:
        """Stops publishing."""
        self._node.destroy_publisher(self._pose)
        self._node.destroy_publisher(self._pose_with_covariance)
        if self._broadcaster is not None:
            self._broadcaster.close()
