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

"""TF over its topics `/tf` and `/tf_static` alone, without tf2_ros, which is not on PyPI.

`geometry.transform_tree` does the look-ups, live as for a recording.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.ros.common.messages import stamp_to_ns, transform_message
from scene_geo_loc.traversals.messages.transforms import add_transforms

if TYPE_CHECKING:
    from geometry_msgs.msg import TransformStamped
    from rclpy.node import Node
    from tf2_msgs.msg import TFMessage

    from scene_geo_loc.geometry.transform_tree import TransformTree


RECENT = 500
"""Transforms that a broadcaster remembers."""


class TransformListener:
    """Fills a tree from `/tf` and `/tf_static`.

    Args:
        accept: which (parent, child) to take; all where None.
        on_transform: called with each transform, and whether it is static.
        on_invalid: called for each transform whose numbers are no transform.
    """

    def __init__(
        self,
        node: Node,
        tree: TransformTree,
        accept: Callable[[str, str], bool] | None = None,
        on_invalid: Callable[[], None] | None = None,
        on_transform: Callable[[TransformStamped, bool], None] | None = None,
    ) -> None:
        from rclpy.qos import DurabilityPolicy, QoSProfile
        from tf2_msgs.msg import TFMessage

        self._node, self._tree = node, tree
        self._accept, self._on_invalid, self._on_transform = accept, on_invalid, on_transform
        latched = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._subscriptions = [
            node.create_subscription(TFMessage, "/tf", lambda m: self._take(m, False), QoSProfile(depth=100)),
            node.create_subscription(TFMessage, "/tf_static", lambda m: self._take(m, True), latched),
        ]

    def _take(self, message: TFMessage, static: bool) -> None:
        invalid = add_transforms(self._tree, message, static, self._accept)
        if self._on_invalid is not None:
            for _ in range(invalid):
                self._on_invalid()
        if self._on_transform is not None:
            for transform in message.transforms:
                self._on_transform(transform, static)

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
        self._recent: deque[tuple[int, float, float, float]] = deque(maxlen=RECENT)

    def send(self, stamp_ns: int, T_parent_child: Pose) -> None:
        """Publishes the transform, unless it was published with this stamp before."""
        if stamp_ns in self._sent:
            return
        message: TransformStamped = transform_message(stamp_ns, self.parent, self.child, T_parent_child)
        self._recent.append(_identity(message))
        self._publisher.publish(self._Message(transforms=[message]))
        self.newest_ns = max(stamp_ns, self.newest_ns or stamp_ns)
        # Stamps repeat only around now, so a short memory is enough.
        self._sent = {s for s in self._sent if s > self.newest_ns - 10**9} | {stamp_ns}

    def has_sent(self, transform: TransformStamped) -> bool:
        """Returns whether a transform between the same frames is one of the last that were published."""
        return _identity(transform) in tuple(self._recent)

    def reset(self) -> None:
        """Forgets what was sent, after the clock jumped back."""
        self.newest_ns = None
        self._sent.clear()

    def close(self) -> None:
        """Stops publishing."""
        self._node.destroy_publisher(self._publisher)


def _identity(transform: TransformStamped) -> tuple[int, float, float, float]:
    """Returns what tells a transform from those of other nodes: its stamp and its translation."""
    t = transform.transform.translation
    return stamp_to_ns(transform.header.stamp), t.x, t.y, t.z
