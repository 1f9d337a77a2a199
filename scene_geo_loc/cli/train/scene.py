"""`scene-geo-loc train scene`: a network's depth, local features and places, from images of known pose."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scene_geo_loc.cli.depth.compare import named
from scene_geo_loc.cli.options.settings import takes_settings
from scene_geo_loc.cli.train.depth import ShownBatches, records_of, tell_epoch
from scene_geo_loc.training.depth.protocol import Freeze
from scene_geo_loc.training.scene.protocol import SceneProtocol, Task


@takes_settings(tasks=None, images_a_batch="--batch", margin=None)
def scene(
    network: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK",
            help="What to begin with: a checkpoint (.safetensors), default, which comes with the package, or "
            "a system's name or YAML file, such as pnlp_fc.",
        ),
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder of the run; the same again goes on with it.")
    ],
    source: Annotated[
        list[Path],
        typer.Option(
            metavar="SOURCE",
            help="What to learn from: a bag or a dataset's folder with poses, all of one map; once for each.",
        ),
    ],
    *,
    validation: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="SOURCE",
            help="Likewise, with depth and not learned from: the network with the best depth is chosen.",
        ),
    ] = None,
    task: Annotated[
        list[Task] | None,
        typer.Option(
            help="What to learn, once for each: depth, where it is known; views, depth from how it takes one "
            "view to another; matching, local features; places, global descriptors. [default: depth]"
        ),
    ] = None,
    freeze: Annotated[
        Freeze,
        typer.Option(
            help="What stays as it is: encoder; trunk, the encoder but for its head; or nothing of it."
        ),
    ] = Freeze.ENCODER,
    decoder: Annotated[
        str | None, typer.Option(help="Depth decoder: unet, fc or c_lstm; else the network's.")
    ] = None,
    depth_scale: Annotated[
        str | None,
        typer.Option(
            help="Of the decoder: log, from 1 m to 100 m; linear; inverse, inverse_20m or inverse_200m, "
            "which are finest near the camera; else the network's."
        ),
    ] = None,
    local_features: Annotated[
        str | None,
        typer.Option(help="What is matched: early, the encoder's map, or learned; else the network's."),
    ] = None,
    uncertainty: Annotated[
        bool, typer.Option("--uncertainty", help="The decoder infers the scale of its error, too.")
    ] = False,
    every: Annotated[int, typer.Option(min=1, help="Take every so many frames of each source.")] = 1,
    offset: Annotated[int, typer.Option(min=0, help="Leave out this many frames of each source first.")] = 0,
    protocol: SceneProtocol,
    packs: Annotated[
        Path | None,
        typer.Option(help="Folder for the images made small, shared by runs; OUT.packs if left out."),
    ] = None,
    device: Annotated[str, typer.Option(help="Where the network is trained: auto, cpu, cuda, ...")] = "auto",
) -> None:
    """Train one network on images of known pose: its depth, its local features and its places.

    This is the training of Perspective-n-Learned-Point, with depth maps (--task depth) or without (--task
    views), and of several tasks together.  OUT gets config.yaml, log.jsonl, curves.png and
    checkpoints/{best,last}.safetensors.

    Example:  scene-geo-loc train scene pnlp_fc runs/pnlp --source chess --freeze nothing --depth-loss metres
    """
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.networks.runtime.extractor import choose_device
    from scene_geo_loc.packs.posed_images import PosedImages, PosedPairs, pack_posed_images
    from scene_geo_loc.training.common.initialisation import network_for_scenes, parent_of
    from scene_geo_loc.training.common.run_folder import RunFolder
    from scene_geo_loc.training.depth.trainer import train_depth
    from scene_geo_loc.training.scene.batches import SceneBatches
    from scene_geo_loc.training.scene.trainer import SceneTrainer, fit_places
    from scene_geo_loc.traversals.opening import open_traversal

    if task:
        protocol = protocol.model_copy(update={"tasks": tuple(task)})
    seed = protocol.seed
    wanted = {
        "decoder": decoder,
        "depth_scale": depth_scale,
        "local_features": local_features,
        "uncertainty": uncertainty or None,
    }
    changes = {field: value for field, value in wanted.items() if value is not None}
    begun, its_origin = network_for_scenes(network, freeze, seed, changes, protocol.tasks)
    if network == "default":
        camera = next(open_traversal(source[0], every=every, offset=offset).frames()).camera
        begun = begun.with_input_for(camera.width, camera.height)
    size = (begun.config.input_width, begun.config.input_height)
    packs = packs or out.with_name(f"{out.name}.packs")

    def packed(name: str, paths: list[Path]) -> PosedImages:
        parts = [open_traversal(path, every=every, offset=offset) for path in paths]
        with progress(f"packing {name}", "images") as on_progress:
            return pack_posed_images(parts, packs / name, size, on_progress)

    conditions = named(validation or [])
    learned_from = {
        "parent": parent_of(network),
        "sources": list(named(source)),
        "every": every,
        "offset": offset,
        "validation": list(conditions),
    }
    tasks = ", ".join(one.value for one in protocol.tasks)
    name = f"{its_origin.get('system', Path(network).stem)}, trained on {tasks}"
    config, origin = records_of(name, "scene", begun, freeze, protocol, learned_from)
    run = RunFolder(out, config)
    images = packed("images", source)
    pairs = {
        condition: PosedPairs(packed(f"validation_{condition}".replace("/", "_"), [folder]))
        for condition, folder in conditions.items()
    }
    begun = begun.to(choose_device(device))
    if Task.PLACES in protocol.tasks:
        fit_places(begun, images)
    trainer = SceneTrainer(begun, freeze, protocol)
    batches = SceneBatches(images, protocol.images_a_batch, protocol.baseline_m, protocol.augmentation, seed)
    result = train_depth(trainer, ShownBatches(batches), protocol.epochs, run, pairs, origin, tell_epoch)
    typer.echo(f"{run.best}: the network of epoch {result['best_epoch']} of {protocol.epochs}.")
