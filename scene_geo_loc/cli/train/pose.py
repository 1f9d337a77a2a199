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

"""`scene-geo-loc train pose`: trains a network that finds the poses of images in one place."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from scene_geo_loc.cli.options.common import TrainingDevice
from scene_geo_loc.cli.options.settings import takes_settings
from scene_geo_loc.cli.options.source import Source, takes_source
from scene_geo_loc.training.pose.systems import PoseProtocol, PoseSystem


@takes_source
@takes_settings(trains_encoder="--train-encoder", images_a_batch="--batch")
def pose(
    source: Source,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the new map.")],
    *,
    system: Annotated[
        PoseSystem,
        typer.Option(
            help="What to train. posenet: position and quaternion, weighted by --beta; posenet_learned: "
            "weighted as learned; posenet_reprojection: the same, then by reprojected points, for which the "
            "source needs depth; bayesian: with errors that the network expects; planar: x, y and heading."
        ),
    ] = PoseSystem.POSENET_LEARNED,
    protocol: PoseProtocol,
    overwrite: Annotated[
        bool, typer.Option(help="Replace an existing map once the new one is complete.")
    ] = False,
    device: TrainingDevice = "auto",
) -> None:
    """Train a network that regresses the pose of an image, as a map for one place.

    OUT is a map of a few megabytes that `localize`, `evaluate` and the node open like any other; torch is
    needed to train it only. OUT.run holds the log and the curves, and OUT.packs the resized images; the same
    command resumes a training that was interrupted. An image is localized only where the calibrated
    uncertainty of its pose is below a limit that was chosen on images left out of the training.

    Example:  scene-geo-loc train pose morning.bag street_regressor --system bayesian
    """
    from scene_geo_loc.cli.train.display import TrainingDisplay
    from scene_geo_loc.training.pose.run import Plan, train_pose

    display = TrainingDisplay(_epoch_text)

    def on_plan(plan: Plan) -> None:
        display.close()
        typer.echo(f"{plan}.")

    with display.packing("packing") as on_packing, display.packing("computing features") as on_features:
        _, result = train_pose(
            source.open_cameras(),
            out,
            system,
            protocol,
            device=device,
            overwrite=overwrite,
            callback=display,
            on_packing=on_packing,
            on_features=on_features,
            on_plan=on_plan,
            on_training=display.close,
        )
    typer.echo(
        f"{out}: {system.design.title}, medians {result['position_m']:.2f} m and "
        f"{result['rotation_deg']:.2f}° on images left out of the training (epoch {result['best_epoch']})."
    )
    calibration = result["calibration"]
    if calibration["max_std_m"] is None:
        typer.echo(
            f"No limit of the standard deviation makes 95 % of the poses right within "
            f"{calibration['accepted_error_m']:.2g} m: no image will be localized. Train with more images, "
            "or set --accepted-error."
        )
    else:
        typer.echo(
            f"Poses are accepted up to a standard deviation of {calibration['max_std_m']:.2f} m "
            f"(right within {calibration['accepted_error_m']:.2g} m)."
        )


def _epoch_text(record: dict[str, Any]) -> str:
    """Returns the line of an epoch."""
    losses = ", ".join(f"{name} {loss:.4f}" for name, loss in record["losses"].items())
    return (
        f"epoch {record['epoch']}: loss {losses}; median errors {record['position_m']:.3f} m, "
        f"{record['rotation_deg']:.2f}°"
    )
