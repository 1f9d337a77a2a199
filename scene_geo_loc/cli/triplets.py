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

"""`scene-geo-loc triplets`: chooses the triplets of images to train a descriptor on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scene_geo_loc.cli.options.settings import takes_settings
from scene_geo_loc.places.triplet_settings import TripletSettings


@takes_settings(triplets="--count")
def triplets(
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="Folder of RobotCar runs, real or simulated.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="File of triplets to write (Parquet).")],
    *,
    settings: TripletSettings,
    depth: Annotated[
        Path | None,
        typer.Option(help="Folder of the depth maps of each camera, in RUN/CAMERA. Default: ROOT/depth."),
    ] = None,
    make_depth: Annotated[
        bool, typer.Option("--make-depth", help="Make missing depth maps from lidar.")
    ] = False,
) -> None:
    """Choose triplets (anchor, positives, negatives) in the training area of RobotCar runs.

    Anchors are from the run 2015-05-19-14-06-38, positives and negatives from 2015-08-28-09-50-22 and
    2015-11-10-14-15-57. The training area is that of ROOT/areas.json, else a part of Oxford; images of the
    validation and test areas are not used.

    Example:  scene-geo-loc triplets robotcar robotcar/triplets.parquet --make-depth
    """
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.places.areas import Areas
    from scene_geo_loc.places.scenarios import training_runs
    from scene_geo_loc.places.triplet_choice import make_triplets
    from scene_geo_loc.places.triplet_depth import attach_depth, make_missing_depth
    from scene_geo_loc.traversals.skipped import Skipped

    runs, missing = training_runs(root)
    made = make_triplets(root, runs, Areas.load(root), settings)
    folder = depth or root / "depth"
    without_depth = Skipped()
    if make_depth:
        with progress("depth maps", "images") as on_progress:
            without_depth = make_missing_depth(made, runs, folder, on_progress=on_progress)
    made = attach_depth(made, folder)
    made.save(out)
    images = made.images.values()
    with_depth = sum(sample.depth is not None for sample in images)
    typer.echo(
        f"{out}: {len(made)} triplets of an anchor, {settings.positives} positives and "
        f"{settings.negatives} negatives; "
        f"{len(images)} images of {len(runs)} runs, {with_depth} of them with a depth map."
    )
    for run in missing:
        typer.echo(f"The run {run} is missing: there are fewer positives and negatives.", err=True)
    if len(made) < settings.triplets:
        typer.echo(f"Only {len(made)} of {settings.triplets} triplets could be made.", err=True)
    if made.info.left_out:
        typer.echo(f"Skipped: {Skipped(made.info.left_out)}.")
    if without_depth:
        typer.echo(f"Without a depth map: {without_depth}.")
