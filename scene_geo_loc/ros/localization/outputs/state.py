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

"""State of localization: its name on every change, and a stamped status of every image."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import String

from scene_geo_loc.ros.common.diagnostics import Level, full_name
from scene_geo_loc.ros.common.messages import ns_to_stamp

if TYPE_CHECKING:
    from rclpy.node import Node


class State(str, Enum):
    """Values of localization/state."""

    INITIALIZING = "initializing"
    LOCALIZED = "localized"
    DEAD_RECKONED = "dead_reckoned"
    RETRIEVED_ONLY = "retrieved_only"
    LOST = "lost"
    SUSPENDED = "suspended"


class StatePublisher:
    """Keeps the state, publishes it on localization/state and localization/status, and logs its changes.

    Attributes:
        state: present state.
        reason: sentence on why it is not localized, or "".
    """

    def __init__(self, node: Node) -> None:
        self.state, self.reason = State.INITIALIZING, ""
        self._node = node
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._state = node.create_publisher(String, "localization/state", latched)
        self._status = node.create_publisher(DiagnosticArray, "localization/status", latched)
        self._publish(None, {})

    def set(
        self,
        state: State,
        reason: str,
        stamp_ns: int | None = None,
        values: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Goes to a state; publishes and logs it where it changes, or where it is that of an image.

        Args:
            stamp_ns: stamp of the image whose state this is; None where it is not an image's.
            values: numbers of the image, for the status.
        """
        changed, self.state, self.reason = state is not self.state, state, reason
        if changed:
            self._node.get_logger().info(f"{state.value}. {reason}".strip())
        if changed or stamp_ns is not None:
            self._publish(stamp_ns, values, changed)

    def _publish(self, stamp_ns: int | None, values: Mapping[str, str], with_state: bool = True) -> None:
        if with_state:
            self._state.publish(String(data=self.state.value))
        level = Level.OK if self.state is State.LOCALIZED else Level.WARN
        status = DiagnosticStatus(
            level=level.value, name=f"{full_name(self._node)}: state", message=self.reason
        )
        status.values = [KeyValue(key="state", value=self.state.value)]
        status.values += [KeyValue(key=key, value=value) for key, value in values.items()]
        message = DiagnosticArray(status=[status])
        now = self._node.get_clock().now().to_msg()
        message.header.stamp = now if stamp_ns is None else ns_to_stamp(stamp_ns)
        self._status.publish(message)

    def close(self) -> None:
        """Stops publishing."""
        self._node.destroy_publisher(self._state)
        self._node.destroy_publisher(self._status)
