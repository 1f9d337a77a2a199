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

"""Progress of a task on the terminal, with its rate and the remaining time."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

from scene_geo_loc.core.progress import Item, tracked

QUIET_PERIOD_S = 5.0
"""Seconds between two lines of progress if the output is not a terminal."""


class AnnotatedProgress(Protocol):
    """A `ProgressCallback` that also shows a note behind the bar."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Shows the items done, their total and a note."""


@contextmanager
def progress(title: str, unit: str = "frames") -> Iterator[AnnotatedProgress]:
    """Shows the number of items done, the rate and the remaining time on stderr.

    Yields the callback that takes the progress; the line stays if the work is interrupted.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    pace = _Pace()
    if not console.is_terminal:
        lines = _Lines(title, unit, pace)
        yield lines.show
        lines.end()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.1f} " + unit + "/s"),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as display:
        task = display.add_task(title, total=None, rate=0.0, note="")

        def on_progress(done: int, total: int, note: str = "") -> None:
            display.update(task, completed=done, total=total or None, rate=pace.after(done), note=note)

        yield on_progress


def track(items: Iterable[Item], total: int, title: str, unit: str = "frames") -> Iterator[Item]:
    """Yields the items and shows their progress."""
    with progress(title, unit) as on_progress:
        yield from tracked(items, total, on_progress)


class _Pace:
    """Rate of items since the first one; the time before it is not counted."""

    def __init__(self) -> None:
        self.begin = time.monotonic()
        self._first: tuple[int, float] | None = None

    def after(self, done: int) -> float:
        """Returns the items per second after `done` items; 0 if it is not known yet."""
        now = time.monotonic()
        if self._first is None and done > 0:
            self._first = (done, now)
        first_done, first_time = self._first or (done, now)
        return (done - first_done) / (now - first_time) if now > first_time else 0.0


class _Lines:
    """Shows progress as a line every `QUIET_PERIOD_S`."""

    def __init__(self, title: str, unit: str, pace: _Pace) -> None:
        self._title, self._unit, self._pace = title, unit, pace
        self._done, self._printed_at = 0, pace.begin
        self._print("...")

    def show(self, done: int, total: int, note: str = "") -> None:
        self._done, now, rate = done, time.monotonic(), self._pace.after(done)
        if now - self._printed_at < QUIET_PERIOD_S or rate == 0.0:
            return
        self._printed_at = now
        left = f", {max(total - done, 0) / rate:.0f} s left" if total else ""
        self._print(f"{done}/{total or '?'} ({rate:.1f} {self._unit}/s{left}) {note}".rstrip())

    def end(self) -> None:
        self._print(f"{self._done} {self._unit} in {time.monotonic() - self._pace.begin:.1f} s")

    def _print(self, text: str) -> None:
        print(f"{self._title}: {text}", file=sys.stderr, flush=True)
