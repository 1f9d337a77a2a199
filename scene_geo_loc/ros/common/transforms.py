"""The transform tree of a running robot: what tf2_ros does, over the topics alone.

`/tf` and `/tf_static` are all there is to TF.  tf2_ros reads them in Python, too, so where it is installed
it would be no faster than this, and where it is not (it is not on PyPI) this is the same.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from scene_geo_loc.geometry.pose import Pose, interpolate, inverse
from scene_geo_loc.ros.common.messages import pose_from_transform, stamp_to_ns, transform_message

if TYPE_CHECKING:
    from geometry_msgs.msg import TransformStamped
    from rclpy.node import Node
    from tf2_msgs.msg import TFMessage

MAX_GAP_NS = 1_000_000_000
"""Between transforms further apart than this a straight line would be a guess."""


MAX_LAG_NS = 5_000_000_000
"""A transform that is further behind than this is not about to come."""


class TransformUnavailable(Exception):
    """A transform is not known at a time; the message is a sentence for the user.

    Attributes:
        may_come: whether it is a little newer than the newest one, so that waiting makes sense.
    """

    def __init__(self, sentence: str, may_come: bool = False) -> None:
        super().__init__(sentence)
        self.may_come = may_come


@dataclass
class _Edge:
    """The poses of a frame in its parent, by time; a static one has a single pose and no stamps."""

    parent: str
    static: bool
    stamps: list[int] = field(default_factory=list)
    poses: list[Pose] = field(default_factory=list)


class TransformBuffer:
    """A tree of frames with the poses of the last seconds; safe to use from several threads.

    Args:
        cache_s: how long transforms are kept.
    """

    def __init__(self, cache_s: float = 30.0) -> None:
        self._cache_ns = int(cache_s * 1e9)
        self._edges: dict[str, _Edge] = {}
        self._changed = threading.Condition()

    def add(self, parent: str, child: str, stamp_ns: int, T_parent_child: Pose, static: bool = False) -> None:
        """Takes in one transform; of those with one stamp the last given stays."""
        with self._changed:
            edge = self._edges.get(child)
            if edge is None or edge.parent != parent or edge.static != static:
                edge = self._edges[child] = _Edge(parent, static)
            if static:
                edge.poses = [T_parent_child]
            else:
                at = bisect_left(edge.stamps, stamp_ns)
                if at < len(edge.stamps) and edge.stamps[at] == stamp_ns:
                    edge.poses[at] = T_parent_child
                else:
                    edge.stamps.insert(at, stamp_ns)
                    edge.poses.insert(at, T_parent_child)
                old = bisect_left(edge.stamps, edge.stamps[-1] - self._cache_ns)
                del edge.stamps[:old], edge.poses[:old]
            self._changed.notify_all()

    def clear(self) -> None:
        """Forgets all that depends on time; static transforms stay."""
        with self._changed:
            self._edges = {child: edge for child, edge in self._edges.items() if edge.static}

    def lookup(self, target: str, source: str, stamp_ns: int) -> Pose:
        """`T_target_source` at a stamp, interpolated between the transforms before and after it.

        Raises TransformUnavailable where the frames are not connected or the time is not covered.
        """
        with self._changed:
            return self._lookup(target, source, stamp_ns)

    def wait(self, target: str, source: str, stamp_ns: int, timeout_s: float) -> Pose:
        """As `lookup`, waiting up to `timeout_s` of wall time for a transform that is about to come."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                try:
                    return self._lookup(target, source, stamp_ns)
                except TransformUnavailable as unavailable:
                    remaining = deadline - time.monotonic()
                    if remaining <= 0 or not unavailable.may_come:
                        raise
                    self._changed.wait(remaining)

    def _lookup(self, target: str, source: str, stamp_ns: int) -> Pose:
        above_source, above_target = self._ancestors(source), self._ancestors(target)
        common = next((frame for frame in above_source if frame in above_target), None)
        if common is None:
            missing = [frame for frame in (target, source) if not self._is_known(frame)]
            reason = f"nobody publishes {missing[0]}" if missing else "they are in different trees"
            raise TransformUnavailable(f"No transform from {target} to {source} on TF: {reason}.")
        T_common_source = self._chain(above_source, common, stamp_ns)
        T_common_target = self._chain(above_target, common, stamp_ns)
        return inverse(T_common_target) @ T_common_source

    def _is_known(self, frame: str) -> bool:
        return frame in self._edges or any(edge.parent == frame for edge in self._edges.values())

    def _ancestors(self, frame: str) -> list[str]:
        """The frame, its parent, and so on to the root."""
        out = [frame]
        while out[-1] in self._edges:
            parent = self._edges[out[-1]].parent
            if parent in out:
                raise TransformUnavailable(f"The frames {' -> '.join((*out, parent))} on TF form a loop.")
            out.append(parent)
        return out

    def _chain(self, ancestors: list[str], common: str, stamp_ns: int) -> Pose:
        T = np.eye(4)
        for child in ancestors[: ancestors.index(common)]:
            T = self._at(child, stamp_ns) @ T
        return T

    def _at(self, child: str, stamp_ns: int) -> Pose:
        edge = self._edges[child]
        if edge.static:
            return edge.poses[0]
        after = bisect_left(edge.stamps, stamp_ns)
        if after < len(edge.stamps) and edge.stamps[after] == stamp_ns:
            return edge.poses[after]
        link = f"The transform from {edge.parent} to {child}"
        if after == len(edge.stamps):
            late_s = (stamp_ns - edge.stamps[-1]) / 1e9
            raise TransformUnavailable(
                f"{link} on TF ends {late_s:.3f} s before the time asked for.",
                may_come=late_s * 1e9 <= MAX_LAG_NS,
            )
        if after == 0:
            early_s = (edge.stamps[0] - stamp_ns) / 1e9
            raise TransformUnavailable(f"{link} on TF begins {early_s:.3f} s after the time asked for.")
        gap_ns = edge.stamps[after] - edge.stamps[after - 1]
        if gap_ns > MAX_GAP_NS:
            raise TransformUnavailable(
                f"{link} on TF has a gap of {gap_ns / 1e9:.1f} s at the time asked for."
            )
        fraction = (stamp_ns - edge.stamps[after - 1]) / gap_ns
        return interpolate(edge.poses[after - 1], edge.poses[after], fraction)


class TransformListener:
    """Fills a buffer from `/tf` and `/tf_static`.

    Args:
        accept: which (parent, child) to take; all where None.
        on_invalid: called for each transform whose numbers are no transform.
    """

    def __init__(
        self,
        node: Node,
        buffer: TransformBuffer,
        accept: Callable[[str, str], bool] | None = None,
        on_invalid: Callable[[], None] | None = None,
    ) -> None:
        from rclpy.qos import DurabilityPolicy, QoSProfile
        from tf2_msgs.msg import TFMessage

        self._node, self._buffer = node, buffer
        self._accept, self._on_invalid = accept, on_invalid
        latched = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._subscriptions = [
            node.create_subscription(TFMessage, "/tf", lambda m: self._take(m, False), QoSProfile(depth=100)),
            node.create_subscription(TFMessage, "/tf_static", lambda m: self._take(m, True), latched),
        ]

    def _take(self, message: TFMessage, static: bool) -> None:
        for item in message.transforms:
            parent, child = item.header.frame_id.lstrip("/"), item.child_frame_id.lstrip("/")
            if self._accept is not None and not self._accept(parent, child):
                continue
            try:
                if not parent or not child or parent == child:
                    raise ValueError("a transform needs two frames")
                T = pose_from_transform(item.transform)
            except ValueError:
                if self._on_invalid is not None:
                    self._on_invalid()
                continue
            self._buffer.add(parent, child, stamp_to_ns(item.header.stamp), T, static)

    def close(self) -> None:
        """Unsubscribes."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []


class TransformBroadcaster:
    """Publishes one transform to `/tf`, never twice with the same stamp."""

    def __init__(self, node: Node, parent: str, child: str) -> None:
        from rclpy.qos import QoSProfile
        from tf2_msgs.msg import TFMessage

        self.parent, self.child = parent, child
        self.newest_ns: int | None = None
        self._node, self._Message = node, TFMessage
        self._publisher = node.create_publisher(TFMessage, "/tf", QoSProfile(depth=100))
        self._sent: set[int] = set()

    def send(self, stamp_ns: int, T_parent_child: Pose) -> None:
        """Publishes the transform, unless it was published with this stamp before."""
        if stamp_ns in self._sent:
            return
        message: TransformStamped = transform_message(stamp_ns, self.parent, self.child, T_parent_child)
        self._publisher.publish(self._Message(transforms=[message]))
        self.newest_ns = max(stamp_ns, self.newest_ns or stamp_ns)
        # Stamps repeat only around now, so a short memory is enough.
        self._sent = {s for s in self._sent if s > self.newest_ns - 10**9} | {stamp_ns}

    def reset(self) -> None:
        """Forgets what was sent, after the clock jumped back."""
        self.newest_ns = None
        self._sent.clear()

    def close(self) -> None:
        """Stops publishing."""
        self._node.destroy_publisher(self._publisher)
