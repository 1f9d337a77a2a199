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

"""Journal of work that is done in parts, so that it can be resumed after a kill."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

from scene_geo_loc.core.atomic import write_aside

Record = TypeVar("Record")


class Journal(Generic[Record]):
    """A file of JSON lines: the inputs of a piece of work, then a record of each part that is done.

    The first line that cannot be read ends the journal: its writer was killed, and that part is done again.

    Attributes:
        path: the file.
        head: inputs of the work; None where there is no journal yet.
        records: the parts that are done.
    """

    def __init__(self, path: Path, decode: Callable[[Any], Record]) -> None:
        """Reads what an earlier process wrote.

        Args:
            path: the file.
            decode: makes a record of a line's JSON; may raise ValueError, TypeError or KeyError.
        """
        self.path = path
        self.head: Any = None
        self.records: list[Record] = []
        self._file: BinaryIO | None = None
        try:
            lines = path.read_bytes().split(b"\n")[:-1]  # what follows the last newline is torn
        except FileNotFoundError:
            return
        for number, line in enumerate(lines):
            try:
                values = json.loads(line)
                if number:
                    self.records.append(decode(values))
                else:
                    self.head = values
            except (ValueError, TypeError, KeyError):
                break

    def open(self, head: Any, encode: Callable[[Record], Any]) -> None:
        """Writes the head and the records read, whole lines only, and opens the file to append.

        Args:
            head: inputs of the work.
            encode: makes JSON values of a record.
        """
        self.head, self._encode = head, encode
        lines = (json.dumps(values) for values in (head, *map(encode, self.records)))
        write_aside(self.path, "".join(f"{line}\n" for line in lines).encode())
        self._file = self.path.open("ab", buffering=0)

    def append(self, record: Record) -> None:
        """Adds a part whose files are written.

        Raises OSError where there is no room for it; the journal is then as before.
        """
        assert self._file is not None
        line = json.dumps(self._encode(record)).encode() + b"\n"
        before = self._file.tell()
        try:
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            self._file.truncate(before)
            raise
        self.records.append(record)

    def close(self) -> None:
        """Closes the file and keeps it."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def remove(self) -> None:
        """Closes and removes the file."""
        self.close()
        self.path.unlink(missing_ok=True)
