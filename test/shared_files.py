"""Files that a test run makes once for all of its processes."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest


def made_once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Returns the file or folder that `make` writes at the path it is given; tests only read it.

    Args:
        name: the same one in every process of pytest-xdist; the first to ask makes it, the others wait.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    path, complete = folder / "shared" / name, folder / "shared" / f"{name}.complete"
    path.parent.mkdir(exist_ok=True)
    with (path.parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            make(path)
            complete.touch()
    return path
