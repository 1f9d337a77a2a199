"""`scene-geo-loc benchmark descriptors|pairs`: how well global descriptors find places."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from scene_geo_loc.evaluation.descriptor_benchmark import Benchmark

benchmark_app = typer.Typer(help="Score global descriptors on places that are known.", no_args_is_help=True)
Json = Annotated[Path | None, typer.Option(help="File to write the numbers and their protocol to.")]


@benchmark_app.command()
def descriptors(
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="Folder of RobotCar runs, real or simulated.")],
    json: Json = None,
    report: Annotated[Path | None, typer.Option(help="Folder to write a page with curves to.")] = None,
    device: Annotated[str, typer.Option(help="Where networks run: auto, cpu, cuda, ...")] = "auto",
) -> None:
    """Localize the queries of the ICRA paper's four scenarios by descriptors, and give recall.

    References are of the overcast run, queries of the runs sunny, long-term, snow and night; a
    scenario without its run is left out. The paper's printed numbers stand below ours.

    Example:  scene-geo-loc benchmark descriptors robotcar --json recall.json --report recall_report
    """
    from scene_geo_loc.cli.progress import progress
    from scene_geo_loc.evaluation.descriptor_benchmark import SYSTEMS, benchmark_descriptors
    from scene_geo_loc.evaluation.output import write_json

    with progress("describing", "images") as tell:
        done = benchmark_descriptors(root, [make(device) for make in SYSTEMS], tell)
    print_benchmark(done)
    if json is not None:
        write_json(json, done.to_dict())
    if report is not None:
        from scene_geo_loc.evaluation.descriptor_report import write_descriptor_report

        typer.echo(f"The report is {write_descriptor_report(report, done)}.")


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
    from scene_geo_loc.evaluation.describe import Descriptors
    from scene_geo_loc.evaluation.labelled_pairs import LabelledPairs, score_pairs
    from scene_geo_loc.evaluation.output import write_json

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
    from rich.table import Table

    from scene_geo_loc.evaluation.descriptor_table import COSTS, NOTES, headings, rows

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 1, 0))
    table.add_column("")
    for heading in headings(benchmark):
        table.add_column("\n".join(heading), justify="right", no_wrap=True)
    for row in rows(benchmark):
        cells = ("\n".join(lines) for lines in row.cells)
        table.add_row(row.name, *cells, style="dim" if row.is_paper else None)
    console = Console(highlight=False)
    console.print(table)
    for row in rows(benchmark):
        if row.costs:
            costs = ", ".join(f"{cost} {unit}" for cost, unit in zip(row.costs, COSTS, strict=True))
            console.print(f"{row.name}: {costs}.")
    for name, scenario in benchmark.systems[0].scenarios.items():
        recall = scenario.recall
        line = f"{name}: {recall.queries} queries, {recall.references} references, recall@1 by chance "
        line += f"{100 * recall.chance:.1f} %"
        if recall.without_reference:
            line += f"; {recall.without_reference} queries have none within 25 m and count as missed"
        console.print(f"{line}; left out {scenario.skipped}." if scenario.skipped else f"{line}.")
    for sentence in benchmark.left_out:
        console.print(sentence)
    console.print("\n".join(NOTES), style="dim")
