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

"""Formats of files that outlive a release: each has a name and a version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scene_geo_loc.core.errors import SceneGeoLocError


@dataclass(frozen=True)
class FileFormat:
    """A file format, and the versions of it that this release reads.

    Attributes:
        name: name of the format, stored in each file.
        version: the version that is written, the newest that can be read.
        oldest: the oldest version that can be read.
        again: how to get a file that can be read, such as "build the map again".
        error: class of the errors that are raised.
    """

    name: str
    version: int
    oldest: int = 1
    again: str = "make it again"
    error: type[SceneGeoLocError] = SceneGeoLocError

    @property
    def header(self) -> dict[str, Any]:
        """Values in a JSON object that identify its format and version."""
        return {"format": self.name, "format_version": self.version}

    def is_format_of(self, values: Any) -> bool:
        """Returns whether JSON values are of this format, in any version."""
        return isinstance(values, Mapping) and values.get("format") == self.name

    def check(self, values: Any, path: Path) -> int:
        """Returns the version of JSON values.

        Args:
            values: the file's JSON, with the keys of `header`.
            path: the file, for the message.

        Raises `error` where they are of another format or of a version that cannot be read.
        """
        if not self.is_format_of(values):
            found = values.get("format") if isinstance(values, Mapping) else None
            raise self.error(
                f"{path} has the format {found!r} and not {self.name!r}: name another, or {self.again}."
            )
        return self.check_version(values.get("format_version"), path)

    def check_version(self, version: Any, path: Path) -> int:
        """Returns a version. Raises `error` where it cannot be read."""
        if not isinstance(version, int):
            raise self.error(f"{path} does not say the version of its format: {self.again}.")
        if version > self.version:
            raise self.error(
                f"{path} has format version {version} and this release reads up to {self.version}: "
                f"update scene_geo_loc, or {self.again}."
            )
        if version < self.oldest:
            raise self.error(
                f"{path} has format version {version} and this release reads {self.oldest} and newer: "
                f"{self.again}."
            )
        return version
