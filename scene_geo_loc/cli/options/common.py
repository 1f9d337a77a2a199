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

"""Arguments and options that many commands take, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

MapFolder = Annotated[Path, typer.Argument(metavar="MAP", help="Folder of the reference map.")]
Device = Annotated[str, typer.Option(help="Where the network runs: auto, cpu, cuda, ...")]
TrainingDevice = Annotated[str, typer.Option(help="Where the network is trained: auto, cpu, cuda, ...")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="File to write the numbers to, as JSON.")]
Track = Annotated[
    bool,
    typer.Option(
        "--track", help="Track the camera from image to image, with the odometry of the bag if it has any."
    ),
]
ViewFolder = Annotated[
    Path | None,
    typer.Option(
        "--view",
        metavar="FOLDER",
        help="Recording to write of what the node would show: keyframes, candidates, matches, covariance, "
        "path. `scene-geo-loc view` opens it.",
    ),
]
