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

"""Publishes the map and the evidence of each pose for RViz and Foxglove, where somebody listens."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
from geometry_msgs.msg import PointStamped
from numpy.typing import NDArray
from rclpy.clock import Clock, ClockType
from rclpy.qos import DurabilityPolicy, QoSProfile

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.geometry.pose import inverse
from scene_geo_loc.geometry.transform_tree import TransformUnavailable
from scene_geo_loc.localization.match_picture import match_picture
from scene_geo_loc.localization.uncertainty.covariance import move_covariance
from scene_geo_loc.localization.view.messages import (
    CANDIDATES,
    KEYFRAME_VIEWS,
    KEYFRAMES,
    LATCHED,
    MATCH_LINES,
    MATCHES,
    PATH,
    PICTURE,
    PICTURE_JPEG,
    POSITION,
    SELECTED,
    THUMBNAIL,
    TOPICS,
    ViewMessages,
)
from scene_geo_loc.localization.view.scene import PosePath, nearest_keyframe, position_ellipsoid
from scene_geo_loc.ros.common.messages import make_message, message_class, stamp_to_ns

if TYPE_CHECKING:
    from rclpy.node import Node

    from scene_geo_loc.localization.session import Answer
    from scene_geo_loc.mapping.reference_map import AnyMap
    from scene_geo_loc.ros.localization.inputs.robot_transforms import RobotTransforms

PATH_LENGTH = 1000
"""Number of poses of the path, the last ones."""


class ViewPublisher:
    """Publishes the views of `localization.view`; those without a subscriber are not made.

    What belongs to the map, and the path, is published from the executor's thread, within a second after
    somebody subscribes.  What belongs to an image is published with it, from the worker's thread.
    """

    def __init__(
        self, node: Node, reference_map: AnyMap, map_frame: str, transforms: RobotTransforms
    ) -> None:
        self._node, self._map, self._map_frame, self._transforms = node, reference_map, map_frame, transforms
        self._messages = ViewMessages(make_message, reference_map, map_frame)
        self._publishers = {
            topic: node.create_publisher(message_class(kind), topic, _qos(topic))
            for topic, kind in TOPICS.items()
        }
        self._path = PosePath(PATH_LENGTH)
        self._lock = threading.Lock()
        self._published: set[str] = set()
        self._clicks = node.create_subscription(PointStamped, "clicked_point", self._on_click, 1)
        # Of wall time: a simulated clock may stand still.
        self._timer = node.create_timer(
            1.0, self._publish_latched, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def show(self, stamp_ns: int, camera_frame: str, image: NDArray[np.uint8], answer: Answer) -> None:
        """Publishes the evidence of an image (H, W, 3), and adds its pose to the path."""
        estimate, messages = answer.estimate, self._messages
        if self._is_wanted(CANDIDATES):
            self._publish(CANDIDATES, messages.candidates(stamp_ns, estimate))
        if self._is_wanted(MATCHES):
            self._publish(MATCHES, messages.matches(stamp_ns, estimate))
        if self._is_wanted(MATCH_LINES):
            self._publish(MATCH_LINES, messages.match_lines(stamp_ns, estimate))
        if self._is_wanted(PICTURE) or self._is_wanted(PICTURE_JPEG):
            picture = match_picture(image, estimate, self._map)
            if self._is_wanted(PICTURE):
                self._publish(PICTURE, messages.image(stamp_ns, picture, camera_frame))
            if self._is_wanted(PICTURE_JPEG):
                self._publish(PICTURE_JPEG, messages.jpeg(stamp_ns, picture, camera_frame))
        T_map_base, covariance = self._pose_of_base(stamp_ns, camera_frame, answer)
        if T_map_base is not None:
            with self._lock:
                if self._path.add(stamp_ns, T_map_base):
                    self._published.discard(PATH)
        if self._is_wanted(POSITION):
            known = T_map_base is not None and covariance is not None
            ellipsoid = position_ellipsoid(T_map_base, covariance) if known else None
            self._publish(POSITION, messages.ellipsoid(stamp_ns, ellipsoid))

    def _pose_of_base(self, stamp_ns: int, camera_frame: str, answer: Answer) -> tuple[Any, Any]:
        """Returns pose and covariance of `base_frame`; None where there is no pose or no mounting."""
        pose = answer.pose
        if not pose.status.has_pose or pose.T_map_base is None or pose.covariance is None:
            return None, None
        try:
            T_base_camera = self._transforms.base_T_camera(camera_frame, stamp_ns)
        except TransformUnavailable:
            return None, None
        T_map_base = pose.T_map_base @ inverse(T_base_camera)
        return T_map_base, move_covariance(pose.covariance, T_map_base[:3, 3] - pose.T_map_base[:3, 3])

    def _publish_latched(self) -> None:
        """Publishes what somebody listens to and was not published since it changed."""
        now_ns = self._node.get_clock().now().nanoseconds
        for topic in LATCHED:
            if topic in self._published or not self._is_wanted(topic):
                continue
            with self._lock:
                self._published.add(topic)
                poses = list(self._path.poses)
            if topic == KEYFRAMES:
                self._publish(topic, self._messages.keyframes(now_ns))
            elif topic == KEYFRAME_VIEWS:
                self._publish(topic, self._messages.keyframe_views(now_ns))
            else:
                self._publish(topic, self._messages.path(poses[-1][0] if poses else now_ns, poses))

    def _on_click(self, point: PointStamped) -> None:
        """Publishes the keyframe nearest to a point that somebody clicked on, and its picture."""
        if not (self._is_wanted(SELECTED) or self._is_wanted(THUMBNAIL)):
            return
        xyz = np.array([point.point.x, point.point.y, point.point.z])
        log = self._node.get_logger()
        if point.header.frame_id != self._map_frame or not np.isfinite(xyz).all():
            log.warning(
                f"Rejected clicked_point {xyz} in the frame {point.header.frame_id!r}: a keyframe is "
                f"selected by a finite point in {self._map_frame!r}; make it the viewer's fixed frame."
            )
            return
        keyframe = nearest_keyframe(self._map, xyz)
        if keyframe is None:
            return
        stamp_ns = stamp_to_ns(point.header.stamp)
        self._publish(SELECTED, self._messages.selected(stamp_ns, keyframe))
        try:
            self._publish(THUMBNAIL, self._messages.image(stamp_ns, self._map.thumbnail(keyframe)))
        except MapError as error:
            log.warning(str(error))

    def exchange_map(self, reference_map: AnyMap) -> None:
        """Goes on with a new version of the map; the path stays."""
        with self._lock:
            self._map = reference_map
            self._messages = ViewMessages(make_message, reference_map, self._map_frame)
            self._published -= {KEYFRAMES, KEYFRAME_VIEWS}

    def forget(self) -> None:
        """Starts a new path."""
        with self._lock:
            self._path.poses.clear()
            self._published.discard(PATH)

    def _is_wanted(self, topic: str) -> bool:
        return self._publishers[topic].get_subscription_count() > 0

    def _publish(self, topic: str, message: Any) -> None:
        self._publishers[topic].publish(message)

    def close(self) -> None:
        """Stops publishing."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_subscription(self._clicks)
        for publisher in self._publishers.values():
            self._node.destroy_publisher(publisher)


def _qos(topic: str) -> QoSProfile:
    if topic in LATCHED:
        return QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    return QoSProfile(depth=1)
