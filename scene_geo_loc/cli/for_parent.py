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

"""Runs a command of `scene-geo-loc` for another process, such as a node; both sides write JSON."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stdout
from typing import Any

import typer

from scene_geo_loc.cli.main import app, naming_extras
from scene_geo_loc.core.background_process import Request, answer_parent
from scene_geo_loc.core.errors import SceneGeoLocError

UsageError: Any = typer.BadParameter.__base__
"""Error of a wrong argument, of click or of the copy of it that newer versions of typer have."""


def run_command(request: Request) -> Request:
    """Runs the command of `arguments` and returns the lines that it prints, `said`, and its `status`.

    Raises SceneGeoLocError where the command fails, or where an argument is wrong.
    """
    output = io.StringIO()
    try:
        with redirect_stdout(output), naming_extras():
            status = app(request["arguments"], standalone_mode=False)
    except UsageError as error:
        raise SceneGeoLocError(error.format_message()) from error
    return {"said": output.getvalue().splitlines(), "status": status or 0}


if __name__ == "__main__":
    sys.exit(answer_parent(run_command))
