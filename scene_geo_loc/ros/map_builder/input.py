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

"""Feeds a map builder with frames and scans of live messages, posed and in order of time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo, Image, LaserScan, NavSatFix, PointCloud2

from scene_geo_loc.geometry.pose import Pose, from_quaternion
from scene_geo_loc.geometry.rolling_shutter import ReadoutMotion
from scene_geo_loc.geometry.transform_tree import TransformTree, TransformUnavailable
from scene_geo_loc.ros.common.camera_input import CameraInput, StampOrder
from scene_geo_loc.ros.common.counters import BadMessage, BadReason, Counters, Event
from scene_geo_loc.ros.common.depth_input import DepthInput
from scene_geo_loc.ros.common.messages import stamp_to_ns
from scene_geo_loc.ros.common.pose_synchronizer import NotYet, PoseSynchronizer
from scene_geo_loc.ros.common.sensor_subscription import SensorSubscription
from scene_geo_loc.ros.common.transforms import TransformListener
from scene_geo_loc.ros.map_builder.live_sources import LiveSources
from scene_geo_loc.ros.map_builder.satellite_positions import Position, SatellitePositions
from scene_geo_loc.traversals.frame import Frame, Scan
from scene_geo_loc.traversals.messages.clouds import PointCloud, cloud_of, deskew, last_stamp_ns
from scene_geo_loc.traversals.messages.satellite import fix_of
from scene_geo_loc.traversals.messages.transforms import frame_name
from scene_geo_loc.traversals.sources import Role, summary_of

if TYPE_CHECKING:
    from rclpy.node import Node

    from scene_geo_loc.mapping.builder import MapBuilder
    from scene_geo_loc.ros.common.settings import MapBuilderNodeSettings

IMAGE_SHARE = 0.5
"""Share of the backlog that images may fill: the loss of a keyframe matters less than that of a scan."""
CACHE_S = 600.0
"""Poses are kept this long for messages that wait for the builder."""
IMAGE_DEPTH, SCAN_DEPTH, POSE_DEPTH = 50, 100, 1000
"""Messages that wait for the executor while the builder has the processor."""
DEPTH_IMAGES = 200
"""Limit on depth images that wait for their images."""
POSITION_BYTES = 200
"""Memory of a position that waits."""
IDLE_S = 0.02


@dataclass
class Sweep:
    """Message of a scan, and its points once they are decoded."""

    message: PointCloud2 | LaserScan
    cloud: PointCloud | None = None


class BuilderInput:
    """Subscriptions of map_builder_node, and the thread that feeds its builder.

    Args:
        on_defect: called with an unexpected exception of an image or scan; the thread continues.
        live_sources: counts what arrives.
        positions: receives the positions of `gps_topic`.

    Attributes:
        problem: sentence on what an image or scan last waited for and did not get, or "".
    """

    def __init__(
        self,
        node: Node,
        settings: MapBuilderNodeSettings,
        map_frame: str,
        builder: MapBuilder,
        counters: Counters,
        on_defect: Callable[[Exception], None],
        live_sources: LiveSources,
        positions: SatellitePositions,
    ) -> None:
        self.problem = ""
        self._node, self._settings, self._map_frame = node, settings, map_frame
        self._builder, self._counters, self._on_defect = builder, counters, on_defect
        self._live_sources, self._positions = live_sources, positions
        self._order = StampOrder()
        self._tree = TransformTree(CACHE_S)
        self._synchronizer: PoseSynchronizer[Any] = PoseSynchronizer(
            settings.pose_timeout, settings.backlog * 10**6
        )
        own = settings.pose_source != "tf"
        self._listener = TransformListener(
            node,
            self._tree,
            accept=self._accepts,
            on_invalid=lambda: counters.add(BadReason.INVALID_TRANSFORM),
        )
        self.camera = CameraInput(node, settings, self._on_image, IMAGE_DEPTH, self._on_info)
        live_sources.expect(Role.IMAGES, self.camera.image_topic, "image_topic")
        if not settings.calibration_file:
            live_sources.expect(Role.CAMERA, settings.camera_info_topic, "camera_info_topic")
        self._subscriptions: list[SensorSubscription] = []
        if own:
            kind = Odometry if settings.pose_source == "odometry" else PoseStamped
            live_sources.expect(Role.POSES, settings.pose_topic, "pose_topic")
            self._subscribe(kind, settings.pose_topic, self._on_pose, POSE_DEPTH)
        if settings.points_topic:
            live_sources.expect(Role.LIDAR, settings.points_topic, "points_topic")
            self._subscribe(PointCloud2, settings.points_topic, self._on_scan, SCAN_DEPTH)
        if settings.scan_topic:
            live_sources.expect(Role.LIDAR, settings.scan_topic, "scan_topic")
            self._subscribe(LaserScan, settings.scan_topic, self._on_scan, SCAN_DEPTH)
        if settings.depth_topic:
            live_sources.expect(Role.DEPTH, settings.depth_topic, "depth_topic")
        self._depths = DepthInput(node, settings, self._tree, DEPTH_IMAGES, IMAGE_DEPTH, self._on_depth)
        if settings.gps_topic:
            live_sources.expect(Role.SATELLITE, settings.gps_topic, "gps_topic")
            self._subscribe(NavSatFix, settings.gps_topic, self._on_fix, SCAN_DEPTH)
        self._closed, self._starts_over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._feed, name="builder", daemon=True)
        self._thread.start()

    def _subscribe(self, kind: Any, topic: str, callback: Callable[[Any], None], depth: int) -> None:
        reliability = self._settings.reliability
        self._subscriptions.append(SensorSubscription(self._node, kind, topic, callback, depth, reliability))

    def __len__(self) -> int:
        """Number of images and scans that wait."""
        return len(self._synchronizer)

    @property
    def size(self) -> int:
        """Bytes of the images and scans that wait."""
        return self._synchronizer.size

    def close(self) -> None:
        """Unsubscribes, and passes to the builder the waiting messages that have their poses."""
        for subscription in self._subscriptions:
            subscription.close()
        self._subscriptions = []
        self.camera.close()
        self._depths.close()
        self._listener.close()
        self._closed.set()
        self._thread.join()

    def on_clock_jump(self) -> None:
        """Drops all waiting messages, after the clock jumped back."""
        self._order.reset()
        self._start_over()

    def _start_over(self) -> None:
        self._starts_over.set()
        self._positions.clear()
        self._synchronizer.clear()
        self._depths.clear()
        self._tree.clear()

    # Messages, in the executor's threads.

    def _accepts(self, parent: str, child: str) -> bool:
        """Returns whether to take a transform: a topic of poses replaces those of the robot's base."""
        if self._settings.pose_source != "tf" and child == self._settings.base_frame:
            return False
        self._live_sources.add_transform(parent, child)
        return True

    def _on_info(self, message: CameraInfo) -> None:
        self._live_sources.add(self._settings.camera_info_topic, message)

    def _on_image(self, message: Any) -> None:
        self._counters.add(Event.RECEIVED)
        self._live_sources.add(self.camera.image_topic, message)
        stamp_ns = stamp_to_ns(message.header.stamp)
        try:
            if self._order.check(stamp_ns):
                self._start_over()
        except BadMessage as bad:
            self._counters.add_bad(bad)
            return
        if not self._synchronizer.add(stamp_ns, message, len(message.data), IMAGE_SHARE):
            self._counters.add(Event.DROPPED)

    def _on_scan(self, message: Any) -> None:
        self._counters.add(Event.SCAN_RECEIVED)
        is_line = isinstance(message, LaserScan)
        self._live_sources.add(self._settings.scan_topic if is_line else self._settings.points_topic, message)
        if self._builder.pass_over_scan():
            return
        # A beam is a range and an intensity.
        size = 8 * len(message.ranges) if is_line else len(message.data)
        if not self._synchronizer.add(stamp_to_ns(message.header.stamp), Sweep(message), size):
            self._counters.add(Event.DROPPED)

    def _on_fix(self, message: NavSatFix) -> None:
        topic = self._settings.gps_topic
        self._live_sources.add(topic, message)
        stamp_ns, frame = stamp_to_ns(message.header.stamp), frame_name(message.header.frame_id)
        try:
            position = Position(stamp_ns, frame, fix_of(message))
        except ValueError as error:
            self._counters.add_bad(BadMessage(BadReason.SATELLITE, f"{topic}: {error}"))
            return
        if not self._synchronizer.add(stamp_ns, position, POSITION_BYTES):
            self._counters.add(Event.DROPPED)

    def _on_depth(self, message: Image) -> None:
        self._live_sources.add(self._settings.depth_topic, message)

    def _on_pose(self, message: Any) -> None:
        self._live_sources.add(self._settings.pose_topic, message)
        # An Odometry's pose has a covariance around it.
        pose = message.pose if isinstance(message, PoseStamped) else message.pose.pose
        t, q = pose.position, pose.orientation
        stamp_ns = stamp_to_ns(message.header.stamp)
        frames = (self._map_frame, self._settings.base_frame)
        if not self._tree.add(*frames, stamp_ns, (t.x, t.y, t.z), (q.x, q.y, q.z, q.w)):
            self._counters.add(BadReason.INVALID_POSE)

    # Frames and scans, in the builder's thread.

    def _feed(self) -> None:
        while True:
            drain = self._closed.is_set()
            try:
                if self._starts_over.is_set():
                    self._starts_over.clear()
                    self._builder.start_over()
                took = self._synchronizer.take(self._use, self._on_timeout, drain)
            except Exception as error:  # one bad message must not end the node
                self._on_defect(error)
                took = False
            if not took:
                if drain:
                    return
                self._closed.wait(IDLE_S)

    def _use(self, item: Any) -> None:
        if isinstance(item, Sweep):
            self._use_scan(item)
        elif isinstance(item, Position):
            self._use_position(item)
        else:
            self._use_image(item)

    def _use_position(self, position: Position) -> None:
        """Keeps a position with the pose of its antenna; without one on TF, with that of the robot."""
        frame = position.frame
        if not self._tree.connects(self._map_frame, frame):
            frame = self._settings.base_frame
        self._positions.add(position, self._lookup(frame, position.stamp_ns))

    def _use_scan(self, sweep: Sweep, is_last_chance: bool = False) -> None:
        """Gives the builder the points of a sweep at times of known poses, as the reader of a recording does.

        Raises NotYet where the pose at the sweep's last point is unknown, unless it is the last chance.
        """
        message = sweep.message
        if sweep.cloud is None:
            try:
                sweep.cloud = cloud_of(message)
            except ValueError:
                self._counters.add(BadReason.UNDECODABLE_SCAN)
                return
        if len(sweep.cloud) == 0:
            self._counters.add(BadReason.EMPTY_SCAN)
            return
        stamp_ns = stamp_to_ns(message.header.stamp)
        frame = frame_name(message.header.frame_id)
        if not is_last_chance:
            self._lookup(frame, last_stamp_ns(sweep.cloud, stamp_ns))
        points = deskew(sweep.cloud, stamp_ns, partial(self._tree.lookup_many, self._map_frame, frame))
        if len(points) == 0:
            self._counters.add(BadReason.SCAN_TIMED_OUT)
            return
        self._builder.add_scan(Scan(stamp_ns, points))

    def _use_image(self, message: Any) -> None:
        stamp_ns = stamp_to_ns(message.header.stamp)
        camera_frame = self.camera.frame_id(message, self._tree)
        T_map_camera = self._T_map_camera(camera_frame, stamp_ns)
        self._keep_chain(camera_frame)
        if self._builder.pass_over(stamp_ns, T_map_camera):
            return
        depth_message = self._depths.take(stamp_ns)
        if self._depths and depth_message is None:
            raise NotYet(f"No depth image on {self._depths.topic} has the stamp of the image.")
        try:
            image, camera = self.camera.decode(message)
            depth = None
            if depth_message is not None:
                frames = (frame_name(message.header.frame_id), camera_frame)
                depth = self._depths.decode(depth_message, camera, frames)
        except BadMessage as bad:
            self._counters.add_bad(bad)
            return
        motion = None
        if camera.readout_s:
            T_map_last = self._T_map_camera(camera_frame, stamp_ns + round(camera.readout_s * 1e9))
            motion = ReadoutMotion.of(T_map_camera, T_map_last, by_odometry=False)
        self._depths.drop_until(stamp_ns)
        self._builder.add_frame(Frame(stamp_ns, image, camera, T_map_camera, depth, readout_motion=motion))
        self.problem = ""

    def _on_timeout(self, item: Any, reason: str) -> None:
        self.problem = reason
        if isinstance(item, Sweep):
            self._use_scan(item, is_last_chance=True)
        elif not isinstance(item, Position):
            self._counters.add(BadReason.IMAGE_TIMED_OUT)

    def _T_map_camera(self, camera_frame: str, stamp_ns: int) -> Pose:
        mounting = self._settings.base_T_camera
        if mounting:
            T_map_base = self._lookup(self._settings.base_frame, stamp_ns)
            return T_map_base @ from_quaternion(mounting[:3], mounting[3:])
        return self._lookup(camera_frame, stamp_ns)

    def _keep_chain(self, camera_frame: str) -> None:
        """Keeps through which frames the camera has its poses; logs the sources with the first one."""
        has_mounting = bool(self._settings.base_T_camera)
        ends = (self._map_frame, self._settings.base_frame if has_mounting else camera_frame)
        chain = [*self._tree.chain(*ends), *([camera_frame] if has_mounting else [])]
        if self._live_sources.place_camera(chain, self._tree.moving_between(*ends)):
            self._node.get_logger().info(f"Building from {summary_of(self._live_sources.sources())}.")

    def _lookup(self, frame: str, stamp_ns: int) -> Pose:
        try:
            return self._tree.lookup(self._map_frame, frame, stamp_ns)
        except TransformUnavailable as unavailable:
            raise NotYet(str(unavailable), unavailable.may_come) from unavailable
