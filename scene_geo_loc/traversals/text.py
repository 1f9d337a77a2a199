"""Text files of datasets."""

from __future__ import annotations

from pathlib import Path

from scene_geo_loc.core.errors import TraversalError, reason_of
from scene_geo_loc.core.regular_file import regular


def read_text(path: Path, content: str = "file") -> str:
    """Returns the text of a file in UTF-8, with or without a byte-order mark.

    Args:
        path: the file.
        content: what it holds, for the message.

    Raises TraversalError where it cannot be read, or is no text.
    """
    try:
        return regular(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise TraversalError(f"{path}: the {content} cannot be read ({reason_of(error)}).") from error
