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

"""`scene-geo-loc train descriptor`: trains a global descriptor on triplets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scene_geo_loc.cli.options.common import TrainingDevice


def descriptor(
    triplets: Annotated[
        Path, typer.Argument(metavar="TRIPLETS", help="File of triplets, written by `triplets`.")
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder of the run; an interrupted run is resumed.")
    ],
    config: Annotated[
        str, typer.Option(help="System to train: the name of one in the package, or a YAML file.")
    ],
    protocol: Annotated[
        str,
        typer.Option(
            help="Training protocol: full (the paper's numbers), reduced (for CPUs), compact, or a YAML file."
        ),
    ] = "full",
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")] = 0,
    weights: Annotated[
        Path | None,
        typer.Option(help="Initial weights of the encoder. Default: those named by the system."),
    ] = None,
    depth_weights: Annotated[
        Path | None,
        typer.Option(
            help="Initial weights of the second encoder. Default: --weights, if both encoders are "
            "of one type."
        ),
    ] = None,
    decoder_weights: Annotated[
        Path | None,
        typer.Option(help="Checkpoint of `train depth --freeze encoder` with the initial decoder."),
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="Folder of the runs. Default: the one stored in TRIPLETS.")
    ] = None,
    packs: Annotated[
        Path | None,
        typer.Option(help="Folder for the resized images, shared by runs. Default: TRIPLETS.packs."),
    ] = None,
    device: TrainingDevice = "auto",
) -> None:
    """Train a global descriptor on triplets and choose the best epoch in the validation area.

    OUT gets the config, a log with one line for each epoch, its curves, and the checkpoints best and last.
    The same command resumes a run that was interrupted, with the same result. On several GPUs:
    torchrun --nproc-per-node 4 --no-python scene-geo-loc train descriptor ...

    Example:  scene-geo-loc train descriptor triplets.parquet runs/rgbtd --config rgbtd_alexnet_mac
    """
    from scene_geo_loc.cli.results.training import descriptor_epoch_text
    from scene_geo_loc.cli.train.display import TrainingDisplay
    from scene_geo_loc.networks.architecture.devices import choose_device
    from scene_geo_loc.training.common.config import load_protocol, load_system
    from scene_geo_loc.training.common.processes import Processes
    from scene_geo_loc.training.descriptor.run import TrainingRun, load_training_data

    system = load_system(config).with_weights(weights, depth_weights, decoder_weights)
    settings = load_protocol(protocol)
    processes = Processes(choose_device(device))
    display = TrainingDisplay(descriptor_epoch_text, processes.is_first)
    data = load_training_data(
        triplets, root, packs or triplets.with_name(f"{triplets.name}.packs"), settings, processes, display
    )
    run = TrainingRun(out, system, settings, seed, data, processes, display)
    try:
        result = run.run()
    finally:
        display.close()
    processes.close()
    if processes.is_first:
        best = f"{run.folder.best}: {system.name}, best epoch {result['best_epoch']} of {result['epochs']}"
        if result["recall_at_1"] is not None:
            best += f", validation recall@1 {100 * result['recall_at_1']:.1f} %"
        typer.echo(f"{best}; {result['ended']}.")
