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

"""Progress of long tasks: the one type of callback that all of them report to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

Item = TypeVar("Item")

ProgressCallback = Callable[[int, int], None]
"""Receives the number of items done and the total number of items."""
ProgressDisplay = Callable[[str, str], AbstractContextManager[ProgressCallback]]
"""Opens the display of one task from its title and the unit of its items."""


def ignore_progress(done: int, total: int) -> None:
    """Shows nothing: the default `ProgressCallback`."""


def no_display(title: str, unit: str) -> AbstractContextManager[ProgressCallback]:
    """Shows nothing: the default `ProgressDisplay`."""
    return nullcontext(ignore_progress)


def tracked(items: Iterable[Item], total: int, on_progress: ProgressCallback) -> Iterator[Item]:
    """Yields the items and reports the number done, 0 first."""
    on_progress(0, total)
    for done, item in enumerate(items, start=1):
        yield item
        on_progress(done, total)
