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

"""Services that start, stop and restart localization, by our names and by those of nav2 and Autoware."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from std_srvs.srv import Empty, SetBool, Trigger

from scene_geo_loc.ros.localization.outputs.state import State

if TYPE_CHECKING:
    from geometry_msgs.msg import PoseWithCovarianceStamped

    from scene_geo_loc.ros.common.managed_node import ManagedNode
    from scene_geo_loc.ros.localization.outputs.state import StatePublisher


class LocalizationServices:
    """Serves requests while the node is configured.

    Args:
        on_request: called with the state that is asked for and a sentence; returns whether the node went
            to it.
        on_initial_pose: takes an initial pose, as of the topic.
    """

    def __init__(
        self,
        node: ManagedNode,
        state: StatePublisher,
        on_request: Callable[[State, str], bool],
        on_initial_pose: Callable[[PoseWithCovarianceStamped], Any],
    ) -> None:
        self._node, self._state = node, state
        self._on_request, self._on_initial_pose = on_request, on_initial_pose
        self._services = [
            node.create_service(kind, name, callback)
            for kind, name, callback in (
                (Trigger, "~/relocalize", self._on_relocalize),
                (Trigger, "~/suspend", self._on_suspend),
                (Trigger, "~/resume", self._on_resume),
                (Empty, "reinitialize_global_localization", self._on_reinitialize),
                (SetBool, "trigger_node", self._on_trigger_node),
            )
        ]
        set_initial_pose = nav2_service("SetInitialPose")
        if set_initial_pose is not None:
            self._services.append(
                node.create_service(set_initial_pose, "set_initial_pose", self._on_set_initial_pose)
            )

    def _on_relocalize(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._answer(response, self._relocalize(), "Relocalizing.")

    def _on_suspend(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._answer(response, not self._is_suspended and self._suspend(), "Suspended.")

    def _on_resume(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._answer(response, self._is_suspended and self._resume(), "Resumed.")

    def _on_reinitialize(self, _: Empty.Request, response: Empty.Response) -> Empty.Response:
        if not self._relocalize():
            self._node.get_logger().warning(f"reinitialize_global_localization: {self._refusal()}")
        return response

    def _on_trigger_node(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """Resumes or suspends; asking for what is the case already succeeds."""
        if request.data:
            done = self._resume() if self._is_suspended else True
            return self._answer(response, done, "Localizing.")
        # An inactive node is suspended as well.
        return self._answer(response, self._is_suspended or self._suspend(), "Suspended.")

    def _on_set_initial_pose(self, request: Any, response: Any) -> Any:
        self._on_initial_pose(request.pose)
        return response

    @property
    def _is_suspended(self) -> bool:
        return self._state.state is State.SUSPENDED

    def _relocalize(self) -> bool:
        return not self._is_suspended and self._on_request(State.INITIALIZING, "Relocalizing.")

    def _suspend(self) -> bool:
        return self._on_request(State.SUSPENDED, "Suspended.")

    def _resume(self) -> bool:
        return self._on_request(State.INITIALIZING, "Resumed.")

    def _answer(self, response: Any, success: bool, text: str) -> Any:
        response.success = success
        response.message = text if success else self._refusal()
        return response

    def _refusal(self) -> str:
        return f"Not possible while the state is {self._state.state.value}."

    def close(self) -> None:
        """Stops serving."""
        for service in self._services:
            self._node.destroy_service(service)


def nav2_service(name: str) -> Any:
    """Returns a service type of nav2_msgs, or None where that package is not installed."""
    try:
        from nav2_msgs import srv  # type: ignore[import-not-found]
    except ImportError:
        return None
    return getattr(srv, name, None)
