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

"""Storage files of recordings: which there are, and how those that rosbags does not take are read."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.traversals.folder import lfs_size
from scene_geo_loc.traversals.rosbag.mcap_recovery import RecoveredMcap, ends_early, ros2_head

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

logger = logging.getLogger(__name__)

SUFFIXES = (".bag", ".mcap", ".db3")
COMPRESSED = (".zstd", ".zst")
"""Suffixes after one of `SUFFIXES`, of files compressed as a whole."""

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def is_storage_file(path: Path) -> bool:
    """Returns whether a path has the name of a storage file, compressed or not."""
    return _storage_suffix(path) in SUFFIXES


def storage_files(folder: Path) -> list[Path]:
    """Returns the storage files in a folder, all of one kind."""
    files = sorted(file for file in folder.iterdir() if not file.name.startswith(".") and file.is_file())
    for suffix in SUFFIXES:
        for compressed in (False, True):
            found = [
                file
                for file in files
                if _storage_suffix(file) == suffix and (file.suffix in COMPRESSED) == compressed
            ]
            if found:
                return found
    return []


def check_pointers(files: Sequence[Path]) -> None:
    """Raises TraversalError where a file is a pointer of Git LFS in place of the recording."""
    for file in files:
        size = lfs_size(file)
        if size is not None:
            raise TraversalError(
                f"{file}: a pointer of Git LFS instead of the recording of {size} bytes; get it by "
                "`git lfs pull`."
            )


def uncompressed(files: Sequence[Path], scratch: Path) -> list[Path]:
    """Returns storage files, those that are compressed as a whole uncompressed in a folder.

    Raises:
        TraversalError: a file cannot be uncompressed.
    """
    return [_uncompressed(file, scratch) if file.suffix in COMPRESSED else file for file in files]


def readable(files: Sequence[Path]) -> list[Any]:
    """Returns what rosbags opens for storage files: stand-ins for MCAP files without end or with a profile
    other than `ros2`.

    Raises:
        TraversalError: a file is a recording of ROS 1, or ends within its first record.
    """
    return [_readable_mcap(file) if file.suffix == ".mcap" else file for file in files]


def message_data(raw: bytes) -> bytes:
    """Returns a serialized message, uncompressed where the recorder compressed each message.

    A serialized message begins with zero.
    """
    return zstd.decompress(raw) if raw.startswith(_ZSTD_MAGIC) else raw


def _storage_suffix(path: Path) -> str:
    return Path(path.stem).suffix if path.suffix in COMPRESSED else path.suffix


def _uncompressed(file: Path, scratch: Path) -> Path:
    out = scratch / file.stem
    try:
        with file.open("rb") as raw, zstd.open(raw, "rb") as source, out.open("wb") as target:
            shutil.copyfileobj(source, target)
    except (OSError, EOFError, zstd.ZstdError) as error:
        raise TraversalError(f"{file}: the recording cannot be uncompressed ({error}).") from error
    return out


def _readable_mcap(file: Path) -> Path | RecoveredMcap:
    is_cut, head = ends_early(file), ros2_head(file)
    if not is_cut and not head:
        return file
    if is_cut:
        logger.warning("%s has no end, as if its recorder was killed; the messages before are used", file)
    return RecoveredMcap(file, is_cut=is_cut, head=head)
