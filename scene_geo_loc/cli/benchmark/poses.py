"""`scene-geo-loc benchmark pose`: the papers' tables of poses, ours beside them, and an ablation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scene_geo_loc.cli.options.settings import setting
from scene_geo_loc.cli.options.source import Format, Poses
from scene_geo_loc.mapping.settings import MATCHERS, BuilderSettings

if TYPE_CHECKING:
    from scene_geo_loc.benchmarks.poses.results import PoseBenchmark

TABLE_WIDTH = 130
"""Fewest columns of characters that the ablation takes."""


def pose(
    map_source: Annotated[
        Path,
        typer.Argument(metavar="MAP_SOURCE", help="What is mapped: a bag, a dataset, or a folder of scenes."),
    ],
    query_sources: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[QUERY_SOURCE]...", help="What is localized in it; else a part of MAP_SOURCE."
        ),
    ] = None,
    query_every: Annotated[int, typer.Option(min=1, help="Localize every so many of the queries.")] = 1,
    keyframe_distance: Annotated[
        float | None, setting(BuilderSettings, "keyframe_distance_m", "--keyframe-distance")
    ] = None,
    keyframe_angle: Annotated[
        float | None, setting(BuilderSettings, "keyframe_angle_deg", "--keyframe-angle")
    ] = None,
    indoors: Annotated[
        bool | None,
        typer.Option(
            "--indoors/--outdoors", help="Bounds that errors are counted by; else as the format is."
        ),
    ] = None,
    network: Annotated[
        list[Path] | None,
        typer.Option(help="Checkpoint to use in place of the package's own network; may be repeated."),
    ] = None,
    matcher: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Local features to match by: {', '.join(MATCHERS)}; may be repeated.",
        ),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder to keep maps in, so that each is built once.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="File to write all errors and numbers to.")] = None,
    curves: Annotated[
        Path | None, typer.Option(help="Folder to draw the curves of cumulative errors in, one PNG a set.")
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(help="File to write the results to as Markdown, with pictures in `images` beside it."),
    ] = None,
    also: Annotated[
        list[Path] | None,
        typer.Option(help="Earlier results, as --json wrote them, to show as well; may be repeated."),
    ] = None,
    device: Annotated[str, typer.Option(help="Where networks run: auto, cpu, cuda, ...")] = "auto",
    format: Format = None,
    poses: Poses = None,
    camera: Annotated[
        list[str] | None,
        typer.Option(
            help="Which camera, as of `evaluate`; several are localized together, and the first alone."
        ),
    ] = None,
) -> None:
    """Localize queries by every method, from retrieval alone to refined poses, and compare them.

    Without a QUERY_SOURCE, the training split is mapped and the test split localized; of a source without
    splits the frames with even numbers are mapped and the others localized. A folder of scenes of 7-Scenes,
    12-Scenes or Cambridge Landmarks is run scene by scene. What Perspective-n-Learned-Point prints for a
    scene stands beside. Of splits and of halves every frame is a keyframe, if nothing else is asked for.

    Examples:
        scene-geo-loc benchmark pose 7scenes --cache maps --write poses.md

        scene-geo-loc benchmark pose morning.bag noon.bag evening.bag --json poses.json --curves curves
    """
    from scene_geo_loc.benchmarks.descriptors.page import machine
    from scene_geo_loc.benchmarks.poses.benchmark import PoseBenchmarkRun
    from scene_geo_loc.benchmarks.poses.experiments import find_courses
    from scene_geo_loc.benchmarks.poses.results import Place, PoseBenchmark, read_benchmark, write_benchmark
    from scene_geo_loc.cli.options.progress import progress

    earlier = [queries for path in also or () for queries in read_benchmark(path).sets]
    place = None if indoors is None else Place.INDOORS if indoors else Place.OUTDOORS
    courses = find_courses(
        map_source,
        query_sources or [],
        query_every=query_every,
        keyframe_distance_m=keyframe_distance,
        keyframe_angle_deg=keyframe_angle,
        place=place,
        format=format,
        poses=poses,
        cameras=camera or (),
    )
    run = PoseBenchmarkRun(network or [None], matcher or ["encoder"], cache, device, show=progress)
    done = PoseBenchmark(
        machine=machine(), sets=[queries for course in courses for queries in run.run(course)]
    )
    print_benchmark(done)
    if json is not None:
        write_benchmark(json, done)
    shown = done.model_copy(update={"sets": [*earlier, *done.sets]})
    if curves is not None:
        from scene_geo_loc.benchmarks.poses.plot import write_curves

        for file in write_curves(curves, shown):
            typer.echo(f"Curves are in {file}.")
    if write is not None:
        from scene_geo_loc.benchmarks.poses.page import write_pose_results

        written = write_pose_results(write, shown)
        typer.echo(f"The results are {written[0]}, with {len(written) - 1} pictures in {written[1].parent}.")


def print_benchmark(benchmark: PoseBenchmark) -> None:
    """Prints the ablation of each set of queries, the comparisons, and the paper's tables with ours."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from scene_geo_loc.benchmarks.poses import comparisons as pose_comparisons
    from scene_geo_loc.benchmarks.poses import table as pose_table

    console = Console(highlight=False)
    # A narrow terminal folds the lines of a table; squeezed, its names and numbers would be lost.
    wide = Console(highlight=False, width=max(console.width, TABLE_WIDTH))
    for queries in benchmark.sets:
        left_out = f", {queries.without_truth} without known truth left out" if queries.without_truth else ""
        console.print(
            f"{escape(queries.name)} in {escape(queries.map_name)}: {queries.queries} queries{left_out}, "
            f"{queries.methods[0].keyframes} keyframes",
            style="bold",
        )
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.add_column("")
        for heading in pose_table.headings(queries):
            table.add_column(heading.replace(" ", "\n", 1), justify="right", no_wrap=True)
        for line in pose_table.ablation(queries):
            table.add_row(escape(line.name), *line.cells, style=None if line.cells else "dim")
        wide.print(table)
        for sentence in [*queries.not_run.values(), *pose_comparisons.comparisons_in_words(queries)]:
            console.print(sentence)
        console.print()
    for compared in pose_table.paper_comparisons(benchmark):
        console.print(f"{compared.title}, metres / degrees", style="bold")
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.add_column("")
        for owner, columns in (("paper:", compared.printed), ("ours:", compared.ours)):
            for column in columns:
                table.add_column(f"{owner} {escape(column)}", justify="right")
        for line in compared.lines:
            table.add_row(escape(line.name), *line.cells)
        console.print(table)
        console.print(pose_table.PAPER_NOTE, style="dim")
    console.print(pose_table.notes(benchmark), style="dim")
    console.print(pose_comparisons.NOTE, style="dim")
