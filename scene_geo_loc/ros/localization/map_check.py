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

"""Verification of a map's large files in the background, while the node already localizes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from enum import Enum

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.mapping.reference_map import AnyMap


class CheckStatus(str, Enum):
    """Progress of a verification; the value is that of diagnostics."""

    WAITING = "waiting"
    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"


class MapCheck:
    """Compares the files of a map that were not read when it was opened with their checksums, once.

    The thread has the lowest priority and rests as long as it works, so that it leaves half of a slow disk to
    the localizer.

    Args:
        on_failure: called with the sentence of a file that differs.

    Attributes:
        status: its progress.
        problem: the sentence of a file that differs, else "".
    """

    def __init__(self, reference_map: AnyMap, on_failure: Callable[[str], None]) -> None:
        self.status, self.problem = CheckStatus.WAITING, ""
        self._map, self._on_failure = reference_map, on_failure
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="map-check", daemon=True)

    def start(self) -> None:
        """Begins, unless it has begun before."""
        if self.status is CheckStatus.WAITING:
            self.status = CheckStatus.RUNNING
            self._thread.start()

    def close(self) -> None:
        """Ends the thread, finished or not."""
        self._stop.set()
        if self.status is not CheckStatus.WAITING:
            self._thread.join()

    def _run(self) -> None:
        with suppress(AttributeError, OSError):  # Linux has a priority for each thread
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        self._block_s = time.monotonic()
        try:
            self._map.verify(self._map.large_files, self._rest)
        except _Stopped:
            return
        except MapError as error:
            self.problem = str(error)
            self.status = CheckStatus.FAILED
            self._on_failure(self.problem)
        else:
            self.status = CheckStatus.PASSED

    def _rest(self) -> None:
        if self._stop.wait(time.monotonic() - self._block_s):
            raise _Stopped
        self._block_s = time.monotonic()


class _Stopped(Exception):
    """The check is to end before it has read everything."""
