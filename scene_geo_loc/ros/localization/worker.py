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

"""A worker thread that takes the newest item and drops older ones."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class NewestWorker(Generic[Item]):
    """Calls `process` with the newest item submitted, one at a time, in a thread of its own.

    Args:
        process: called with each item.
        on_error: called with an exception of `process`; the thread continues.
    """

    def __init__(self, process: Callable[[Item], None], on_error: Callable[[Exception], None]) -> None:
        self._process, self._on_error = process, on_error
        self._waiting: Item | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)
        self._thread.start()

    def submit(self, item: Item) -> bool:
        """Submits an item; returns whether it replaces one that was still waiting."""
        with self._changed:
            replaced = self._waiting is not None
            self._waiting = item
            self._changed.notify()
            return replaced

    def clear(self) -> None:
        """Drops the waiting item."""
        with self._changed:
            self._waiting = None

    def close(self) -> None:
        """Ends the thread after its present item."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._waiting is not None)
                if self._closed:
                    return
                item, self._waiting = self._waiting, None
            assert item is not None
            try:
                self._process(item)
            except Exception as error:
                self._on_error(error)
