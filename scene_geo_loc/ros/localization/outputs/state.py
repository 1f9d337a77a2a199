"""State of localization, published when it changes; services change it."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import String
from std_srvs.srv import Trigger

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
    """Keeps the state, publishes and logs its changes, and serves ~/relocalize, ~/suspend and ~/resume.

    Args:
        on_request: called with the state that a service asks for and a sentence; returns whether the node
            went to that state.

    Attributes:
        state: present state.
        reason: sentence on why it is not localized, or "".
    """

    def __init__(self, node: Node, on_request: Callable[[State, str], bool]) -> None:
        self.state, self.reason = State.INITIALIZING, ""
        self._node, self._on_request = node, on_request
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._publisher = node.create_publisher(String, "localization/state", latched)
        self._services = [
            node.create_service(Trigger, f"~/{name}", call)
            for name, call in (
                ("relocalize", self._on_relocalize),
                ("suspend", self._on_suspend),
                ("resume", self._on_resume),
            )
        ]
        self._publish()

    def set(self, state: State, reason: str) -> None:
        """Goes to a state; publishes and logs it where it changes."""
        changed, self.state, self.reason = state is not self.state, state, reason
        if changed:
            self._node.get_logger().info(f"{state.value}. {reason}".strip())
            self._publish()

    def _publish(self) -> None:
        self._publisher.publish(String(data=self.state.value))

    def _on_relocalize(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._answer(response, self.state is not State.SUSPENDED, State.INITIALIZING, "Relocalizing.")

    def _on_suspend(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._answer(response, self.state is not State.SUSPENDED, State.SUSPENDED, "Suspended.")

    def _on_resume(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._answer(response, self.state is State.SUSPENDED, State.INITIALIZING, "Resumed.")

    def _answer(self, response: Trigger.Response, allowed: bool, state: State, text: str) -> Trigger.Response:
        response.success = allowed and self._on_request(state, text)
        response.message = (
            text if response.success else f"Not possible while the state is {self.state.value}."
        )
        return response

    def close(self) -> None:
        """Stops publishing and serving."""
        self._node.destroy_publisher(self._publisher)
        for service in self._services:
            self._node.destroy_service(service)
