"""Files that may be read: opening a pipe waits for ever, and a device has no end."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def regular(path: Path) -> Path:
    """Returns a path to read. Raises OSError where there is no file, or a folder, a pipe or a device."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return path
