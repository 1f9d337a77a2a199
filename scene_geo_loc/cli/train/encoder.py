"""`scene-geo-loc train encoder`: learns an encoder's weights where ImageNet's cannot be had."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from scene_geo_loc.cli.options.settings import takes_settings
from scene_geo_loc.training.encoder.protocol import EncoderProtocol


class Student(str, Enum):
    """The encoders that can be taught."""

    alexnet = "alexnet"
    resnet18 = "resnet18"
    resnet18_truncated = "resnet18_truncated"


@takes_settings(warm_up=None, record_every=None)
def encoder(
    name: Annotated[Student, typer.Argument(metavar="ENCODER", help="Encoder to teach.")],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder of the run; an unfinished one is resumed.")
    ],
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE...",
            help="Folders of RobotCar runs, of which the training area is taken, or of any images.",
        ),
    ],
    *,
    protocol: EncoderProtocol,
    device: Annotated[str, typer.Option(help="Torch device: auto, cpu, cuda.")] = "auto",
) -> None:
    """Teach an encoder the features of EfficientNet-Lite0, whose ImageNet weights come with a package.

    For machines where torchvision's own weights cannot be fetched.  OUT/encoder.safetensors holds the weights
    learned so far, from the first record on; `--weights` of other commands takes it.  The images are
    packed in OUT.packs first, which can be removed afterwards.

    Example:  scene-geo-loc train encoder alexnet encoders/alexnet robotcar photos
    """
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.training.encoder.images import pack_images
    from scene_geo_loc.training.encoder.trainer import EncoderTrainer

    packs = []
    for number, source in enumerate(sources):
        with progress(f"packing {source.name}", "images") as on_progress:
            packs.append(pack_images(source, out.with_name(f"{out.name}.packs") / str(number), on_progress))
    trainer = EncoderTrainer(name.value, packs, out, protocol, device)
    with progress(f"teaching {name.value}", "steps") as on_progress:

        def on_step(done: int, total: int, record: dict[str, Any] | None) -> None:
            on_progress(done, total)
            if record:
                held_out = ", ".join(f"{share:.3f} at {at}" for at, share in record["held_out"].items())
                typer.echo(f"step {done}: not explained of held-out images: {held_out}", err=True)

        weights = trainer.run(on_step)
    typer.echo(f"{weights}: weights of {name.value}, learned in {protocol.steps} steps")
