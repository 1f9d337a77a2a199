"""`scene-geo-loc train depth`: a network's depth, from pairs of images and depth maps without a location."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scene_geo_loc.cli.depth.compare import named
from scene_geo_loc.cli.options.settings import takes_settings
from scene_geo_loc.training.depth.protocol import DepthProtocol, DepthTraining, Freeze

if TYPE_CHECKING:
    from torch import Tensor

    from scene_geo_loc.networks.architecture.scene_network import SceneNetwork
    from scene_geo_loc.packs.image_pack import ImagePack
    from scene_geo_loc.training.depth.trainer import Batches

_ADDED = {
    Freeze.DESCRIPTOR: "depth fine-tuned",
    Freeze.ENCODER: "new depth decoder",
    Freeze.TRUNK: "new depth decoder and encoder's head",
    Freeze.NOTHING: "trained on depth",
}
"""What a network's name is lengthened by."""


@takes_settings(pairs="--count", pairs_a_batch="--batch")
def depth(
    start: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK",
            help="Checkpoint whose depth is trained (.safetensors), or a system's name or YAML file.",
        ),
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder of the run; the same again goes on with it.")
    ],
    pairs: Annotated[
        list[Path],
        typer.Option(
            metavar="FOLDER",
            help="Images with depth maps to learn from, by night, say: a folder that `depth make` wrote, or "
            "a folder of such; once for each.",
        ),
    ],
    *,
    day: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="Likewise, by day: half of each mini-batch, lest what the network knows be forgotten.",
        ),
    ] = None,
    validation: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="Likewise, not learned from: the best network is chosen by them; a condition of its own, "
            "once for each.",
        ),
    ] = None,
    freeze: Annotated[
        Freeze,
        typer.Option(
            help="What stays as it is: descriptor, all but the decoder, which is fine-tuned; encoder, the "
            "same with a new decoder; trunk, a new decoder again, and the encoder's head is trained with it; "
            "nothing, so is the whole encoder."
        ),
    ] = Freeze.DESCRIPTOR,
    decoder: Annotated[
        str | None, typer.Option(help="A new decoder: unet, fc or c_lstm; else the network's kind.")
    ] = None,
    depth_scale: Annotated[
        str | None,
        typer.Option(
            help="Of a new decoder: log, from 1 m to 100 m; linear, up to 100 m; inverse, inverse_20m or "
            "inverse_200m; else the network's."
        ),
    ] = None,
    uncertainty: Annotated[
        bool, typer.Option("--uncertainty", help="A new decoder infers the scale of its error, too.")
    ] = False,
    protocol: DepthProtocol,
    packs: Annotated[
        Path | None,
        typer.Option(help="Folder for the images made small, shared by runs; PAIRS.packs if left out."),
    ] = None,
    device: Annotated[str, typer.Option(help="Where the network is trained: auto, cpu, cuda, ...")] = "auto",
) -> None:
    """Train the depth that a network infers, on images with depth maps whose place nobody needs to know.

    With `--freeze descriptor` it is the night trick of the ICRA paper: the decoder alone learns to see the
    scene's geometry in the dark, and everything else stays bit for bit.  OUT gets config.yaml, log.jsonl,
    curves.png and checkpoints/{best,last}.safetensors.

    Example:  scene-geo-loc train depth rgbtd.safetensors runs/night --pairs depth/night --day depth/day
    """
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.metrics.learned_depth import PackedPairs
    from scene_geo_loc.networks.runtime.extractor import choose_device
    from scene_geo_loc.training.common.initialisation import network_for_depth, parent_of
    from scene_geo_loc.training.common.run_folder import RunFolder
    from scene_geo_loc.training.depth.pairs import DepthPairs, PairSettings, pack_pairs
    from scene_geo_loc.training.depth.trainer import DepthTrainer, train_depth

    seed = protocol.seed
    wanted = {"decoder": decoder, "depth_scale": depth_scale, "uncertainty": uncertainty or None}
    new_decoder = {field: value for field, value in wanted.items() if value is not None}
    network, its_origin = network_for_depth(start, freeze, seed, new_decoder)
    conditions = named(validation or [])
    name = f"{its_origin.get('system', Path(start).stem)}, {_ADDED[freeze]}"
    learned_from = {
        "parent": parent_of(start),
        "pairs": list(named(pairs)),
        "day": list(named(day or [])),
        "validation": list(conditions),
    }
    config, origin = records_of(name, "depth", network, freeze, protocol, learned_from)
    run = RunFolder(out, config)
    packs = packs or pairs[0].with_name(f"{pairs[0].name}.packs")

    def pack(kind: str, folders: list[Path]) -> ImagePack:
        kind = kind.replace("/", "_")
        with progress(f"packing {kind}", "images") as on_progress:
            return pack_pairs(folders, packs / kind, count=protocol.pairs, seed=seed, on_progress=on_progress)

    learned = [pack("pairs", pairs), *([pack("day", day)] if day else [])]
    validated = {
        condition: PackedPairs(pack(f"validation_{condition}", [folder]))
        for condition, folder in conditions.items()
    }
    batches = DepthPairs(learned, PairSettings(protocol.pairs_a_batch, protocol.augmentation), seed)
    trainer = DepthTrainer(network.to(choose_device(device)), freeze, protocol)
    result = train_depth(trainer, ShownBatches(batches), protocol.epochs, run, validated, origin, tell_epoch)
    typer.echo(f"{run.best}: the network of epoch {result['best_epoch']} of {protocol.epochs}.")


def records_of(
    name: str,
    kind: str,
    network: SceneNetwork,
    freeze: Freeze,
    protocol: DepthTraining,
    learned_from: dict[str, Any],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The config of a run, and the provenance of the network that it trains."""
    trained = {"freeze": freeze.value, **protocol.model_dump(mode="json", exclude={"seed"})}
    config = {
        "system": {"name": name, "network": network.config.model_dump()},
        "protocol": {"name": kind, **trained},
        "seed": protocol.seed,
        **learned_from,
    }
    origin = {
        "system": name,
        "protocol": kind,
        "seed": protocol.seed,
        "freeze": freeze.value,
        **learned_from,
    }
    return config, origin


class ShownBatches:
    """Batches whose progress is shown."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def epoch(self, number: int) -> Iterator[Sequence[Tensor]]:
        """See `Batches.epoch`."""
        from scene_geo_loc.cli.options.progress import track

        return track(self._batches.epoch(number), len(self._batches), f"epoch {number}", "batches")


def tell_epoch(record: dict[str, Any]) -> None:
    """Shows the record of an epoch in a line."""
    words = [f"{name} loss {value:.4f}" for name, value in record["losses"].items()] or ["before training"]
    for condition, numbers in record["validation"].items():
        words.append(f"{condition} {100 * numbers['within_1_25']:.1f} % within 1.25")
    typer.echo(f"epoch {record['epoch']}: {', '.join(words)}", err=True)
