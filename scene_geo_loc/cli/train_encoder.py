"""`scene-geo-loc train encoder`: learns an encoder's weights where ImageNet's cannot be had."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from scene_geo_loc.cli.settings import setting
from scene_geo_loc.training.encoder_protocol import EncoderProtocol
from scene_geo_loc.training.precision import Precision

_DEFAULT = EncoderProtocol()


class Student(str, Enum):
    """The encoders that can be taught."""

    alexnet = "alexnet"
    resnet18 = "resnet18"
    resnet18_truncated = "resnet18_truncated"


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
    steps: Annotated[int, setting(EncoderProtocol, "steps", "--steps")] = _DEFAULT.steps,
    images: Annotated[int, setting(EncoderProtocol, "images", "--images")] = _DEFAULT.images,
    side: Annotated[int, setting(EncoderProtocol, "side", "--side")] = _DEFAULT.side,
    learning_rate: Annotated[
        float, setting(EncoderProtocol, "learning_rate", "--learning-rate")
    ] = _DEFAULT.learning_rate,
    precision: Annotated[
        Precision, setting(EncoderProtocol, "precision", "--precision")
    ] = _DEFAULT.precision,
    seed: Annotated[int, setting(EncoderProtocol, "seed", "--seed")] = _DEFAULT.seed,
    device: Annotated[str, typer.Option(help="Torch device: auto, cpu, cuda.")] = "auto",
) -> None:
    """Teach an encoder the features of EfficientNet-Lite0, whose ImageNet weights come with a package.

    For machines where torchvision's own weights cannot be fetched.  OUT/encoder.safetensors holds the weights
    learned so far, from the first record on; `--weights` of other commands takes it.  The images are
    packed in OUT.packs first, which can be removed afterwards.

    Example:  scene-geo-loc train encoder alexnet encoders/alexnet robotcar photos
    """
    from pydantic import ValidationError

    from scene_geo_loc.cli.progress import progress
    from scene_geo_loc.errors import SceneGeoLocError
    from scene_geo_loc.training.encoder_images import pack_images
    from scene_geo_loc.training.encoder_trainer import EncoderTrainer

    try:
        protocol = EncoderProtocol(
            steps=steps,
            images=images,
            side=side,
            learning_rate=learning_rate,
            precision=precision,
            seed=seed,
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise SceneGeoLocError(f"{first['loc'][0]}: {first['msg']}, not {first['input']}.") from error
    packs = []
    for number, source in enumerate(sources):
        with progress(f"packing {source.name}", "images") as tell:
            packs.append(pack_images(source, out.with_name(f"{out.name}.packs") / str(number), tell))
    trainer = EncoderTrainer(name.value, packs, out, protocol, device)
    with progress(f"teaching {name.value}", "steps") as tell:

        def told(done: int, total: int, record: dict[str, Any] | None) -> None:
            tell(done, total)
            if record:
                held_out = ", ".join(f"{share:.3f} at {at}" for at, share in record["held_out"].items())
                typer.echo(f"step {done}: not explained of held-out images: {held_out}", err=True)

        weights = trainer.run(told)
    typer.echo(f"{weights}: weights of {name.value}, learned in {steps} steps")
