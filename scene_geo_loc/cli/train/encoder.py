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

"""`scene-geo-loc train encoder`: trains an encoder without ImageNet weights of its own."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scene_geo_loc.cli.options.common import TrainingDevice
from scene_geo_loc.cli.options.settings import takes_settings
from scene_geo_loc.training.common.protocols import EncoderProtocol

if TYPE_CHECKING:
    from scene_geo_loc.cli.options.progress import AnnotatedProgress


class Student(str, Enum):
    """Encoders that can be trained."""

    alexnet = "alexnet"
    resnet18 = "resnet18"
    resnet18_truncated = "resnet18_truncated"


@takes_settings(warm_up=None, record_every=None)
def encoder(
    name: Annotated[Student, typer.Argument(metavar="ENCODER", help="Encoder to train.")],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder of the run; an interrupted run is resumed.")
    ],
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE...",
            help="Folders of RobotCar runs, of which the training area is used, or folders of images.",
        ),
    ],
    *,
    protocol: EncoderProtocol,
    device: TrainingDevice = "auto",
) -> None:
    """Train an encoder to infer the features of EfficientNet-Lite0 (distillation).

    The ImageNet weights of EfficientNet-Lite0 come with a Python package; use this command where the weights
    of torchvision cannot be downloaded. OUT/encoder.safetensors holds the latest weights; pass it as
    --weights to `train descriptor`. The images are first packed in OUT.packs, which can be removed
    afterwards.

    Example:  scene-geo-loc train encoder alexnet encoders/alexnet robotcar photos
    """
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.packs.sources import pack_images
    from scene_geo_loc.training.encoder.trainer import WEIGHTS, encoder_training

    packs = []
    for number, source in enumerate(sources):
        with progress(f"packing {source.name}", "images") as on_progress:
            packs.append(pack_images(source, out.with_name(f"{out.name}.packs") / str(number), on_progress))
    with progress(f"training {name.value}", "steps") as on_progress:
        display = _Display(on_progress, protocol)
        encoder_training(name.value, packs, out, protocol, device, display).run()
    typer.echo(f"{out / WEIGHTS}: weights of {name.value} after {protocol.steps} steps.")


class _Display:
    """Shows the steps of a training in one bar; a `TrainingCallback`."""

    def __init__(self, on_progress: AnnotatedProgress, protocol: EncoderProtocol) -> None:
        self._on_progress, self._protocol = on_progress, protocol

    def on_batch(self, epoch: int, done: int, total: int, losses: dict[str, float]) -> None:
        """See `TrainingCallback.on_batch`."""
        self._on_progress((epoch - 1) * self._protocol.record_every + done, self._protocol.steps)

    def on_epoch(self, record: dict[str, Any]) -> None:
        """See `TrainingCallback.on_epoch`."""
        errors = ", ".join(f"{share:.3f} at {layer}" for layer, share in record["held_out"].items())
        typer.echo(f"step {record['step']}: unexplained variance of held-out images: {errors}", err=True)
