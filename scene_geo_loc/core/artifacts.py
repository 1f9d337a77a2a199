"""What a command has made in its folder, and from what, so that it is made only once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from scene_geo_loc import __version__
from scene_geo_loc.core.atomic import write_json
from scene_geo_loc.core.errors import SceneGeoLocError


class Made:
    """Remembers for each folder below `root` what it was made from and how large it was then.

    Raises SceneGeoLocError where `root` holds something else already.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._file = root / "made.json"
        try:
            self._records: dict[str, Any] = json.loads(self._file.read_text())
        except FileNotFoundError:
            if root.is_dir() and any(root.iterdir()):
                raise SceneGeoLocError(
                    f"{root} is not a folder that this command has made: name another with --out."
                ) from None
            self._records = {}
            write_json(self._file, {})
        except (OSError, ValueError) as error:
            raise SceneGeoLocError(f"{self._file} cannot be read ({error}): remove {root}.") from error

    def is_there(self, name: str, origin: dict[str, Any]) -> bool:
        """Whether the folder `name` was made from `origin` by this version and has its full size still."""
        return self._records.get(name) == self._record(name, origin)

    def forget(self, name: str) -> Path:
        """Removes what there is of the folder `name`; returns its path."""
        if self._records.pop(name, None) is not None:
            write_json(self._file, self._records)
        shutil.rmtree(self.root / name, ignore_errors=True)
        return self.root / name

    def remember(self, name: str, origin: dict[str, Any]) -> None:
        """Notes that the folder `name` is complete."""
        self._records[name] = self._record(name, origin)
        write_json(self._file, self._records)

    def record_of(self, name: str) -> dict[str, Any]:
        """What is remembered of a folder that is there."""
        return dict(self._records[name])

    def _record(self, name: str, origin: dict[str, Any]) -> dict[str, Any]:
        files = sorted(file for file in (self.root / name).rglob("*") if file.is_file())
        sizes = {str(file.relative_to(self.root / name)): file.stat().st_size for file in files}
        return {"version": __version__, "from": origin, "files": sizes}
