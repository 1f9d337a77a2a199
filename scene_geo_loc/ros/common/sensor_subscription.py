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

"""Subscription to a sensor, with a given reliability or that of its publishers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.qos import QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

if TYPE_CHECKING:
    from rclpy.node import Node

    from scene_geo_loc.ros.common.settings import Reliability


class SensorSubscription:
    """Subscribes to a sensor's topic.

    With the reliability `auto` it is best effort where one of the publishers is, else reliable; a best effort
    publisher that comes later changes it.

    Args:
        callback: called in the executor with each message.
        depth: number of messages that wait for the executor.

    Attributes:
        problem: sentence on why messages cannot arrive, or ""; a message that arrives empties it.
    """

    def __init__(
        self,
        node: Node,
        kind: Any,
        topic: str,
        callback: Callable[[Any], None],
        depth: int,
        reliability: Reliability,
    ) -> None:
        self.problem = ""
        self._node, self._kind, self._topic, self._callback = node, kind, topic, callback
        self._depth, self._is_auto, self._closed = depth, reliability == "auto", False
        if self._is_auto:
            offered = [info.qos_profile for info in node.get_publishers_info_by_topic(self._full_name())]
            best_effort = any(qos.reliability == ReliabilityPolicy.BEST_EFFORT for qos in offered)
            reliability = "best_effort" if best_effort else "reliable"
        self._subscription = self._subscribe(ReliabilityPolicy[reliability.upper()])

    def _full_name(self) -> str:
        return str(self._node.resolve_topic_name(self._topic))

    def _subscribe(self, reliability: ReliabilityPolicy) -> Any:
        # A policy that is overridable is declared as a parameter once and could not change afterwards.
        policies = [QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH]
        if not self._is_auto:
            policies.append(QoSPolicyKind.RELIABILITY)
        return self._node.create_subscription(
            self._kind,
            self._topic,
            self._on_message,
            QoSProfile(depth=self._depth, reliability=reliability),
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=lambda _: self._on_incompatible()),
            qos_overriding_options=QoSOverridingOptions(policy_kinds=policies),
        )

    def _on_message(self, message: Any) -> None:
        self.problem = ""
        self._callback(message)

    def _on_incompatible(self) -> None:
        if not self._is_auto:
            self.problem = (
                f"{self._topic} is published best effort; set reliability to auto or best_effort to receive "
                "it."
            )
            self._node.get_logger().warning(self.problem)
            return
        # Not here: the executor is about to use the subscription whose event this is.
        timer = self._node.create_timer(0.0, lambda: self._change_to_best_effort(timer))

    def _change_to_best_effort(self, timer: Any) -> None:
        self._node.destroy_timer(timer)
        if self._closed:
            return
        self._node.get_logger().info(f"{self._topic} is published best effort, and is now subscribed to so.")
        self._node.destroy_subscription(self._subscription)
        self._subscription = self._subscribe(ReliabilityPolicy.BEST_EFFORT)

    def close(self) -> None:
        """Unsubscribes."""
        self._closed = True
        self._node.destroy_subscription(self._subscription)
