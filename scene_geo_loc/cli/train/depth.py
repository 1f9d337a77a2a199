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

"""`scene-geo-loc train depth`: trains a network's depth on images with depth maps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scene_geo_loc.cli.options.common import TrainingDevice
from scene_geo_loc.cli.options.settings import takes_settings
from scene_geo_loc.training.common.protocols import DepthProtocol, Freeze

if TYPE_CHECKING:
    from scene_geo_loc.packs.image_pack import ImagePack

_NAME_SUFFIXES = {
    Freeze.DESCRIPTOR: "depth fine-tuned",
    Freeze.ENCODER: "new depth decoder",
    Freeze.TRUNK: "new depth decoder and encoder's head",
    Freeze.NOTHING: "trained on depth",
}
"""Appended to the name of the parent network."""


@takes_settings(pairs="--count", pairs_a_batch="--batch")
def depth(
    start: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK",
            help="Network to start from: a checkpoint (.safetensors), or a system's name or YAML file.",
        ),
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder of the run; an interrupted run is resumed.")
    ],
    pairs: Annotated[
        list[Path],
        typer.Option(
            metavar="FOLDER",
            help="Images with depth maps to train on, for example by night: a folder written by "
            "`depth make`, "
            "or a folder of such folders. May be repeated.",
        ),
    ],
    *,
    day: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="Images with depth maps by day. They fill half of each mini-batch, so that the network does "
            "not forget the day. May be repeated.",
        ),
    ] = None,
    validation: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="Images with depth maps to choose the best epoch by. May be repeated; each is reported as a "
            "condition of its own.",
        ),
    ] = None,
    freeze: Annotated[
        Freeze,
        typer.Option(
            help="Which part stays unchanged. descriptor: all but the decoder, which is fine-tuned; encoder: "
            "the same, with a new decoder; trunk: a new decoder is trained together with the encoder's head; "
            "nothing: a new decoder is trained together with the whole encoder."
        ),
    ] = Freeze.DESCRIPTOR,
    weights: Annotated[
        Path | None,
        typer.Option(help="Initial weights of a system's encoder. Default: those named by the system."),
    ] = None,
    decoder: Annotated[
        str | None,
        typer.Option(help="Type of a new decoder: unet, fc or c_lstm. Default: the network's type."),
    ] = None,
    depth_scale: Annotated[
        str | None,
        typer.Option(
            help="Depth scale of a new decoder: log, from 1 m to 100 m; linear, up to 100 m; inverse, "
            "inverse_20m or inverse_200m. Default: the network's scale."
        ),
    ] = None,
    uncertainty: Annotated[
        bool, typer.Option("--uncertainty", help="A new decoder also infers the scale of its error.")
    ] = False,
    protocol: DepthProtocol,
    packs: Annotated[
        Path | None,
        typer.Option(help="Folder for the resized images, shared by runs. Default: PAIRS.packs."),
    ] = None,
    device: TrainingDevice = "auto",
) -> None:
    """Train the depth that a network infers, on images with depth maps. No camera poses are needed.

    --freeze descriptor is the night fine-tuning of the ICRA paper: only the decoder learns, and the rest of
    the network stays bit for bit as it is. OUT gets config.yaml, log.jsonl, curves.png and
    checkpoints/{best,last}.safetensors.

    Example:  scene-geo-loc train depth rgbtd.safetensors runs/night --pairs depth/night --day depth/day
    """
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.cli.results.training import depth_epoch_text
    from scene_geo_loc.cli.train.display import TrainingDisplay
    from scene_geo_loc.metrics.learned_depth import PackedPairs
    from scene_geo_loc.networks.architecture.devices import choose_device
    from scene_geo_loc.packs.sources import distinct_names, pack_pairs
    from scene_geo_loc.training.common.initialisation import named_weights, network_for_depth, parent_of
    from scene_geo_loc.training.common.loop import TrainingLoop
    from scene_geo_loc.training.common.run_folder import RunFolder
    from scene_geo_loc.training.depth.batches import PairBatches, PairSettings
    from scene_geo_loc.training.depth.trainer import DepthTrainer, run_records

    seed = protocol.seed
    given = {"decoder": decoder, "depth_scale": depth_scale, "uncertainty": uncertainty or None}
    new_decoder = {field: value for field, value in given.items() if value is not None}
    network, origin = network_for_depth(start, freeze, seed, new_decoder, weights)
    conditions = distinct_names(validation or [])
    name = f"{origin.get('system', Path(start).stem)}, {_NAME_SUFFIXES[freeze]}"
    learned_from = {
        "parent": parent_of(start),
        "pairs": list(distinct_names(pairs)),
        "day": list(distinct_names(day or [])),
        "validation": list(conditions),
    }
    if weights is not None:
        learned_from["encoder"] = named_weights(str(weights))
    config, provenance = run_records(name, "depth", network.config, freeze, protocol, learned_from)
    run = RunFolder(out, config)
    packs = packs or pairs[0].with_name(f"{pairs[0].name}.packs")

    def pack(kind: str, folders: list[Path]) -> ImagePack:
        kind = kind.replace("/", "_")
        with progress(f"packing {kind}", "images") as on_progress:
            return pack_pairs(folders, packs / kind, count=protocol.pairs, seed=seed, on_progress=on_progress)

    training_packs = [pack("pairs", pairs), *([pack("day", day)] if day else [])]
    validation_pairs = {
        condition: PackedPairs(pack(f"validation_{condition}", [folder]))
        for condition, folder in conditions.items()
    }
    network = network.to(choose_device(device))
    settings = PairSettings(protocol.pairs_a_batch, protocol.augmentation)
    result = TrainingLoop(
        DepthTrainer(network, freeze, protocol, validation_pairs, provenance),
        PairBatches(training_packs, settings, seed),
        run,
        epochs=protocol.epochs,
        callback=TrainingDisplay(depth_epoch_text),
    ).run()
    typer.echo(f"{run.best}: network of epoch {result['best_epoch']} of {protocol.epochs}.")
