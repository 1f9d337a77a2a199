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

"""Recordings to look at: written by commands, opened in a viewer where there is one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from scene_geo_loc.benchmarks.localization.run import OnAnswer
    from scene_geo_loc.mapping.reference_map import AnyMap

VIEWERS = ("foxglove-studio", "lichtblick", "rerun")
"""Programs that open an MCAP file that is their argument, best first."""


@contextmanager
def recorded_view(folder: Path | None, reference_map: AnyMap) -> Iterator[OnAnswer | None]:
    """Yields what records each answer to a folder, or None where none is given.

    Raises TraversalError where the folder exists already or cannot be written.
    """
    from scene_geo_loc.localization.view.recording import ViewRecording

    if folder is None:
        yield None
        return
    with ViewRecording(folder, reference_map) as recording:
        yield recording.add
    typer.echo(f"The view is {folder}.")


def open_viewer(file: Path) -> str | None:
    """Opens a file in the first viewer that is installed; returns its name.

    Returns None where there is no display or no viewer.
    """
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or sys.platform == "darwin"):
        return None
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    for name in VIEWERS:
        program = shutil.which(name, path=path)
        if program is not None:
            subprocess.Popen([program, str(file)], stdout=subprocess.DEVNULL, start_new_session=True)
            return name
    return None
