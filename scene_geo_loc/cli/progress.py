"""One line of progress, with the rate and the time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
QUIET_PERIOD_S = 10.0
"""How often a line is printed where the output is no terminal and cannot be drawn over."""


def track(items: Iterable[Item], total: int, words: str, unit: str = "frames") -> Iterator[Item]:
    """Yields the items while one line on stderr tells how many are done, how fast, and how long it will take."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield from _track_in_lines(items, total, words, unit)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.1f} " + unit + "/s"),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(words, total=total or None, rate=0.0)
        begin = time.monotonic()
        for done, item in enumerate(items, start=1):
            yield item
            progress.update(task, completed=done, rate=done / max(time.monotonic() - begin, 1e-6))


def _track_in_lines(items: Iterable[Item], total: int, words: str, unit: str) -> Iterator[Item]:
    begin = told = time.monotonic()
    done = 0
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - told >= QUIET_PERIOD_S:
            told, rate = now, done / (now - begin)
            left = f", {max(total - done, 0) / rate:.0f} s left" if total else ""
            print(f"{words}: {done}/{total or '?'} ({rate:.1f} {unit}/s{left})", file=sys.stderr, flush=True)
    seconds = max(time.monotonic() - begin, 1e-6)
    print(f"{words}: {done} {unit} in {seconds:.1f} s ({done / seconds:.1f}/s)", file=sys.stderr, flush=True)
