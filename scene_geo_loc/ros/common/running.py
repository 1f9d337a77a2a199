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

"""Runs a node from its start to a clean end."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.signals import SignalHandlerOptions

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.ros.common.managed_node import ManagedNode

if TYPE_CHECKING:
    from rclpy.lifecycle import LifecycleNode
    from rclpy.node import Node

RCLError = rclpy_implementation.RCLError
AnyNode = TypeVar("AnyNode", bound="Node")


def run(
    make_node: Callable[[], AnyNode], work: Callable[[AnyNode], int], args: list[str] | None = None
) -> int:
    """Creates a node, does its work and destroys it; returns the exit code of the process.

    Ctrl-C is a normal end: exit code 0.  A SceneGeoLocError is printed as one sentence: exit code 1.

    Args:
        work: called with the node in the main thread, returns the exit code; `spin` where the node only
            reacts.
    """
    # rclpy's own handlers end the context from another thread while callbacks run, which crashed a
    # recorder before it had closed its file.
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, signal.default_int_handler)
    node: AnyNode | None = None
    try:
        node = make_node()
        return work(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    except RCLError:
        # Publishing or waiting failed because Ctrl-C ended the context.
        if rclpy.ok():
            raise
        return 0
    except SceneGeoLocError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        # A launch file forwards Ctrl-C, so that it can come twice, the second time during this block.
        for kind in (signal.SIGINT, signal.SIGTERM):
            signal.signal(kind, signal.SIG_IGN)
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()


def spin(node: Node, begin: Callable[[], bool] | None = None) -> int:
    """Serves the node's callbacks until the context ends; returns the exit code.

    Args:
        begin: called first; where it returns False, the exit code is 1.

    All callbacks run in this thread: rclpy's multi-threaded executor took three times the CPU time.
    """
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        if begin is not None and not begin():
            return 1
        # From here on Ctrl-C waits for the end of a callback, so that none is interrupted.
        asked_to_end = threading.Event()
        for kind in (signal.SIGINT, signal.SIGTERM):
            signal.signal(kind, lambda *_: asked_to_end.set())
        while rclpy.ok() and not asked_to_end.is_set():
            try:
                executor.spin_once(timeout_sec=0.1)
            except ExternalShutdownException:
                raise
            except Exception as error:
                # Of rclpy's own callbacks, such as the parameter services: ours are guarded one by one.
                if not isinstance(node, ManagedNode):
                    raise
                node.on_callback_error("A callback", error)
    finally:
        executor.shutdown(timeout_sec=1.0)
    return 0


def autostart(node: LifecycleNode) -> bool:
    """Configures and activates a lifecycle node; returns whether both succeeded."""
    return (
        node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        and node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    )
