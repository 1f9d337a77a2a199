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
