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

"""Changes of the map that is open, one at a time, in a thread: the node goes on in the new version."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rclpy.clock import Clock, ClockType

from scene_geo_loc.core.errors import MapError, SceneGeoLocError
from scene_geo_loc.core.folder_lock import FolderLock

if TYPE_CHECKING:
    from scene_geo_loc.localization.pose_localizer import PoseLocalizer
    from scene_geo_loc.mapping.reference_map import AnyMap
    from scene_geo_loc.ros.common.managed_node import ManagedNode

CHECK_S = 0.5
"""Time between two looks at a change that runs."""


@dataclass(frozen=True)
class MapChange:
    """A change of a map.

    Attributes:
        work: name of it, for messages, such as "map prune".
        is_new_version: whether it writes a new version of the folder of the open map.
        run: does it, in a thread; returns whether there is a new version.  It raises SceneGeoLocError where
            everything stayed as it was.
        on_end: called in the executor's thread with the sentence on why it failed, or "".
    """

    work: str
    is_new_version: bool
    run: Callable[[], bool]
    on_end: Callable[[str], None]


class MapChanges:
    """Runs changes of the open map in a thread, opens the new version there, and has it exchanged.

    Args:
        node: the node.
        path: folder of the map.
        open_again: opens the folder in its new version.
        on_begin: called in the executor's thread when a change of the open map begins.
        on_opened: called there with the new version, or with None where there is none.

    Attributes:
        lock: lock on the map, if it is held while the map is open; None: each change takes it.
    """

    def __init__(
        self,
        node: ManagedNode,
        path: Path,
        open_again: Callable[[], tuple[PoseLocalizer, AnyMap]],
        on_begin: Callable[[], None],
        on_opened: Callable[[tuple[PoseLocalizer, AnyMap] | None], None],
    ) -> None:
        self._node, self.path = node, path
        self._open_again, self._on_begin, self._on_opened = open_again, on_begin, on_opened
        self.lock: FolderLock | None = None
        self._change: MapChange | None = None
        self._thread: threading.Thread | None = None
        self._opened: tuple[PoseLocalizer, AnyMap] | None = None
        self._problem = ""
        # Of wall time: a simulated clock may stand still.
        self._timer = node.create_timer(CHECK_S, self._check, clock=Clock(clock_type=ClockType.STEADY_TIME))

    @property
    def running(self) -> MapChange | None:
        """The change that runs."""
        return self._change

    @property
    def refusal(self) -> str:
        """Sentence on why no other change can begin, or ""."""
        change = self._change
        return "" if change is None else f"{self.path}: {change.work} is running, wait for its end."

    def begin(self, change: MapChange) -> None:
        """Begins a change. Raises MapError while another one runs."""
        if self.refusal:
            raise MapError(self.refusal)
        self._change, self._problem, self._opened = change, "", None
        if change.is_new_version:
            self._on_begin()
        self._thread = threading.Thread(target=self._run, args=[change], name=change.work, daemon=True)
        self._thread.start()

    @contextmanager
    def locked(self, folder: Path, work: str) -> Iterator[FolderLock]:
        """Yields the lock on a folder, which may be that of the map. Raises MapError where another has it."""
        if self.lock is not None and self.lock.is_of(folder):
            yield self.lock
            return
        lock = FolderLock.acquire(folder, work, MapError)
        try:
            yield lock
        finally:
            lock.release()

    def _run(self, change: MapChange) -> None:
        try:
            if change.run():
                self._opened = self._open_again()
        except SceneGeoLocError as error:
            self._problem = str(error)
        except Exception as error:
            self._problem = f"{change.work} failed with a defect: {error!r}."

    def _check(self) -> None:
        """Ends a change that is complete."""
        if self._thread is None or self._thread.is_alive() or self._change is None:
            return
        change, opened = self._change, self._opened
        self._thread = self._change = self._opened = None
        if change.is_new_version:
            self._on_opened(opened)
        change.on_end(self._problem)

    def join(self) -> None:
        """Waits for the change that runs; its new version is not opened."""
        if self._thread is not None:
            self._thread.join()

    def close(self) -> None:
        """Ends the checks, once nothing runs any more."""
        self._node.destroy_timer(self._timer)
        self.join()
