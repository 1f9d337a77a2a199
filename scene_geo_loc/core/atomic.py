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

"""Files and folders that get their final name only when they are complete and on the disk."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scene_geo_loc.core.errors import SceneGeoLocError

_AT_FDCWD = -100
_NOREPLACE, _EXCHANGE = 1, 2
_NOT_SUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP)


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yields the name of an empty file beside `path`, and renames it to `path` if the block succeeds.

    Missing folders are created.  A symbolic link is kept and the file that it points to is replaced.

    Raises SceneGeoLocError where the file cannot be written, or where `path` is a folder, a pipe or a device.
    """
    try:
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file():
            raise SceneGeoLocError(f"{path} is not a regular file: name another place.")
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.partial")
        os.close(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
        try:
            yield aside
            sync(aside)
            aside.replace(target)
            sync(target.parent)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        raise SceneGeoLocError(f"{path} cannot be written: {error.strerror}; name another place.") from error


def write_aside(path: Path, data: bytes) -> None:
    """Writes a whole file, see `written_aside`."""
    with written_aside(path) as aside:
        aside.write_bytes(data)


def write_json(path: Path, values: Any) -> None:
    """Writes indented JSON, see `written_aside`."""
    write_aside(path, (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode())


def sync(path: Path) -> None:
    """Waits until a file, or the list of a folder's files, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot sync a folder.
        if error.errno not in _NOT_SUPPORTED:
            raise
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Waits until a folder with all its files is on the disk."""
    for root, _, files in os.walk(folder):
        for name in files:
            sync(Path(root, name))
        sync(Path(root))


def rename_new(source: Path, target: Path) -> None:
    """Renames a file or folder. Raises FileExistsError where `target` exists, even as an empty folder."""
    try:
        _renameat2(source, target, _NOREPLACE)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        source.rename(target)


def exchange(first: Path, second: Path) -> bool:
    """Exchanges two names in one step, so that neither is missing at any time.

    Returns False, with nothing done, where the file system cannot.
    """
    try:
        _renameat2(first, second, _EXCHANGE)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
        return False
    return True


def _renameat2(source: Path, target: Path, flags: int) -> None:
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from None
    if call(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(source), None, str(target))
