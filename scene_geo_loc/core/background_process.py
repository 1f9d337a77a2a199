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

"""Work on a folder in a process of the lowest priority, so that its parent goes on beside it.

The process holds the parent's lock on the folder: where the parent is killed, it completes its work, and
nobody else changes the folder until then.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, TextIO

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.core.folder_lock import FolderLock

NICENESS = 19
"""Of the processes: the lowest priority."""
_LAST_LINES = 3
"""Lines of the standard error that are told where a process ends without an answer."""

Request = dict[str, Any]
"""JSON values that a process is asked with, or answers."""


class BackgroundProcess:
    """A process that does one piece of work and answers, see `answer_parent`.

    Args:
        module: its module, which calls `answer_parent`.
        request: what is asked of it.
        lock: lock on the folder that it changes, which it inherits; None: it changes none.
        work: name of the work, for messages.
        on_line: called in another thread with each line that it writes on its standard error; default: the
            lines go to that of this process.
    """

    def __init__(
        self,
        module: str,
        request: Request,
        lock: FolderLock | None,
        work: str,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        self._lock, self._work, self._on_line = lock, work, on_line
        held = None if lock is None else {"folder": str(lock.folder), "descriptor": lock.fileno()}
        self._request = {"request": request, "lock": held, "work": work, "niceness": NICENESS}
        self._last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if on_line is None else subprocess.PIPE,
            text=True,
            pass_fds=[] if lock is None else [lock.fileno()],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def result(self) -> Request:
        """Waits for the process and returns its answer.

        Raises SceneGeoLocError where the work failed, or where the process ended without an answer.
        """
        reader = threading.Thread(target=self._read_lines, name="lines of a process", daemon=True)
        reader.start()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            json.dump(self._request, self._process.stdin)
            self._process.stdin.close()
        output = self._process.stdout.read()
        self._process.wait()
        reader.join()
        if self._lock is not None:
            self._lock.name_holder()
        try:
            answer: Request = json.loads(output.splitlines()[-1])
            error = answer.pop("error", None)
        except (ValueError, IndexError):
            said = "".join(f" {line}" for line in self._last_lines)
            raise SceneGeoLocError(
                f"The process of {self._work} ended with status {self._process.returncode}.{said}"
            ) from None
        if error is not None:
            raise SceneGeoLocError(error)
        return answer

    def _read_lines(self) -> None:
        if self._process.stderr is None or self._on_line is None:
            return
        for line in self._process.stderr:
            self._last_lines.append(line.strip())
            self._on_line(line.strip())

    def terminate(self) -> None:
        """Asks the process to end, once it has removed what it has written unfinished."""
        self._process.terminate()

    def stop(self, patience_s: float = 5.0) -> None:
        """Ends the process; one that has not ended by itself in that time is killed."""
        self.terminate()
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()


def answer_parent(work: Callable[[Request], Request]) -> int:
    """Does what the request on the standard input asks, and prints the answer as a line of JSON.

    Args:
        work: takes the request and returns the answer; where it raises SceneGeoLocError, its sentence is the
            answer.

    Returns the exit status.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the parent, which waits
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.stderr = _UnreadStream(sys.stderr)
    asked = json.load(sys.stdin)
    os.nice(asked["niceness"])
    held, lock = asked["lock"], None
    if held is not None:
        lock = FolderLock.adopt(Path(held["folder"]), held["descriptor"], asked["work"])
    status = 0
    try:
        with nullcontext() if lock is None else lock.used_here():
            answer = work(asked["request"])
    except SceneGeoLocError as error:
        answer, status = {"error": str(error)}, 1
    finally:
        if lock is not None:
            lock.release(keeps_file=True)
    with suppress(BrokenPipeError):  # the parent was killed, and the work is complete
        print(json.dumps(answer), flush=True)
    return status


class _UnreadStream(io.TextIOBase):
    """A stream that is written to the end, into nothing once the process that reads it was killed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
            self._stream.flush()
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
        return len(text)

    def fileno(self) -> int:
        return self._stream.fileno()
