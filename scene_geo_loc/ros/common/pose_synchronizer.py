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

"""Holds measurements until the poses at their stamps are known, and releases them in order of time."""

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
"""Largest difference in delay between sensors."""
LAG_FACTOR = 10
"""Factor on the timeout of an item whose poses arrive, but late."""


class NotYet(Exception):
    """Something that an item needs has not arrived; the message names it.

    Attributes:
        lagging: whether older ones of its kind arrive, so that it is late rather than missing.
    """

    def __init__(self, sentence: str, lagging: bool = False) -> None:
        super().__init__(sentence)
        self.lagging = lagging


@dataclass(order=True)
class _Waiting(Generic[Item]):
    stamp_ns: int
    number: int
    item: Item = field(compare=False)
    size: int = field(compare=False)
    arrived_s: float = field(compare=False)


class PoseSynchronizer(Generic[Item]):
    """Queue of items in order of their stamps; safe to use from several threads.

    Args:
        timeout_s: wall time that an item waits.
        capacity: limit on the bytes of waiting items; a new item beyond it is refused.

    Attributes:
        size: bytes of the waiting items.
    """

    def __init__(self, timeout_s: float, capacity: int) -> None:
        self.size = 0
        self._timeout_s, self._capacity = timeout_s, capacity
        self._heap: list[_Waiting[Item]] = []
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, stamp_ns: int, item: Item, size: int, share: float = 1.0) -> bool:
        """Adds an item of `size` bytes; returns False where there is no room for it.

        Args:
            share: share of the capacity that may be in use with the item.
        """
        with self._lock:
            if self.size + size > share * self._capacity:
                return False
            self._push(_Waiting(stamp_ns, next(self._numbers), item, size, time.monotonic()))
            return True

    def _push(self, waiting: _Waiting[Item]) -> None:
        heapq.heappush(self._heap, waiting)
        self.size += waiting.size

    def clear(self) -> None:
        """Drops all items, after the stamps started over."""
        with self._lock:
            self._heap.clear()
            self.size = 0

    def take(
        self, use: Callable[[Item], None], on_timeout: Callable[[Item, str], None], drain: bool = False
    ) -> bool:
        """Passes the earliest item to `use`; returns whether an item left the queue.

        Args:
            use: raises NotYet where the item must wait longer.
            on_timeout: called with an item whose wait timed out, and with what it waited for.
            drain: whether no more items come, so that none is held for the sake of order.
        """
        with self._lock:
            if not self._heap:
                return False
            first = self._heap[0]
            waited_s = time.monotonic() - first.arrived_s
            late = drain or waited_s > self._timeout_s
            # Of the waiting ones only, so that one stray stamp of the future counts until it times out.
            newest_ns = max(waiting.stamp_ns for waiting in self._heap)
            if not late and newest_ns - first.stamp_ns < REORDER_NS:
                return False
            heapq.heappop(self._heap)
            self.size -= first.size
        try:
            use(first.item)
        except NotYet as reason:
            if drain or waited_s > self._timeout_s * (LAG_FACTOR if reason.lagging else 1):
                on_timeout(first.item, str(reason))
                return True
            with self._lock:
                self._push(first)
            return False
        return True
