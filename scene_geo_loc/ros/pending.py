"""Holds measurements back until the poses of their stamps are known, and gives them out in order of time."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar("Item")

REORDER_NS = 200_000_000
"""Sensors deliver up to this much later than others what they measured at the same time."""


class NotYet(Exception):
    """What an item needs has not come; the message says what."""


@dataclass(order=True)
class _Waiting(Generic[Item]):
    stamp_ns: int
    number: int
    item: Item = field(compare=False)
    arrived_s: float = field(compare=False)


class PendingItems(Generic[Item]):
    """Items by stamp; safe to use from several threads.

    Args:
        timeout_s: how long an item waits, in wall time.
        capacity: most items that wait; of more the new one is refused.
    """

    def __init__(self, timeout_s: float, capacity: int) -> None:
        self._timeout_s, self._capacity = timeout_s, capacity
        self._heap: list[_Waiting[Item]] = []
        self._numbers = itertools.count()
        self._newest_ns = -(2**63)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, stamp_ns: int, item: Item) -> bool:
        """Takes an item in; False where there is no room for it."""
        with self._lock:
            if len(self._heap) >= self._capacity:
                return False
            waiting = _Waiting(stamp_ns, next(self._numbers), item, time.monotonic())
            heapq.heappush(self._heap, waiting)
            self._newest_ns = max(self._newest_ns, stamp_ns)
            return True

    def clear(self) -> None:
        """Drops all items, after the stamps started over."""
        with self._lock:
            self._heap.clear()
            self._newest_ns = -(2**63)

    def take(
        self, use: Callable[[Item], None], on_timeout: Callable[[Item, str], None], drain: bool = False
    ) -> bool:
        """Gives the earliest item to `use`; whether there was one to give.

        Args:
            use: raises NotYet where the item must wait on.
            on_timeout: told an item that waited in vain, and for what.
            drain: no more items come, so that none is held back for the sake of order.
        """
        with self._lock:
            if not self._heap:
                return False
            first = self._heap[0]
            late = drain or time.monotonic() - first.arrived_s > self._timeout_s
            if not late and self._newest_ns - first.stamp_ns < REORDER_NS:
                return False
            heapq.heappop(self._heap)
        try:
            use(first.item)
        except NotYet as reason:
            if late:
                on_timeout(first.item, str(reason))
                return True
            with self._lock:
                heapq.heappush(self._heap, first)
            return False
        return True
