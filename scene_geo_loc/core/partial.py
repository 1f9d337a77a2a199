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

"""Output folders that are written beside their final name: under that name is a complete one or none.

While `street` is being written, its files are in `street.partial`.  A marker file in that folder names the
kind of output; the process that writes the output holds a lock on the marker.  A folder without a marker is
never changed.
"""

from __future__ import annotations

import glob
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Collection
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from scene_geo_loc.core.atomic import exchange, rename_new, sync, sync_tree
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.core.folder_lock import OutputLock, changing

MARKER = ".scene_geo_loc_partial"
"""File that marks a folder as an unfinished output, or as one that is being replaced."""
_TEMPORARY = re.compile(r"partial\.[0-9a-f]{8}|[0-9a-f]{8}\.replaced")
"""Ends of the names that a folder has for an instant while it is created or replaced."""


class PartialFolder:
    """The folder beside `out` that an output is written to.

    `take_up` continues what an earlier process left, `begin` creates the folder, `publish` gives it its
    final name.

    Attributes:
        out: final name of the output.
        folder: where it is written: `<out>.partial`, or `.<out>.partial`.
    """

    def __init__(
        self,
        out: Path,
        kind: str,
        *,
        hidden: bool = False,
        wait: bool = False,
        error: type[SceneGeoLocError] = SceneGeoLocError,
    ) -> None:
        """Prepares an output; nothing is read or written yet.

        Args:
            out: final name of the output.
            kind: kind of the output, such as "reference map"; another kind is never taken up.
            hidden: whether the name of the partial folder begins with a dot.
            wait: whether to wait for another process that writes the same output, else it is an error.
            error: class of the errors that are raised.

        Raises SceneGeoLocError where `out` has no name that a folder can be created by.
        """
        self.out = Path(out)
        self._kind, self._wait, self._error = kind, wait, error
        if self.out.name in ("", ".."):
            raise error(f"{out} cannot be the name of a {kind}: name a new folder.")
        self.folder = self.out.with_name(f"{'.' if hidden else ''}{self.out.name}.partial")
        self._lock: OutputLock | None = None

    def take_up(self) -> bool:
        """Locks what an earlier process left unfinished. Returns False where there is nothing.

        Raises SceneGeoLocError where something else has its name, where another process writes to it, or
        where it holds symbolic links, pipes or devices.
        """
        if self._lock is not None:
            return True
        if not os.path.lexists(self.folder):
            return False
        if self._read_marker(self.folder) is None:
            raise self._error(
                f"{self.folder} is in the way and is not an unfinished {self._kind} of this version: "
                "rename or remove it, or name another output."
            )
        try:
            lock = OutputLock.acquire(self.folder / MARKER, create=False, wait=self._wait)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            raise self._error(
                f"{self.out} is being written by another process: wait for it, or name another output."
            ) from None
        except OSError as failure:
            raise self._error(f"{self.folder} cannot be written: {failure.strerror}.") from failure
        self._lock = lock
        try:
            if (self._read_marker(self.folder) or {}).get("replaced"):
                # The process ended after it had exchanged the old output for the new one.
                self.discard()
                return False
            self._refuse_links()
        except BaseException:
            self.release()
            raise
        return True

    def begin(self) -> Path:
        """Creates the folder, unless it is taken up already. Returns its path.

        Raises SceneGeoLocError as `take_up` does, and where the folder cannot be created.
        """
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            while not self.take_up():
                self._create()
        except OSError as failure:
            raise self._error(
                f"{self.out} cannot be written: {failure.strerror}; name another place."
            ) from failure
        return self.folder

    def begin_new(self) -> list[Path]:
        """Creates the folder under the first name that is free: `<out>.partial`, `<out>.partial2`, ...

        Returns the folders that had the names before it, which are kept.
        Raises SceneGeoLocError where the folder cannot be created.
        """
        first, taken = self.folder, []
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            while self._lock is None:
                if os.path.lexists(self.folder):
                    taken.append(self.folder)
                    self.folder = first.with_name(f"{first.name}{len(taken) + 1}")
                else:
                    self._create()
        except OSError as failure:
            raise self._error(
                f"{self.out} cannot be written: {failure.strerror}; name another place."
            ) from failure
        return taken

    def _create(self) -> None:
        """Creates the folder with its marker in one step, unless another process is faster."""
        aside = self._temporary("partial.{}")
        aside.mkdir()
        try:
            self._write_marker(aside)
            lock = OutputLock.acquire(aside / MARKER)
            rename_new(aside, self.folder)
        except (FileExistsError, FileNotFoundError):
            shutil.rmtree(aside, ignore_errors=True)
            return
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        lock.path = self.folder / MARKER
        self._lock = lock

    def restart(self) -> None:
        """Removes what the folder holds; the lock is kept."""
        for entry in self.folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name != MARKER:
                entry.unlink()

    def discard(self) -> None:
        """Removes the folder, if it is taken up or begun."""
        if self._lock is not None:
            with suppress(OSError):
                aside = self._temporary("partial.{}")
                self.folder.rename(aside)
                _remove(aside)
            self.release()

    def release(self) -> None:
        """Unlocks the folder and leaves it, to be taken up later."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def publish(
        self, check_replaced: Callable[[Path], None] | None = None, content: Path | None = None
    ) -> None:
        """Gives the complete output its final name, once it is on the disk.

        Args:
            check_replaced: called with `out` where that exists already; raises unless it may be replaced.
                Without it nothing is replaced.
            content: the folder inside `folder` that becomes the output; default: `folder` itself.

        Raises SceneGeoLocError where `out` exists and may not be replaced, where another process changes it,
        or where it cannot be written.
        """
        assert self._lock is not None
        source = content or self.folder
        try:
            for left in source.rglob(".*.partial"):  # of files that a killed process was writing
                left.unlink()
            sync_tree(source)
            if os.path.lexists(self.out):
                if check_replaced is None:
                    raise FileExistsError
                with changing(self.out, f"writing a {self._kind}", self._error):
                    check_replaced(self.out)
                    self._replace(source)
            else:
                rename_new(source, self.out)
            sync(self.out.parent)
        except FileExistsError:
            raise self._error(
                f"{self.out} exists already; the finished {self._kind} is in {source}."
            ) from None
        except OSError as failure:
            raise self._error(f"{self.out} cannot be written: {failure.strerror}.") from failure
        if content is not None:
            self.discard()
            return
        (self.out / MARKER).unlink()
        self._remove_rests()
        self.release()

    def _replace(self, source: Path) -> None:
        """Puts `source` in the place of `out`, and removes what was there."""
        self._write_marker(self.out, replaced=True)
        aside = self._temporary("{}.replaced")
        if exchange(source, self.out):
            rename_new(source, aside)
        else:
            rename_new(self.out, aside)
            rename_new(source, self.out)
        _remove(aside)

    def _temporary(self, name: str) -> Path:
        """Returns a unique path that matches `_TEMPORARY`."""
        return self.out.with_name(f".{self.out.name}.{name.format(secrets.token_hex(4))}")

    def _remove_rests(self) -> None:
        """Removes the folders that killed processes left under temporary names."""
        prefix = f".{self.out.name}."
        for folder in self.out.parent.glob(f"{glob.escape(prefix)}*"):
            if not _TEMPORARY.fullmatch(folder.name, len(prefix)) or folder.is_symlink():
                continue
            with suppress(OSError):
                if self._read_marker(folder) is None:
                    folder.rmdir()  # killed before its last step: the folder is empty
                    continue
                lock = OutputLock.acquire(folder / MARKER, create=False)
                _remove(folder)
                lock.release()

    def _write_marker(self, folder: Path, *, replaced: bool = False) -> None:
        """Writes the marker in place: one that a kill tears is not read, and written again."""
        (folder / MARKER).unlink(missing_ok=True)  # a symbolic link would be followed
        (folder / MARKER).write_text(json.dumps({"kind": self._kind, "replaced": replaced}))

    def _read_marker(self, folder: Path) -> dict[str, Any] | None:
        """Returns the content of a folder's marker; None where there is no marker of this kind."""
        marker = folder / MARKER
        try:
            if folder.is_symlink() or not stat.S_ISREG(marker.lstat().st_mode):
                return None
            values = json.loads(marker.read_bytes())
        except (OSError, ValueError):
            return None
        return values if isinstance(values, dict) and values.get("kind") == self._kind else None

    def _refuse_links(self) -> None:
        for root, folders, files in os.walk(self.folder):
            for name in (*folders, *files):
                mode = os.lstat(Path(root, name)).st_mode
                if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                    raise self._error(
                        f"{Path(root, name)} is neither a regular file nor a folder: remove {self.folder}."
                    )


def _remove(folder: Path) -> None:
    """Removes a folder, its marker last: whenever this is interrupted, it can be continued."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != MARKER:
            entry.unlink()
    (folder / MARKER).unlink(missing_ok=True)
    folder.rmdir()


def check_replaceable(
    folder: Path,
    kind: str,
    is_own: Callable[[Path], bool],
    names: Collection[str],
    error: type[SceneGeoLocError] = SceneGeoLocError,
) -> None:
    """Raises `error` unless a folder is empty, or an earlier output of this kind that holds nothing else.

    Args:
        is_own: whether the folder is such an output.
        names: names that such an output may hold, with `*` for anything.
    """
    if folder.is_symlink():
        raise error(f"{folder} is a symbolic link and is not replaced: name the folder that it points to.")
    entries = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else None
    if entries == []:
        return
    if entries is None or not is_own(folder):
        raise error(f"{folder} is no {kind} and is not replaced: remove it, or name another folder.")
    foreign = [name for name in entries if not any(fnmatchcase(name, known) for known in (*names, MARKER))]
    if foreign:
        raise error(
            f"{folder} is not replaced, because it also holds {foreign[0]}, which is not part of a {kind}: "
            "move that away, or name another folder."
        )
