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

"""`scene-geo-loc train pose`: makes the map of a learned localizer for one place."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from scene_geo_loc.cli.options.common import TrainingDevice
from scene_geo_loc.cli.options.settings import GivenSettings, takes_settings_of
from scene_geo_loc.cli.options.source import Source, takes_source
from scene_geo_loc.training.localizers import FAMILIES, family_of
from scene_geo_loc.training.pose_regression.systems import PoseSystem

_SYSTEMS = {name: summary for family in FAMILIES for name, summary in family.systems.items()}


@takes_source
@takes_settings_of(
    {family.title: family.protocol for family in FAMILIES},
    trains_encoder="--train-encoder",
    images_a_batch="--batch",
)
def pose(
    source: Source,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the new map.")],
    *,
    system: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help=f"What to train. {'; '.join(f'{name}: {text}' for name, text in _SYSTEMS.items())}.",
        ),
    ] = PoseSystem.POSENET_LEARNED.value,
    settings: GivenSettings,
    overwrite: Annotated[
        bool, typer.Option(help="Replace an existing map once the new one is complete.")
    ] = False,
    device: TrainingDevice = "auto",
) -> None:
    """Make the map of a learned localizer for one place.

    OUT is a map that `localize`, `evaluate` and the node open like any other; torch is needed to train it
    only. OUT.run holds the log and the curves, and OUT.packs the resized images; the same command resumes a
    training that was interrupted. An image is localized only where the calibrated uncertainty of its pose is
    below a limit that was chosen on images left out of the training.

    Example:  scene-geo-loc train pose morning.bag street_regressor --system bayesian
    """
    from scene_geo_loc.cli.train.display import TrainingDisplay

    family = family_of(system)
    protocol = settings.of(family.protocol, system)  # before the source is opened, which takes longer
    display = TrainingDisplay(_epoch_text)
    result = family.train(
        source.open_cameras(),
        out,
        system,
        protocol,
        device=device,
        overwrite=overwrite,
        callback=display,
    )
    display.close()
    typer.echo("\n".join([f"{out}: {result[0]}", *result[1:]]))


def _epoch_text(record: dict[str, Any]) -> str:
    """Returns the line of an epoch."""
    losses = ", ".join(f"{name} {loss:.4f}" for name, loss in record["losses"].items())
    text = f"epoch {record['epoch']}: loss {losses}"
    if "position_m" not in record:
        return text
    return f"{text}; median errors {record['position_m']:.3f} m, {record['rotation_deg']:.2f}°"
