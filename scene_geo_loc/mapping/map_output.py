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

"""Writes the folder of a map that is made of other maps: beside its name first, and whole or not there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scene_geo_loc.core.errors import MapError, reason_of
from scene_geo_loc.core.folder_lock import changing
from scene_geo_loc.core.partial import PartialFolder
from scene_geo_loc.mapping.map_info import KIND, check_output, check_replaceable_map


@contextmanager
def writing_map(out: Path, work: str, *, overwrite: bool = False) -> Iterator[Path]:
    """Yields an empty folder for the files of a map, which becomes `out` once the block has written them.

    A process that has an older map of that name open goes on with it.

    Args:
        out: folder of the map; it may be that of a map that the block reads.
        work: name of what writes it, for the message to other processes.
        overwrite: whether a map at `out` is replaced.

    Raises MapError where `out` exists and may not be replaced, where another process changes it, or where it
    cannot be written.
    """
    with changing(out, work, MapError):
        check_output(out, overwrite)
        output = PartialFolder(out, KIND, error=MapError)
        try:
            folder = output.begin()
            output.restart()
            yield folder
            output.publish(check_replaceable_map if overwrite else None)
        except OSError as error:
            raise MapError(
                f"{out} cannot be written ({reason_of(error)}): make room, or name another folder."
            ) from error
        finally:
            output.discard()


def link_or_copy(source: Path, target: Path) -> None:
    """Gives a file a second name where the file system allows that, else a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
