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

"""Lock on an output folder that is changed in place: one process at a time, and none after a crash.

Each output is written aside and renamed, so that readers need no lock.  Two processes that read the same
folder and then write a changed one in its place would lose the changes of the first: they take this lock
before they read.  It is a lock of the operating system (flock) on the file `.<folder>.lock` beside the
folder, which ends with the process, however it ends.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from scene_geo_loc.core.errors import SceneGeoLocError

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""Errors of file systems without locks: two writers at a time are not noticed there."""
_held = threading.local()
"""Folders that this thread has locked: `paths`, a set."""


class OutputLock:
    """Exclusive lock on a file, held until `release` or until the process ends, however it ends."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        """Use `OutputLock.acquire`."""
        self.path = path
        self._file = file

    @classmethod
    def acquire(cls, path: Path, *, create: bool = True, wait: bool = False) -> OutputLock:
        """Locks the file at `path`.

        Args:
            create: whether to create the file where there is none.
            wait: whether to wait while another process holds the lock.

        Raises:
            BlockingIOError: another process holds the lock.
            FileNotFoundError: there is no such file (any more).
            OSError: the file cannot be opened, or is a symbolic link.
        """
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        while True:
            file = os.fdopen(os.open(path, flags, 0o666), "r+b", buffering=0)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                file.close()
                raise
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    file.close()
                    raise
            # Its holder may have renamed or removed the file in the meantime.
            if _is_same(path, file):
                return cls(path, file)
            file.close()

    def fileno(self) -> int:
        """Returns the descriptor of the locked file; a process that inherits it holds the lock as well."""
        return self._file.fileno()

    def write(self, data: bytes) -> None:
        """Replaces what the file holds; a full disk leaves it empty."""
        with suppress(OSError):
            self._file.truncate(0)
            os.pwrite(self._file.fileno(), data, 0)

    def release(self, *, remove: bool = False) -> None:
        """Releases the lock, and removes its file first if asked to."""
        if remove:
            self.path.unlink(missing_ok=True)
        self._file.close()


def _is_same(path: Path, file: BinaryIO) -> bool:
    try:
        found = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(file.fileno()))


class FolderLock:
    """Right to change a folder, held until `release` or until the process ends.

    Attributes:
        folder: the folder; it need not exist.
    """

    def __init__(self, folder: Path, lock: OutputLock, work: str) -> None:
        """Use `acquire` or `adopt`."""
        self.folder = folder
        self._lock, self._work = lock, work
        self.name_holder()

    @classmethod
    def acquire(cls, folder: Path, work: str, error: type[SceneGeoLocError] = SceneGeoLocError) -> FolderLock:
        """Locks a folder.

        Args:
            folder: the folder that is to be changed.
            work: name of what changes it, for the message to others.
            error: class of the errors that are raised.

        Raises SceneGeoLocError where another process, or another thread of this one, holds the lock, or where
        the file beside the folder cannot be written.
        """
        target = Path(os.path.realpath(folder))
        path = target.with_name(f".{target.name}.lock")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            lock = OutputLock.acquire(path)
        except BlockingIOError:
            raise error(
                f"{folder} is being changed by {_holder_of(path)}: wait for it, or name another output."
            ) from None
        except OSError as failure:
            raise error(f"{folder} cannot be changed: {failure.strerror}.") from failure
        return cls(target, lock, work)

    @classmethod
    def adopt(cls, folder: Path, descriptor: int, work: str) -> FolderLock:
        """Takes over a lock that the parent process holds, by its inherited file descriptor.

        The folder stays locked until both have released it or ended.
        """
        target = Path(os.path.realpath(folder))
        file = os.fdopen(descriptor, "r+b", buffering=0)
        return cls(target, OutputLock(target.with_name(f".{target.name}.lock"), file), work)

    def fileno(self) -> int:
        """Returns the file descriptor, for a child process to inherit."""
        return self._lock.fileno()

    def is_of(self, folder: Path) -> bool:
        """Returns whether this is the lock on a folder."""
        return Path(os.path.realpath(folder)) == self.folder

    def name_holder(self) -> None:
        """Writes the number of this process into the file, for the message to others."""
        self._lock.write(json.dumps({"pid": os.getpid(), "work": self._work}).encode())

    def release(self, *, keeps_file: bool = False) -> None:
        """Unlocks the folder.

        Args:
            keeps_file: whether to leave the file, because the parent process holds the lock as well.
        """
        self._lock.release(remove=not keeps_file)

    @contextmanager
    def used_here(self) -> Iterator[None]:
        """Lets `changing` of this folder succeed in this thread, because this lock is held."""
        paths = _paths()
        paths.add(self.folder)
        try:
            yield
        finally:
            paths.discard(self.folder)


@contextmanager
def changing(folder: Path, work: str, error: type[SceneGeoLocError] = SceneGeoLocError) -> Iterator[None]:
    """Locks a folder while the block changes it; blocks of one thread may be nested.

    Arguments and errors are those of `FolderLock.acquire`.
    """
    if Path(os.path.realpath(folder)) in _paths():
        yield
        return
    lock = FolderLock.acquire(folder, work, error)
    try:
        with lock.used_here():
            yield
    finally:
        lock.release()


def _paths() -> set[Path]:
    if not hasattr(_held, "paths"):
        _held.paths = set()
    paths: set[Path] = _held.paths
    return paths


def _holder_of(path: Path) -> str:
    """Returns who holds a lock, by what its file says."""
    try:
        values = json.loads(path.read_bytes())
        return f"process {int(values['pid'])} ({values['work']})"
    except (OSError, ValueError, TypeError, KeyError):
        return "another process"
