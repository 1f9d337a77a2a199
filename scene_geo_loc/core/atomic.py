"""Writing results so that a crash leaves the old file or none."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scene_geo_loc.core.errors import SceneGeoLocError


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Gives the name of a file to write beside `path`, and renames it to `path` if all went well.

    The folder is made where there is none.
    Raises SceneGeoLocError where the file cannot be written.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield aside
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        raise SceneGeoLocError(f"{path} cannot be written: {error.strerror}; name another place.") from error


def write_aside(path: Path, data: bytes) -> None:
    """Writes a whole file, see `written_aside`."""
    with written_aside(path) as aside:
        aside.write_bytes(data)


def write_json(path: Path, values: Any) -> None:
    """Writes JSON to be read by people too, see `written_aside`."""
    write_aside(path, (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode())
