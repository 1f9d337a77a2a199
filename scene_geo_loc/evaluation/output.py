"""Writing results so that a crash leaves the old file or none."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from scene_geo_loc.errors import SceneGeoLocError


def write_aside(path: Path, data: bytes) -> None:
    """Writes a file beside its place and renames it there; makes the folder where there is none.

    Raises SceneGeoLocError where the file cannot be written.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            aside.write_bytes(data)
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        raise SceneGeoLocError(f"{path} cannot be written: {error.strerror}; name another place.") from error


def write_json(path: Path, values: Any) -> None:
    """Writes JSON to be read by people too, aside first and then renamed."""
    write_aside(path, (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode())
