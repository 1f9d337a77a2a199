"""`scene-geo-loc depth make|evaluate|compare`: dense depth maps from lidar, and how good learned depth is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scene_geo_loc.cli.depth.compare import compare
from scene_geo_loc.cli.options.source import Source, takes_source
from scene_geo_loc.depth.window import PUSHBROOM, SPINNING

if TYPE_CHECKING:
    from scene_geo_loc.depth.window import ScanWindow
    from scene_geo_loc.metrics.depth_error import DepthReport
    from scene_geo_loc.traversals.frame import Traversal

depth_app = typer.Typer(
    help="Make dense depth maps from lidar, judge them, and judge learned depth by them.",
    no_args_is_help=True,
)
depth_app.command()(compare)


def _help(words: str, spinning_s: float, pushbroom_s: float) -> str:
    return f"{words} an image; if left out, {spinning_s:g}, or {pushbroom_s:g} of a push-broom lidar."


Before = Annotated[
    float | None,
    typer.Option(
        min=0, help=_help("Gather scans from so many seconds before", SPINNING.before_s, PUSHBROOM.before_s)
    ),
]
After = Annotated[
    float | None,
    typer.Option(
        min=0, help=_help("Gather scans until so many seconds after", SPINNING.after_s, PUSHBROOM.after_s)
    ),
]


def _window(traversal: Traversal, before: float | None, after: float | None) -> ScanWindow:
    from dataclasses import replace

    from scene_geo_loc.depth.lidar_views import choose_window

    window = choose_window(traversal)
    return replace(
        window,
        before_s=window.before_s if before is None else before,
        after_s=window.after_s if after is None else after,
    )


@depth_app.command()
@takes_source
def make(
    source: Source,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the depth maps.")],
    before: Before = None,
    after: After = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; else one for each core.")] = None,
) -> None:
    """Make a dense depth map for each image of a source with lidar, to train networks with.

    OUT gets <stamp>.png, 16 bits in centimetres with 0 for unknown, and index.json.  A run that was
    stopped goes on where it was when the same command is given again.

    Example:  scene-geo-loc depth make 2014-06-26-09-31-18 depth/reference --every 5
    """
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.depth.make_depth_maps import make_depth_maps

    traversal = source.open()
    window = _window(traversal, before, after)
    with progress("depth maps", "images") as on_progress:
        done = make_depth_maps(traversal, out, window, workers=workers, on_progress=on_progress)
    left_out = f"; left out: {done.skipped}" if done.skipped else ""
    typer.echo(
        f"{out}: {done.made + done.kept} depth maps, {done.made} of them new, "
        f"{100 * done.known:.0f} % of their pixels known{left_out}."
    )


@depth_app.command()
@takes_source
def evaluate(
    source: Source,
    before: Before = None,
    after: After = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the numbers to this file.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write a picture of each image to this folder, JPEG.")
    ] = None,
) -> None:
    """Judge dense depth by lidar points held out, and by the true depth where the source has it.

    Takes seconds an image: choose some with --every.  The pictures show image, points, dense depth and
    its error (against the true depth, else against the points).

    Example:  scene-geo-loc depth evaluate drive_bag --every 10 --report depth_pictures
    """
    from scene_geo_loc.cli.options.progress import track
    from scene_geo_loc.core.atomic import write_aside, write_json
    from scene_geo_loc.core.errors import SceneGeoLocError
    from scene_geo_loc.depth.lidar_views import lidar_views
    from scene_geo_loc.localization.match_picture import jpeg_bytes
    from scene_geo_loc.metrics.depth_error import DepthReport
    from scene_geo_loc.plots.depth_pictures import example_picture
    from scene_geo_loc.traversals.frame import Skipped

    traversal = source.open()
    window = _window(traversal, before, after)
    skipped, judged = Skipped(), DepthReport()
    for view in track(lidar_views(traversal, window, skipped), len(traversal), "judging depth"):
        frame, sparse = view.frame, view.sparse(window)
        judged.add(sparse, frame.image, frame.depth, seed=frame.stamp_ns)
        if report is not None:
            picture = example_picture(frame.image, sparse, frame.depth)
            write_aside(report / f"{frame.stamp_ns}.jpg", jpeg_bytes(picture))
    if not judged.maps:
        raise SceneGeoLocError(f"{traversal.name}: no image has lidar points in view ({skipped}).")
    _print(judged)
    if skipped:
        typer.echo(f"Left out: {skipped}.")
    if json_file is not None:
        write_json(json_file, {"source": traversal.name, **judged.to_dict()})


def _print(judged: DepthReport) -> None:
    from rich.console import Console
    from rich.table import Table

    words = {
        "points": "single points held out",
        "blocks": "blocks of points held out",
        "truth": "true depth of every pixel",
    }
    console = Console(highlight=False)
    for kind, methods in judged.errors.items():
        table = Table(title=words[kind], title_justify="left", title_style="bold", box=None)
        table.add_column("", no_wrap=True, min_width=14)
        headings = ["coverage", "abs rel", "RMSE", "within 1.25"]
        for heading in [*headings, *(["sky invented"] if kind == "truth" else [])]:
            table.add_column(heading, justify="right", no_wrap=True, min_width=11)
        for name, errors in methods.items():
            numbers = errors.summary()
            cells = [
                _share(numbers["coverage"]),
                "–" if numbers["abs_rel"] is None else f"{numbers['abs_rel']:.4f}",
                "–" if numbers["rmse_m"] is None else f"{numbers['rmse_m']:.2f} m",
                _share(numbers["within_1_25"]),
            ]
            if kind == "truth":
                cells.append(_share(judged.invented[name] / judged.sky if judged.sky else None))
            table.add_row(name, *cells)
        console.print(table)
    console.print(
        f"{judged.maps} depth maps; errors over the pixels that all methods but the sparse one give a depth.",
        style="dim",
    )


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"
