"""`scene-geo-loc benchmark descriptors|pairs|pose`: how well places are found, and poses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scene_geo_loc.cli.benchmark.poses import pose

if TYPE_CHECKING:
    from scene_geo_loc.benchmarks.descriptors.benchmark import Benchmark

benchmark_app = typer.Typer(
    help="Score global descriptors and poses on places that are known.", no_args_is_help=True
)
benchmark_app.command()(pose)
Json = Annotated[Path | None, typer.Option(help="File to write the numbers and their protocol to.")]


@benchmark_app.command()
def descriptors(
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="Folder of RobotCar runs, real or simulated.")],
    runs: Annotated[
        list[Path] | None,
        typer.Option(help="Run folder of `train descriptor`, or a folder of such; may be repeated."),
    ] = None,
    network: Annotated[
        list[Path] | None, typer.Option(help="Checkpoint to score besides; may be repeated.")
    ] = None,
    whiten: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Size to PCA-whiten trained descriptors to, besides; may be repeated."),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder to keep images and scores in: next time only what is new is described."),
    ] = None,
    json: Json = None,
    report: Annotated[Path | None, typer.Option(help="Folder to write a page with curves to.")] = None,
    write: Annotated[
        Path | None,
        typer.Option(help="File to write the results to as Markdown, with pictures in `images` beside it."),
    ] = None,
    device: Annotated[str, typer.Option(help="Where networks run: auto, cpu, cuda, ...")] = "auto",
) -> None:
    """Localize the queries of the ICRA paper's four scenarios by descriptors, and give recall.

    References are of the overcast run, queries of the runs sunny, long-term, snow and night; a
    scenario without its run is left out. Runs of one system and protocol that differ in their seed make
    one row. The paper's printed numbers stand below ours.

    Example:  scene-geo-loc benchmark descriptors robotcar --runs runs --cache cache --report recall_report
    """
    from dataclasses import replace

    from scene_geo_loc.benchmarks.descriptors.benchmark import benchmark_descriptors
    from scene_geo_loc.benchmarks.descriptors.comparisons import to_record
    from scene_geo_loc.benchmarks.descriptors.systems import runs_of_the_package
    from scene_geo_loc.benchmarks.descriptors.trained_runs import checkpoint_run, find_runs
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.core.atomic import write_json

    sizes = sorted(set(whiten or ()))
    found = find_runs(runs or (), device, sizes)
    checkpoints = [checkpoint_run(path, device, sizes) for path in network or ()]
    contestants = [*runs_of_the_package(device), *checkpoints, *found.runs]
    done = benchmark_descriptors(root, contestants, cache, found.protocols, progress)
    done = replace(done, left_out=[*done.left_out, *found.left_out], begun_with=found.begun_with)
    print_benchmark(done)
    if json is not None:
        write_json(json, to_record(done))
    if report is not None:
        from scene_geo_loc.benchmarks.descriptors.report import write_descriptor_report

        typer.echo(f"The report is {write_descriptor_report(report, done)}.")
    if write is not None:
        from scene_geo_loc.benchmarks.descriptors.page import write_results

        written = write_results(write, done)
        typer.echo(f"The results are {written[0]}, with {len(written) - 1} pictures in {written[1].parent}.")


@benchmark_app.command()
def pairs(
    pairs_file: Annotated[
        Path, typer.Argument(metavar="PAIRS", help="CSV file: query, database, and 1 where they match.")
    ],
    described: Annotated[
        Path, typer.Argument(metavar="DESCRIPTORS", help="What `describe` wrote (.npz), of both.")
    ],
    json: Json = None,
) -> None:
    """Score descriptors on labelled pairs of images: average precision, and best matches.

    Names in PAIRS are those in DESCRIPTORS: relative to the folder that was described. Example:

        scene-geo-loc describe snow --out snow.npz

        scene-geo-loc benchmark pairs snow/pairs.csv snow.npz
    """
    from scene_geo_loc.benchmarks.descriptors.labelled_pairs import LabelledPairs, score_pairs
    from scene_geo_loc.core.atomic import write_json
    from scene_geo_loc.mapping.image_descriptors import Descriptors

    scores = score_pairs(LabelledPairs.load(pairs_file), Descriptors.load(described))
    typer.echo(
        f"Average precision {100 * scores.average_precision:.1f} % over {scores.pairs} pairs, "
        f"{scores.matches} of them matches.\n"
        f"The most similar labelled image is a match for {scores.best_is_match} of {scores.queries} queries."
    )
    if scores.left_out:
        typer.echo(f"Left out: {scores.left_out} pairs of which an image has no descriptor.")
    if json is not None:
        write_json(json, scores.to_dict())


def print_benchmark(benchmark: Benchmark) -> None:
    """Prints the table, what was counted, and what the numbers mean."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from scene_geo_loc.benchmarks.descriptors.comparison_words import comparisons_in_words
    from scene_geo_loc.benchmarks.descriptors.table import COSTS, NOTES, headings, rows

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 1, 0))
    table.add_column("")
    for heading in headings(benchmark):
        table.add_column("\n".join(heading), justify="right", no_wrap=True)
    for row in rows(benchmark):
        cells = ("\n".join(lines) for lines in row.cells)
        name = f"{escape(row.name)}\n[dim]{escape(row.training)}[/]" if row.training else escape(row.name)
        table.add_row(name, *cells, style="dim" if row.is_paper else None)
    console = Console(highlight=False)
    console.print(table)
    for row in rows(benchmark):
        if row.costs:
            costs = ", ".join(f"{cost} {unit}" for cost, unit in zip(row.costs, COSTS, strict=True))
            console.print(f"{row.name}: {costs}.")
    for views in benchmark.scenarios:
        name, recall = views.name, benchmark.recall(views.name)
        line = f"{name}: {recall.queries} queries, {recall.references} references, recall@1 by chance "
        line += f"{100 * recall.chance:.1f} %"
        if recall.without_reference:
            line += f"; {recall.without_reference} queries have none within 25 m and count as missed"
        console.print(f"{line}; left out {views.skipped}." if views.skipped else f"{line}.")
    for words in comparisons_in_words(benchmark):
        console.print(words.title, style="bold")
        for sentence in words.sentences:
            console.print(f"  {sentence}")
    for sentence in benchmark.left_out:
        console.print(sentence)
    console.print("\n".join(NOTES), style="dim")
