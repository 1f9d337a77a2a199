"""`scene-geo-loc train`: trains descriptors and depth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from scene_geo_loc.cli.options.progress import AnnotatedProgress

from scene_geo_loc.cli.train.depth import depth
from scene_geo_loc.cli.train.encoder import encoder
from scene_geo_loc.cli.train.scene import scene
from scene_geo_loc.core.progress import ProgressCallback

train_app = typer.Typer(help="Train networks.", no_args_is_help=True)
train_app.command()(depth)
train_app.command()(encoder)
train_app.command()(scene)


@train_app.command()
def descriptor(
    triplets: Annotated[
        Path, typer.Argument(metavar="TRIPLETS", help="File of triplets, of `scene-geo-loc triplets`.")
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder of the run; resumed where it is not finished.")
    ],
    config: Annotated[
        str, typer.Option(help="The system: the name of one that comes with the package, or a YAML file.")
    ],
    protocol: Annotated[
        str,
        typer.Option(help="How to train: full (the paper's numbers), reduced (for CPUs), or a YAML file."),
    ] = "full",
    seed: Annotated[int, typer.Option(min=0, help="Decides about everything random.")] = 0,
    weights: Annotated[
        Path | None,
        typer.Option(help="Weights of the encoder to begin with, instead of those that the system names."),
    ] = None,
    depth_weights: Annotated[
        Path | None,
        typer.Option(help="Those of the second encoder; --weights where it is of the same kind."),
    ] = None,
    decoder_weights: Annotated[
        Path | None,
        typer.Option(help="Checkpoint of `train depth --freeze encoder` whose decoder to begin with."),
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="Folder of the runs, where it is not where TRIPLETS says.")
    ] = None,
    packs: Annotated[
        Path | None,
        typer.Option(help="Folder for the images made small, shared by runs; TRIPLETS.packs if left out."),
    ] = None,
    device: Annotated[str, typer.Option(help="Where to train: auto, cpu, cuda, ...")] = "auto",
) -> None:
    """Train a descriptor system by triplets, and choose its best epoch in the validation area.

    OUT gets the config, a log with a line an epoch, its curves, and the checkpoints best and last. The same
    command resumes a run that was stopped, to the same result. On several GPUs:
    torchrun --nproc-per-node 4 --no-python scene-geo-loc train descriptor ...

    Example:  scene-geo-loc train descriptor triplets.parquet runs/rgbtd --config rgbtd_alexnet_mac
    """
    from scene_geo_loc.networks.runtime.extractor import choose_device
    from scene_geo_loc.training.common.config import load_protocol, load_system
    from scene_geo_loc.training.common.processes import Processes
    from scene_geo_loc.training.descriptor.run import TrainingRun, load_training_data

    system = load_system(config).with_weights(weights, depth_weights, decoder_weights)
    numbers = load_protocol(protocol)
    processes = Processes(choose_device(device))
    watcher = _Watcher(processes.is_first)
    data = load_training_data(
        triplets, root, packs or triplets.with_name(f"{triplets.name}.packs"), numbers, processes, watcher
    )
    run = TrainingRun(out, system, numbers, seed, data, processes, watcher)
    try:
        result = run.run()
    finally:
        watcher.close()
    processes.close()
    if processes.is_first:
        best = f"{run.folder.best}: {system.name}, best epoch {result['best_epoch']} of {result['epochs']}"
        if result["recall_at_1"] is not None:
            best += f", validation recall@1 {100 * result['recall_at_1']:.1f} %"
        typer.echo(f"{best}; {result['ended']}.")


class _Watcher:
    """Shows an epoch's progress with its losses, and a line an epoch that stays."""

    def __init__(self, shows: bool) -> None:
        self._shows = shows
        self._bar: AbstractContextManager[AnnotatedProgress] | None = None
        self._on_progress: AnnotatedProgress | None = None

    @contextmanager
    def packing(self, words: str) -> Iterator[ProgressCallback]:
        """See `RunWatcher.packing`; shows nothing where nothing is to be packed."""
        yield lambda done, total: self._show(words, "images", done, total)
        self.close()

    def stage(self, name: str) -> None:
        """See `RunWatcher.stage`."""
        if self._shows:
            typer.echo(name)

    def batch(self, epoch: int, done: int, total: int, losses: dict[str, float]) -> None:
        """See `Watcher.batch`."""
        self._show(f"epoch {epoch}", "batches", done, total, told(losses))

    def epoch(self, record: dict[str, Any]) -> None:
        """See `Watcher.epoch`."""
        self.close()
        if self._shows:
            typer.echo(epoch_line(record))

    def close(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
            self._bar = self._on_progress = None

    def _show(self, words: str, unit: str, done: int, total: int, note: str = "") -> None:
        from scene_geo_loc.cli.options.progress import progress

        if not self._shows:
            return
        if self._on_progress is None:
            self._bar = progress(words, unit)
            self._on_progress = self._bar.__enter__()
        self._on_progress(done, total, note)


def told(losses: dict[str, float]) -> str:
    """Losses in words."""
    return "losses " + ", ".join(f"{name} {value:.4f}" for name, value in losses.items())


def epoch_line(record: dict[str, Any]) -> str:
    """A record of the log in a line."""
    parts = []
    if record["losses"]:
        parts.append(told(record["losses"]))
    if "recall_at_n" in record:
        shares = " ".join(f"{100 * share:.1f}" for share in record["recall_at_n"])
        parts.append(f"validation recall@1..5 {shares} %")
    if "images_a_second" in record:
        parts.append(f"{record['seconds']:.0f} s, {record['images_a_second']:.0f} images/s")
    return f"epoch {record['epoch']}: {'; '.join(parts) or 'not validated'}"
