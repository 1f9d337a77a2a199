"""What a node says about itself on `/diagnostics`, once a second."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from rclpy.node import Node


class Level(Enum):
    """The levels of diagnostic_msgs/DiagnosticStatus."""

    OK = b"\x00"
    WARN = b"\x01"
    ERROR = b"\x02"


@dataclass
class Report:
    """The state of a node: the worst finding gives the level and the message."""

    level: Level = Level.OK
    message: str = ""
    values: dict[str, str] = field(default_factory=dict)

    def find(self, level: Level, sentence: str) -> None:
        """Adds a finding; of those of one level the first one stays in front."""
        if level.value > self.level.value:
            self.level, self.message = level, f"{sentence} {self.message}".strip()
        else:
            self.message = f"{self.message} {sentence}".strip()


class Counters:
    """Counts of what happened, in total and since the last report; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._total: Counter[str] = Counter()
        self._recent: Counter[str] = Counter()

    def add(self, what: str) -> None:
        """Counts one."""
        with self._lock:
            self._total[what] += 1
            self._recent[what] += 1

    def total(self, what: str) -> int:
        """How often something happened."""
        with self._lock:
            return self._total[what]

    def totals(self) -> dict[str, int]:
        """All counts."""
        with self._lock:
            return dict(self._total)

    def take_recent(self) -> Counter[str]:
        """The counts since the last call."""
        with self._lock:
            recent, self._recent = self._recent, Counter()
            return recent


class LatencyWindow:
    """The latencies of the last frames, in milliseconds."""

    def __init__(self, length: int = 200) -> None:
        self._values: deque[float] = deque(maxlen=length)

    def add(self, latency_ms: float) -> None:
        """Takes the latency of a frame; the oldest is forgotten."""
        self._values.append(latency_ms)

    def percentile(self, q: float) -> float | None:
        """The q-th percentile, or None before the first frame."""
        values = list(self._values)
        return float(np.percentile(values, q)) if values else None


class DiagnosticsPublisher:
    """Publishes the report that `make_report` gives, once a second of wall time.

    Wall time, because a simulated clock that stands still is a thing to report, too.
    """

    def __init__(self, node: Node, name: str, make_report: Callable[[], Report]) -> None:
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.clock import Clock, ClockType

        self._node, self._name, self._make_report = node, f"{node.get_name()}: {name}", make_report
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
