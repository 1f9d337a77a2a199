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

"""`scene-geo-loc train scene`: trains depth, local features and descriptors on images with poses."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scene_geo_loc.cli.options.common import TrainingDevice
from scene_geo_loc.cli.options.settings import takes_settings
from scene_geo_loc.training.common.protocols import Freeze, SceneProtocol, Task


@takes_settings(tasks=None, images_a_batch="--batch", margin=None)
def scene(
    network: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK",
            help="Network to start from: a checkpoint (.safetensors), default for the package's own, or a "
            "system's name or YAML file, such as pnlp_fc.",
        ),
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder of the run; an interrupted run is resumed.")
    ],
    source: Annotated[
        list[Path],
        typer.Option(
            "--source",
            metavar="SOURCE",
            help="Bag or dataset folder with poses to train on. May be repeated; all poses are in "
            "one map frame.",
        ),
    ],
    *,
    validation: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="SOURCE",
            help="Bag or dataset folder with poses and depth to choose the best epoch by. May be repeated.",
        ),
    ] = None,
    task: Annotated[
        list[Task] | None,
        typer.Option(
            help="What to learn. depth: depth from depth images; views: depth from warping one view into "
            "another; matching: local features; places: global descriptors. May be repeated. Default: depth."
        ),
    ] = None,
    freeze: Annotated[
        Freeze,
        typer.Option(
            help="Which part stays unchanged: encoder; trunk, the encoder except its head; or nothing."
        ),
    ] = Freeze.ENCODER,
    decoder: Annotated[
        str | None,
        typer.Option(help="Type of the depth decoder: unet, fc or c_lstm. Default: the network's type."),
    ] = None,
    depth_scale: Annotated[
        str | None,
        typer.Option(
            help="Depth scale of the decoder: log, from 1 m to 100 m; linear; inverse, inverse_20m or "
            "inverse_200m, which are finest near the camera. Default: the network's scale."
        ),
    ] = None,
    local_features: Annotated[
        str | None,
        typer.Option(
            help="Local features to match: early, a feature map of the encoder, or learned. "
            "Default: the network's."
        ),
    ] = None,
    uncertainty: Annotated[
        bool, typer.Option("--uncertainty", help="The decoder also infers the scale of its error.")
    ] = False,
    every: Annotated[int, typer.Option(min=1, help="Use every n-th frame of each source.")] = 1,
    offset: Annotated[int, typer.Option(min=0, help="Skip the first n frames of each source.")] = 0,
    protocol: SceneProtocol,
    packs: Annotated[
        Path | None,
        typer.Option(help="Folder for the resized images, shared by runs. Default: OUT.packs."),
    ] = None,
    device: TrainingDevice = "auto",
) -> None:
    """Train one network on images with poses: its depth, local features and global descriptors.

    This is the training of Perspective-n-Learned-Point, with depth images (--task depth) or without (--task
    views); several tasks can be trained together. OUT gets config.yaml, log.jsonl, curves.png and
    checkpoints/{best,last}.safetensors.

    Example:  scene-geo-loc train scene pnlp_fc runs/pnlp --source chess --freeze nothing --depth-loss metres
    """
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.cli.results.training import depth_epoch_text
    from scene_geo_loc.cli.train.display import TrainingDisplay
    from scene_geo_loc.networks.architecture.devices import choose_device
    from scene_geo_loc.packs.posed_images import PosedImages, PosedPairs, pack_posed_images
    from scene_geo_loc.packs.sources import distinct_names
    from scene_geo_loc.training.common.initialisation import network_for_scenes, parent_of
    from scene_geo_loc.training.common.loop import TrainingLoop
    from scene_geo_loc.training.common.run_folder import RunFolder
    from scene_geo_loc.training.depth.trainer import run_records
    from scene_geo_loc.training.scene.batches import SceneBatches
    from scene_geo_loc.training.scene.trainer import SceneTrainer, fit_places
    from scene_geo_loc.traversals.opening import open_traversal

    if task:
        protocol = protocol.model_copy(update={"tasks": tuple(task)})
    seed = protocol.seed
    given = {
        "decoder": decoder,
        "depth_scale": depth_scale,
        "local_features": local_features,
        "uncertainty": uncertainty or None,
    }
    changes = {field: value for field, value in given.items() if value is not None}
    trained, origin = network_for_scenes(network, freeze, seed, changes, protocol.tasks)
    if network == "default":
        camera = next(open_traversal(source[0], every=every, offset=offset).frames()).camera
        trained = trained.with_input_for(camera.width, camera.height)
    size = (trained.config.input_width, trained.config.input_height)
    packs = packs or out.with_name(f"{out.name}.packs")

    def packed(name: str, paths: list[Path]) -> PosedImages:
        parts = [open_traversal(path, every=every, offset=offset) for path in paths]
        with progress(f"packing {name}", "images") as on_progress:
            return pack_posed_images(parts, packs / name, size, on_progress)

    conditions = distinct_names(validation or [])
    learned_from = {
        "parent": parent_of(network),
        "sources": list(distinct_names(source)),
        "every": every,
        "offset": offset,
        "validation": list(conditions),
    }
    tasks = ", ".join(learned.value for learned in protocol.tasks)
    name = f"{origin.get('system', Path(network).stem)}, trained on {tasks}"
    config, provenance = run_records(name, "scene", trained.config, freeze, protocol, learned_from)
    run = RunFolder(out, config)
    images = packed("images", source)
    pairs = {
        condition: PosedPairs(packed(f"validation_{condition}".replace("/", "_"), [folder]))
        for condition, folder in conditions.items()
    }
    trained = trained.to(choose_device(device))
    if Task.PLACES in protocol.tasks:
        fit_places(trained, images)
    batches = SceneBatches(images, protocol.images_a_batch, protocol.baseline_m, protocol.augmentation, seed)
    result = TrainingLoop(
        SceneTrainer(trained, freeze, protocol, pairs, provenance),
        batches,
        run,
        epochs=protocol.epochs,
        callback=TrainingDisplay(depth_epoch_text),
    ).run()
    typer.echo(f"{run.best}: network of epoch {result['best_epoch']} of {protocol.epochs}.")
