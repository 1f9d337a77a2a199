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

"""`scene-geo-loc upgrade`: gives files of older releases what this one has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def upgrade(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Checkpoint, or folder of a map.")],
) -> None:
    """Give a checkpoint or a map of an older release what this one has: the forward pass, place keypoints.

    Torch (the extra `training`) is needed to make the forward pass, which then runs without it. The file, or
    the network in the map, is replaced; features stay the same.

    Example:  scene-geo-loc upgrade street_map
    """
    from scene_geo_loc.mapping.upgrade import upgrade as upgrade_files

    done = upgrade_files(path)
    typer.echo(f"{path}: {'upgraded' if done else 'is up to date'}.")
