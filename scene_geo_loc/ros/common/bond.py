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

"""The node's side of the bond that nav2's lifecycle manager keeps with each active node.

A manager whose `bond_timeout` is not 0 ends its bringup for a node without one.  The protocol is that of
bond_core: both sides publish heartbeats with the same id, the node's name, on the topic `bond`.
"""

from __future__ import annotations

import threading
import uuid
from typing import TYPE_CHECKING, Any

from rclpy.duration import Duration
from rclpy.qos import QoSProfile

if TYPE_CHECKING:
    from rclpy.node import Node

TIMEOUT_S = 4.0
"""Silence after which the node is given up, as nav2's nodes state it; a manager has a time of its own."""
FAREWELL_S = 0.1


class Bond:
    """Publishes heartbeats while the node is active, and says when it is no longer.

    A thread does so, as a callback such as one that opens a map may keep the executor busy for long.  As with
    nav2's own nodes, a manager that falls silent does not stop the node.

    Args:
        status: the class bond.msg.Status.
        period_s: time between heartbeats.
    """

    def __init__(self, node: Node, status: Any, period_s: float) -> None:
        self._node, self._Status, self._period_s = node, status, period_s
        self._instance = str(uuid.uuid4())
        self._publisher = node.create_publisher(status, "bond", QoSProfile(depth=5))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bond", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(self._period_s):
            if not self._node.context.ok():
                return
            self._publish(active=True)

    def _publish(self, *, active: bool) -> None:
        status = self._Status(
            id=self._node.get_name(),
            instance_id=self._instance,
            active=active,
            heartbeat_timeout=TIMEOUT_S,
            heartbeat_period=self._period_s,
        )
        status.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(status)

    def close(self) -> None:
        """Ends the bond, and tells the manager."""
        self._ended.set()
        self._thread.join()
        if self._node.context.ok():
            self._publish(active=False)
            self._publisher.wait_for_all_acked(Duration(seconds=FAREWELL_S))
        self._node.destroy_publisher(self._publisher)


def bond_status() -> Any:
    """Returns the class bond.msg.Status, or None where the package bond, a part of nav2, is not installed."""
    try:
        from bond.msg import Status  # type: ignore[import-not-found]
    except ImportError:
        return None
    return Status
