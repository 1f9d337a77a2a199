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
