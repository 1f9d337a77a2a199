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

"""A lifecycle node that survives bad requests and failing callbacks, and that releases what it created."""

from __future__ import annotations

import functools
import gc
import logging
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import rclpy
from lifecycle_msgs.msg import State
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rosgraph_msgs.msg import Clock

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.ros.common.bond import Bond, bond_status
from scene_geo_loc.ros.common.counters import BadReason, Counters, Event

RCLError = rclpy_implementation.RCLError
LOG_PERIOD_S = 5.0
"""A repeated message is logged at most this often."""


class ManagedNode(LifecycleNode, ABC):
    """Lifecycle node whose resources are released by the transition that ends their use.

    A subclass implements `configure` and `activate`; each registers what it creates on `while_configured`
    and `while_active`, which are closed in reverse order, also when the transition fails half-way.  Every
    callback of a subscription, timer or service is guarded: an exception is logged and counted, and the node
    continues.

    Attributes:
        bond_period_s: time between the heartbeats that tell nav2's lifecycle manager that the node is active;
            0: none.
        while_configured: closed by cleanup, shutdown, an error and the end of the node.
        while_active: closed before it, by deactivation as well.
        counters: counts since the node was configured.
    """

    def __init__(self, name: str, **node_arguments: Any) -> None:
        self.counters = Counters()
        self.bond_period_s = 0.0
        self.while_configured, self.while_active = ExitStack(), ExitStack()
        self._while_bonded = ExitStack()
        super().__init__(name, **node_arguments)
        # rclpy lets an invalid transition raise through the executor, which ends the process.
        self._change_state = self._service_change_state.callback
        self._service_change_state.callback = self._on_change_state

    @property
    def is_finalized(self) -> bool:
        """True after `shutdown`."""
        return bool(self._state_machine.current_state[0] == State.PRIMARY_STATE_FINALIZED)

    @abstractmethod
    def configure(self) -> None:
        """Prepares the node. Raises SceneGeoLocError where it cannot work."""

    @abstractmethod
    def activate(self) -> None:
        """Starts the work. Raises SceneGeoLocError where it cannot work."""

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Prepares the node; fails, and stays unconfigured, where it cannot work."""
        self.counters = Counters()
        library, handler = logging.getLogger(__name__.partition(".")[0]), LibraryLog(self.get_logger())
        library.addHandler(handler)
        self.while_configured.callback(library.removeHandler, handler)
        self.while_configured.callback(library.setLevel, library.level)
        library.setLevel(logging.INFO)
        if not self._succeeds(self.configure, self.while_configured):
            return TransitionCallbackReturn.FAILURE
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Starts the work; fails, and stays inactive, where it cannot work."""
        if not self._succeeds(self.activate, self.while_active):
            return TransitionCallbackReturn.FAILURE
        self._begin_bond()
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stops the work; what was configured stays."""
        self._close(self._while_bonded)
        self._close(self.while_active)
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Releases everything."""
        self._release()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Releases everything, from any state; only the lifecycle's own services stay."""
        self._release()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Releases everything, so that the node can be configured again."""
        self._release()
        return super().on_error(state)

    def destroy_node(self) -> None:
        """Releases everything and destroys the node."""
        self._release()
        super().destroy_node()

    def _begin_bond(self) -> None:
        status = bond_status()
        if self.bond_period_s > 0 and status is not None:
            self._while_bonded.callback(Bond(self, status, self.bond_period_s).close)
        elif self.bond_period_s > 0:
            self.get_logger().info(
                "The package bond is not installed: if nav2's lifecycle manager manages this node, set its "
                "bond_timeout to 0.0."
            )

    def _release(self) -> None:
        self._close(self._while_bonded)
        self._close(self.while_active)
        self._close(self.while_configured)
        # A localizer and its caches refer to each other: without this, maps stay in memory for a while.
        gc.collect()

    def _close(self, stack: ExitStack) -> None:
        try:
            stack.close()
        except Exception as error:
            self.on_callback_error("Releasing resources", error)

    def _succeeds(self, begin: Callable[[], None], stack: ExitStack) -> bool:
        try:
            begin()
        except Exception as error:
            message = str(error) if isinstance(error, SceneGeoLocError) else _traceback(error)
            self.get_logger().error(message)
            self._close(stack)
            return False
        return True

    # Guards.

    def on_callback_error(self, what: str, error: Exception) -> None:
        """Counts and logs an exception that a callback raised."""
        if not rclpy.ok(context=self.context):
            return  # Ctrl-C came during the callback, and nothing can be published any more.
        self.counters.add(Event.CALLBACK_FAILED)
        self.get_logger().error(f"{what} failed: {_traceback(error)}", throttle_duration_sec=LOG_PERIOD_S)

    def create_subscription(self, msg_type: Any, topic: str, callback: Any, *args: Any, **kwargs: Any) -> Any:
        """As of rclpy's Node, with a guarded callback."""
        if msg_type is Clock:
            callback = self._of_valid_times(callback)
        callback = self._guarded(callback, f"A message on {topic}")
        return super().create_subscription(msg_type, topic, callback, *args, **kwargs)

    def create_timer(self, timer_period_sec: float, callback: Any, *args: Any, **kwargs: Any) -> Any:
        """As of rclpy's Node, with a guarded callback."""
        return super().create_timer(timer_period_sec, self._guarded(callback, "A timer"), *args, **kwargs)

    def create_service(self, srv_type: Any, srv_name: str, callback: Any, *args: Any, **kwargs: Any) -> Any:
        """As of rclpy's Node, with a guarded callback, which answers a request that failed as well."""

        @functools.wraps(callback)
        def guarded(request: Any, response: Any) -> Any:
            try:
                return callback(request, response)
            except Exception as error:
                if _is_of_rclpy(callback):
                    self._refuse(srv_name, request, response, error)
                else:
                    self.on_callback_error(f"The service {srv_name}", error)
                return response

        return super().create_service(srv_type, srv_name, guarded, *args, **kwargs)

    def _refuse(self, srv_name: str, request: Any, response: Any, error: Exception) -> None:
        """Answers a request that rclpy does not understand, such as a parameter of an unknown type."""
        self.get_logger().warning(
            f"Refused a request to {srv_name}: {error}.", throttle_duration_sec=LOG_PERIOD_S
        )
        if isinstance(response, SetParameters.Response):
            refused = SetParametersResult(successful=False, reason=str(error))
            missing = len(request.parameters) - len(response.results)
            response.results = [*response.results, *[refused] * missing]

    def _of_valid_times(self, callback: Callable[[Clock], None]) -> Callable[[Clock], None]:
        """Wraps rclpy's callback of /clock, which raises ValueError for times before 1970."""

        def take(message: Clock) -> None:
            if message.clock.sec < 0:
                self.counters.add(BadReason.INVALID_CLOCK)
            else:
                callback(message)

        return take

    def _guarded(self, callback: Any, what: str) -> Any:
        @functools.wraps(callback)
        def guarded(*args: Any) -> Any:
            try:
                return callback(*args)
            except Exception as error:
                self.on_callback_error(what, error)

        return guarded

    def _on_change_state(self, request: Any, response: Any) -> Any:
        try:
            return self._change_state(request, response)
        except RCLError:
            asked = request.transition.label or request.transition.id
            _, state = self._state_machine.current_state
            self.get_logger().warning(f"Refused the transition {asked}: the node is {state}.")
            response.success = False
            return response


def _is_of_rclpy(callback: Any) -> bool:
    """Returns whether a callback is rclpy's own, such as of a node's parameters."""
    return str(callback.__module__).startswith("rclpy.")


class LibraryLog(logging.Handler):
    """Passes the library's log on to that of a node, such as a backend that does not start."""

    def __init__(self, logger: Any) -> None:
        super().__init__(logging.INFO)
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Logs a record's sentence."""
        if record.levelno >= logging.WARNING:  # rclpy refuses a line that logs at several severities
            self._logger.warning(record.getMessage())
        else:
            self._logger.info(record.getMessage())


def _traceback(error: Exception) -> str:
    return "".join(traceback.format_exception(error))
