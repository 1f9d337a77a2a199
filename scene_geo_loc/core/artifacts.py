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

"""Cache of the folders that a command has made, so that each is made only once."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from scene_geo_loc import __version__
from scene_geo_loc.core.atomic import write_json
from scene_geo_loc.core.errors import SceneGeoLocError, reason_of


class ArtifactCache:
    """Folders below `root`, each with a record of its inputs and of the sizes of its files.

    The records are in `made.json`.  Only folders that have a record are ever removed.

    Raises SceneGeoLocError where `root` is not empty and has no such file, or cannot be read or written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._file = root / "made.json"
        try:
            self._records: dict[str, Any] = dict(json.loads(self._file.read_text()))
        except FileNotFoundError:
            if root.is_dir() and any(root.iterdir()):
                raise SceneGeoLocError(
                    f"{root} is not empty and was not made by this command: name another folder."
                ) from None
            self._records = {}
            write_json(self._file, {})
        except (OSError, ValueError, TypeError) as error:
            raise SceneGeoLocError(
                f"{self._file} cannot be read ({reason_of(error)}): remove {root}."
            ) from error

    def is_complete(self, name: str, origin: dict[str, Any]) -> bool:
        """Returns whether this version made `name` from `origin` and its files still have their sizes."""
        return self._records.get(name) == self._record(name, origin)

    def begin(self, name: str) -> Path:
        """Removes what an earlier run has made as `name`. Returns the path to make it at.

        Raises SceneGeoLocError where there is something that this command has not made.
        """
        path = self.root / name
        if os.path.lexists(path):
            if name not in self._records or path.is_symlink() or not path.is_dir():
                raise SceneGeoLocError(
                    f"{path} is in the way and was not made by this command: rename or remove it."
                )
            shutil.rmtree(path)
        self._records[name] = {"unfinished": True}
        write_json(self._file, self._records)
        return path

    def finish(self, name: str, origin: dict[str, Any]) -> None:
        """Records that the folder `name` is complete."""
        self._records[name] = self._record(name, origin)
        write_json(self._file, self._records)

    def record_of(self, name: str) -> dict[str, Any]:
        """Returns the record of a folder."""
        return dict(self._records[name])

    def _record(self, name: str, origin: dict[str, Any]) -> dict[str, Any]:
        files = sorted(file for file in (self.root / name).rglob("*") if file.is_file())
        sizes = {str(file.relative_to(self.root / name)): file.stat().st_size for file in files}
        return {"version": __version__, "from": origin, "files": sizes}
