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

"""A node in a process of its own, in a ROS domain of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scene_geo_loc.core.errors import SceneGeoLocError

if TYPE_CHECKING:
    from rclpy.node import Node

    from scene_geo_loc.localization.estimate import LocalizerSettings

START_TIMEOUT_S = 90.0
END_TIMEOUT_S = 10.0
LOG_LINES = 12


@contextmanager
def own_domain() -> Iterator[int]:
    """Reserves a ROS domain of this machine, by domain_coordinator, for the block."""
    from domain_coordinator import domain_id  # type: ignore[import-untyped]

    with domain_id() as domain:
        kept = {name: os.environ.get(name) for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE")}
        os.environ.update(ROS_DOMAIN_ID=str(domain), ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST")
        try:
            yield domain
        finally:
            for name, value in kept.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


@contextmanager
def spinning_node(name: str, domain: int) -> Iterator[Node]:
    """Creates an rclpy node of this process in a domain; its callbacks run in a thread of their own."""
    import rclpy
    from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
    from rclpy.impl.implementation_singleton import rclpy_implementation

    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain)
    executor = SingleThreadedExecutor(context=context)
    try:
        node = rclpy.create_node(name, context=context)
        executor.add_node(node)

        def spin() -> None:
            # On a busy machine the node may be destroyed before the last callback has ended.
            with suppress(ExternalShutdownException, rclpy_implementation.InvalidHandle):
                executor.spin()

        thread = threading.Thread(target=spin, daemon=True)
        thread.start()
        try:
            yield node
        finally:
            executor.shutdown(timeout_sec=2.0)
            thread.join(5.0)
            node.destroy_node()
    finally:
        rclpy.try_shutdown(context=context)


@contextmanager
def running_node(
    map_folder: Path,
    transport: str,
    log: Path,
    tracking: bool = False,
    localizer: LocalizerSettings | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a localization_node in a process of its own, which ends with the block as by Ctrl-C.

    Args:
        localizer: settings of the localizer, where they are not the node's defaults.
    """
    arguments = {"map": str(map_folder.resolve()), "image_transport": transport, "tracking": tracking}
    changed = localizer.model_dump(exclude_defaults=True) if localizer is not None else {}
    arguments |= {f"localizer.{name}": value for name, value in changed.items()}
    with running_program("localization_node", arguments, log) as process:
        yield process


@contextmanager
def running_program(name: str, parameters: dict[str, Any], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a node of the package by its program's name, with simulated time, until the end of the block."""
    beside = Path(sys.executable).with_name(name)
    program = str(beside) if beside.is_file() else shutil.which(name)
    if program is None:
        raise SceneGeoLocError(f"The program {name} is not installed: install the package.")
    # JSON is YAML, which the values of ROS parameters are given in.
    given = {"use_sim_time": True, **parameters}
    arguments = [word for key, value in given.items() for word in ("-p", f"{key}:={json.dumps(value)}")]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        # In a session of its own, so that Ctrl-C reaches it once and from here.
        process = subprocess.Popen(
            [program, "--ros-args", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        process.send_signal(kind)
        try:
            process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            continue


def check_alive(process: subprocess.Popen[bytes], log: Path) -> None:
    """Raises SceneGeoLocError, with the end of the log, where the process has ended."""
    if process.poll() is not None:
        lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        ending = "\n".join(f"  {line}" for line in lines)
        name = Path(process.args[0]).name  # type: ignore[index,arg-type]
        raise SceneGeoLocError(
            f"{name} ended with status {process.returncode}; its last lines, from {log}:\n{ending}"
        )


def wait_until_active(publisher: Any, process: subprocess.Popen[bytes], log: Path) -> None:
    """Waits until the node subscribes to a publisher's images, that is, until it is active.

    Raises SceneGeoLocError where it ends, or is not active within 90 s.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    while publisher.get_subscription_count() == 0:
        check_alive(process, log)
        if time.monotonic() > deadline:
            raise SceneGeoLocError(
                f"The localization node did not become active within {START_TIMEOUT_S:.0f} s: see {log}."
            )
        time.sleep(0.05)
