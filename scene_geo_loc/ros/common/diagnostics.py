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

"""Diagnostics of a node on `/diagnostics`, once a second."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from scene_geo_loc.ros.common.counters import Counted, Event, rejected

if TYPE_CHECKING:
    from rclpy.node import Node


class Level(Enum):
    """Levels of diagnostic_msgs/DiagnosticStatus."""

    OK = b"\x00"
    WARN = b"\x01"
    ERROR = b"\x02"


@dataclass
class Report:
    """Health of a node: the worst finding gives the level and the message."""

    level: Level = Level.OK
    message: str = ""
    values: dict[str, str] = field(default_factory=dict)

    def find(self, level: Level, sentence: str) -> None:
        """Adds a finding; the first one of the worst level comes first in the message."""
        if level.value > self.level.value:
            self.level, self.message = level, f"{sentence} {self.message}".strip()
        else:
            self.message = f"{self.message} {sentence}".strip()

    def find_failed_callbacks(self, recent: Counter[Counted]) -> None:
        """Adds an error where callbacks raised exceptions."""
        count = recent[Event.CALLBACK_FAILED]
        if count:
            self.find(Level.ERROR, f"{count} callbacks failed with a defect, see the log.")

    def find_rejected(self, recent: Counter[Counted], details: Mapping[Counted, str]) -> None:
        """Adds a warning where messages were rejected, with what was wrong with the last of each reason."""
        reasons = rejected(recent)
        if not reasons:
            return
        texts = {what.value: detail.rstrip(".") for what, detail in details.items() if detail}
        listed = ", ".join(
            f"{count} x {reason}" + (f" ({texts[reason]})" if reason in texts else "")
            for reason, count in reasons.items()
        )
        self.find(Level.WARN, f"Bad messages in the last second: {listed}.")


def rejected_values(totals: Counter[Counted]) -> dict[str, str]:
    """Returns the values of a report for the messages that were rejected."""
    return {f"bad: {reason}": str(count) for reason, count in rejected(totals).items()}


class LatencyWindow:
    """Latencies of the last frames, in milliseconds."""

    def __init__(self, length: int = 200) -> None:
        self._values: deque[float] = deque(maxlen=length)

    def add(self, latency_ms: float) -> None:
        """Adds the latency of a frame; the oldest is dropped."""
        self._values.append(latency_ms)

    def percentile(self, q: float) -> float | None:
        """Returns the q-th percentile, or None before the first frame."""
        values = list(self._values)
        return float(np.percentile(values, q)) if values else None


def full_name(node: Node) -> str:
    """Returns the name of a node with its namespace, as in `robot1/localization_node`."""
    name: str = node.get_fully_qualified_name()
    return name.lstrip("/")


class DiagnosticsPublisher:
    """Publishes the report of `make_report` once a second.

    The period is wall time, so that a simulated clock that stands still is reported, too.
    """

    def __init__(self, node: Node, name: str, make_report: Callable[[], Report]) -> None:
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.clock import Clock, ClockType

        self._node, self._name, self._make_report = node, f"{full_name(node)}: {name}", make_report
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._timer = node.create_timer(1.0, self.publish, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def publish(self) -> None:
        """Publishes a report now."""
        from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

        report = self._make_report()
        status = DiagnosticStatus(level=report.level.value, name=self._name, message=report.message)
        status.values = [KeyValue(key=key, value=value) for key, value in report.values.items()]
        message = DiagnosticArray(status=[status])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)

    def close(self) -> None:
        """Stops publishing."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_publisher(self._publisher)
