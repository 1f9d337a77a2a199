"""`scene-geo-loc depth compare`: how good the depth is that networks tell of images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from scene_geo_loc.metrics.learned_depth import DepthComparison, DepthEstimator, PackedPairs
    from scene_geo_loc.plots.learned_depth_pictures import DepthRow


def compare(
    checkpoints: Annotated[
        list[Path], typer.Argument(metavar="CHECKPOINT", help="Networks with a depth decoder.")
    ],
    pairs: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder that `depth make` wrote, or one of such; a condition of its own, once for each.",
        ),
    ] = None,
    image: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Image without a depth map, for the pictures; once for each."),
    ] = None,
    rendering: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Picture of an --image's depth that somebody else made, shown beside; in the images' order.",
        ),
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write pictures of examples to this file.")
    ] = None,
    most: Annotated[
        int, typer.Option(min=1, help="Compare at most so many pairs of each condition, drawn from all.")
    ] = 500,
    examples: Annotated[int, typer.Option(min=1, help="Pairs of each condition in the pictures.")] = 2,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the numbers to this file.")] = None,
    device: Annotated[str, typer.Option(help="Where networks run: auto, cpu, cuda, ...")] = "auto",
) -> None:
    """Compare the depth that networks tell of images with depth maps, in metres, condition by condition.

    Give the checkpoints before and after a fine-tuning, and pairs by night and by day, to see what it did.

    Example:  scene-geo-loc depth compare day.safetensors night.safetensors --pairs night \
--pairs day --pictures depth.jpg
    """
    from tempfile import TemporaryDirectory

    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.core.atomic import write_json
    from scene_geo_loc.core.errors import SceneGeoLocError
    from scene_geo_loc.metrics.learned_depth import PackedPairs, compare_depth
    from scene_geo_loc.plots.learned_depth_pictures import check_suffix, write_depth_pictures
    from scene_geo_loc.training.depth.pairs import pack_pairs

    folders, images, renderings = pairs or [], image or [], rendering or []
    if not folders and not (images and pictures):
        raise SceneGeoLocError("There is nothing to compare: give --pairs, or --image with --pictures.")
    if renderings and len(renderings) != len(images):
        raise SceneGeoLocError(
            f"{len(renderings)} renderings do not go with {len(images)} images: give one --rendering for "
            "each --image, in the same order, or none."
        )
    if pictures is not None:
        check_suffix(pictures)
    estimators = _estimators(checkpoints, device)
    with TemporaryDirectory() as scratch:
        conditions: dict[str, PackedPairs] = {}
        for name, folder in named(folders).items():
            with progress(f"reading {name}", "images") as on_progress:
                pack = pack_pairs([folder], Path(scratch) / name, count=most, on_progress=on_progress)
            conditions[name] = PackedPairs(pack)
        if conditions:
            with progress("comparing depth", "images") as on_progress:
                compared = compare_depth(estimators, conditions, on_progress)
            _print(compared)
            if json_file is not None:
                write_json(json_file, compared.to_dict())
        if pictures is not None:
            rows = [
                row for name, of in conditions.items() for row in _examples(name, of, estimators, examples)
            ]
            write_depth_pictures(pictures, rows + _plain(images, renderings, estimators))
            typer.echo(f"The pictures are in {pictures}.")


def named(folders: Sequence[Path]) -> dict[str, Path]:
    """Folders by their own names, or with as much of the path before as it takes to tell them apart."""
    for parts in range(1, 1 + max((len(folder.parts) for folder in folders), default=1)):
        names = ["/".join(folder.parts[-parts:]) for folder in folders]
        if len(set(names)) == len(names):
            break
    return dict(zip(names, folders, strict=True))


def _estimators(checkpoints: Sequence[Path], device: str) -> list[DepthEstimator]:
    from scene_geo_loc.metrics.learned_depth import DepthEstimator

    names = named([path.with_suffix("") for path in checkpoints])
    return [DepthEstimator.load(path, device, name) for name, path in zip(names, checkpoints, strict=True)]


def _examples(
    label: str, pairs: PackedPairs, estimators: Sequence[DepthEstimator], count: int
) -> list[DepthRow]:
    """Pairs spread evenly over a condition."""
    import numpy as np

    from scene_geo_loc.plots.learned_depth_pictures import DepthRow

    chosen = np.unique(np.linspace(0, len(pairs) - 1, count + 2)[1:-1].round().astype(int)).tolist()
    rows = []
    for image, truth in (pairs[i] for i in chosen):
        rows.append(DepthRow(label, image, {e.name: e.depth(image) for e in estimators}, truth))
    return rows


def _plain(
    images: Sequence[Path], renderings: Sequence[Path], estimators: Sequence[DepthEstimator]
) -> list[DepthRow]:
    """Images of which no depth is known."""
    from scene_geo_loc.plots.learned_depth_pictures import DepthRow
    from scene_geo_loc.traversals.folder import read_image

    rows = []
    for i, path in enumerate(images):
        image = read_image(path)
        rendering = read_image(renderings[i]) if renderings else None
        estimates = {estimator.name: estimator.depth(image) for estimator in estimators}
        rows.append(DepthRow(path.stem, image, estimates, rendering=rendering))
    return rows


def _print(compared: DepthComparison) -> None:
    from rich.console import Console
    from rich.table import Table

    numbers = compared.to_dict()
    console = Console(highlight=False)
    for condition, of in numbers["conditions"].items():
        title = f"{condition}: {of['pairs']} pairs"
        table = Table(title=title, title_justify="left", title_style="bold", box=None)
        table.add_column("", no_wrap=True, min_width=14)
        for heading in ("abs rel", "RMSE", "within 1.25"):
            table.add_column(heading, justify="right", no_wrap=True, min_width=11)
        for name, errors in of["errors"].items():
            table.add_row(
                name,
                f"{errors['abs_rel']:.4f}",
                f"{errors['rmse_m']:.2f} m",
                f"{100 * errors['within_1_25']:.1f} %",
            )
        console.print(table)
    console.print(f"Errors over {numbers['protocol']['compared']}; never scaled to the truth.", style="dim")
