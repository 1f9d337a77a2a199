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

"""Recordings of ROS 1 and ROS 2 in any of their storage formats, opened for reading."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore

from scene_geo_loc.core.errors import TraversalError, reason_of
from scene_geo_loc.core.regular_file import regular
from scene_geo_loc.traversals.rosbag.message_types import add_missing_types
from scene_geo_loc.traversals.rosbag.storage import (
    COMPRESSED,
    SUFFIXES,
    check_pointers,
    is_storage_file,
    message_data,
    readable,
    storage_files,
    uncompressed,
)

logger = logging.getLogger(__name__)

TRANSFORMS = ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage")
"""Message types of transforms in ROS 2 and ROS 1."""


@dataclass(frozen=True)
class BagMessage:
    """Message of a recording, not yet decoded.

    Attributes:
        log_time_ns: time of recording.
        raw: its serialized bytes, beginning with a std_msgs/Header for all stamped messages.
    """

    topic: str
    kind: str
    log_time_ns: int
    raw: bytes
    reader: AnyReader

    def decode(self) -> Any:
        """Returns the message with its fields. Raises ValueError where the bytes do not fit its type."""
        try:
            return self.reader.deserialize(self.raw, self.kind)
        except Exception as error:  # the library's generated code raises any exception
            raise ValueError(f"a message on {self.topic} cannot be decoded ({reason_of(error)})") from error

    @property
    def stamp_ns(self) -> int:
        """Stamp of the header, read without decoding the rest; the time of recording where it is zero.

        In both serializations four bytes precede the stamp: CDR's encapsulation header, whose
        second byte is 1 for little endian, and ROS 1's sequence number.  Before the first of several
        transforms there is their number, too.
        """
        start = 8 if self.kind in TRANSFORMS else 4
        if len(self.raw) < start + 8:
            return self.log_time_ns
        little = not self.reader.is2 or self.raw[1] & 1
        seconds, nanoseconds = struct.unpack_from("<II" if little else ">II", self.raw, start)
        return (seconds * 10**9 + nanoseconds) or self.log_time_ns


def is_bag(path: Path) -> bool:
    """Returns whether a path looks like a recording: a storage file, or a folder with one."""
    if path.is_dir():
        return (path / "metadata.yaml").is_file() or bool(storage_files(path))
    return is_storage_file(path)


class Bag:
    """Recording of ROS 1 (.bag), or of ROS 2 as a folder or a single file (MCAP, sqlite3).

    Attributes:
        topics: message type of each topic, as `package/msg/Name`.
        counts: number of messages of each topic.

    Raises TraversalError where it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # Holds uncompressed files; it is removed with this object.
        self._scratch = TemporaryDirectory(prefix="scene_geo_loc_") if _is_compressed(path) else None
        self._sources, reader = _open_first(path, self._scratch)
        with closing(reader):
            self.topics = {connection.topic: connection.msgtype for connection in reader.connections}
            self.counts: dict[str, int] = {}
            for connection in reader.connections:
                self.counts[connection.topic] = self.counts.get(connection.topic, 0) + (
                    connection.msgcount or 0  # damaged metadata has none
                )

    def of_kind(self, *kinds: str) -> list[str]:
        """Returns the topics of some message types, in alphabetical order."""
        return sorted(topic for topic, kind in self.topics.items() if kind in kinds)

    def messages(self, topics: Collection[str]) -> Iterator[BagMessage]:
        """Yields the messages of some topics in the order of recording.

        A damaged recording gives the messages before the damage; a warning reports that the rest is left
        out.

        Raises:
            TraversalError: the first message cannot be read.
        """
        count = 0
        with closing(_opened(self._sources)) as reader:
            connections = [connection for connection in reader.connections if connection.topic in topics]
            if not connections:
                return
            try:
                for connection, log_time, raw in reader.messages(connections):
                    yield BagMessage(
                        connection.topic, connection.msgtype, log_time, message_data(raw), reader
                    )
                    count += 1
            except (GeneratorExit, TraversalError):
                raise
            except Exception as error:  # the storage libraries raise any exception
                if count == 0:
                    raise TraversalError(f"{self.path}: the bag is damaged ({reason_of(error)}).") from error
                logger.warning(
                    "%s is damaged after %d messages (%s); the messages before are used",
                    self.path,
                    count,
                    error,
                )

    @contextmanager
    def random_access(self, topic: str) -> Iterator[Callable[[int], list[BagMessage]]]:
        """Gives a function that returns the messages of a topic recorded at a time; none where damaged."""
        with closing(_opened(self._sources)) as reader:
            connections = [connection for connection in reader.connections if connection.topic == topic]

            def at(log_time_ns: int) -> list[BagMessage]:
                try:
                    found = list(reader.messages(connections, log_time_ns, log_time_ns + 1))
                except Exception:  # the storage libraries raise any exception
                    return []
                return [
                    BagMessage(connection.topic, connection.msgtype, log_time, message_data(raw), reader)
                    for connection, log_time, raw in found
                ]

            yield at


def _open_first(path: Path, scratch: TemporaryDirectory[str] | None) -> tuple[list[Any], AnyReader]:
    """Returns what rosbags opens for a path, and the first reader.

    First it is opened as it is, with its metadata; then its storage files alone, with stand-ins for those
    that rosbags does not take.
    """
    if not path.exists():
        raise TraversalError(f"{path} does not exist; check the path of the bag.")
    files = storage_files(path) if path.is_dir() else [path]
    if not files:
        raise TraversalError(f"{path}: no bag here, not one {', '.join(SUFFIXES)} file.")
    for file in files:
        try:
            regular(file)
        except OSError as error:
            raise TraversalError(f"{file}: the bag cannot be read ({reason_of(error)}).") from error
    check_pointers(files)
    has_metadata = path.is_dir() and (path / "metadata.yaml").is_file()
    sources: list[Any] = [path] if has_metadata else files
    trouble: Exception | None = None
    if scratch is None:
        try:
            return sources, _opened(sources)
        except Exception as error:  # damaged files make the libraries raise any exception
            trouble = error
    else:
        files = uncompressed(files, Path(scratch.name))
    sources = readable(files)
    if trouble is not None and sources == files and not has_metadata:
        raise TraversalError(f"{path}: {_why_not(files, trouble)}") from trouble
    try:
        reader = _opened(sources)
    except Exception as error:
        raise TraversalError(f"{path}: {_why_not(files, trouble or error)}") from error
    if trouble is not None and sources == files:
        logger.warning("%s: metadata.yaml is not usable (%s); the storage files are read", path, trouble)
    return sources, reader


def _is_compressed(path: Path) -> bool:
    files = storage_files(path) if path.is_dir() else [path]
    return any(file.suffix in COMPRESSED for file in files)


def _opened(paths: list[Any]) -> AnyReader:
    is_ros1 = all(path.suffix == ".bag" for path in paths)
    store = get_typestore(Stores.ROS1_NOETIC if is_ros1 else Stores.ROS2_JAZZY)
    reader = AnyReader(paths, default_typestore=store)
    reader.open()
    add_missing_types(reader)
    return reader


def _why_not(files: list[Path], error: Exception) -> str:
    repair = {
        ".bag": "; if its recording was cut off, `rosbag reindex` repairs it",
        ".db3": "; if its recording was cut off, `sqlite3 FILE .recover` saves what is there",
    }
    if isinstance(error, KeyError) and error.args[0] == "unknown":
        return "it lacks the definition of a message type; convert it to MCAP where that type is installed."
    if isinstance(error, KeyError):
        return f"its messages are encoded as {error.args[0]}, not as those of ROS 2 (CDR)."
    hint = repair.get(files[0].suffix, "") if files else ""
    return f"the bag cannot be opened ({reason_of(error).rstrip('.')}){hint}."
