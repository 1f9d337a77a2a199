"""`scene-geo-loc evaluate`: localizes a source whose poses are known and tells how well."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scene_geo_loc.cli.options.source import Source, takes_source

if TYPE_CHECKING:
    from scene_geo_loc.localization.session import Session
    from scene_geo_loc.metrics.pose_error import QueryRecord
    from scene_geo_loc.traversals.frame import Traversal


@takes_source
def evaluate(
    map_folder: Annotated[Path, typer.Argument(metavar="MAP", help="Folder of the reference map.")],
    source: Source,
    json: Annotated[Path | None, typer.Option(help="File to write the numbers to.")] = None,
    report: Annotated[Path | None, typer.Option(help="Folder to write a report with pictures to.")] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Play the source, a bag, to a localization_node of its own.")
    ] = False,
    track: Annotated[
        bool,
        typer.Option(
            "--track", help="Follow the camera from image to image, by the odometry of a bag that has one."
        ),
    ] = False,
    wrong_fix_m: Annotated[
        float, typer.Option(min=0.001, help="A localized pose off by more metres is a wrong fix.")
    ] = 5.0,
    device: Annotated[str, typer.Option(help="Where the network runs: auto, cpu, cuda, ...")] = "auto",
) -> None:
    """Localize a source whose poses are known, and tell how far off the answers are.

    Offline the localizer sees every frame. With --track what it finds is fused with odometry, and offline, in
    a second run, the camera is kidnapped in the middle (frames are left out) to see how soon it is found
    again. With --live the bag is played as it was recorded to a localization_node in a process of its own,
    and what the node publishes is scored. Scenes of 7-Scenes, 12-Scenes and Cambridge Landmarks are shown
    beside the errors that Perspective-n-Learned-Point prints.

    Example:  scene-geo-loc evaluate office_map evening.bag --json evening.json --report evening_report
    """
    from scene_geo_loc.benchmarks.localization.tracking import gaps_of, kidnap
    from scene_geo_loc.cli.results.poses import (
        print_coverage,
        print_gaps,
        print_kidnapping,
        print_reasons,
        print_results,
        print_retrieval,
        print_scene_table,
    )
    from scene_geo_loc.core.atomic import write_json
    from scene_geo_loc.core.errors import TraversalError
    from scene_geo_loc.localization.localizer import Localizer
    from scene_geo_loc.localization.session import Session
    from scene_geo_loc.localization.tracker import Tracker
    from scene_geo_loc.mapping.reference_map import ReferenceMap
    from scene_geo_loc.metrics.covariance_calibration import coverage_of
    from scene_geo_loc.metrics.pose_error import summarize
    from scene_geo_loc.metrics.published.bmvc2019 import medians_of, scene_table
    from scene_geo_loc.traversals.opening import format_of

    traversal = source.open()
    reference_map = ReferenceMap.open(map_folder)
    reference_map.verify()
    if all(frame.T_map_camera is None for frame in traversal.frames()):
        raise TraversalError(
            f"{traversal.name} has no poses to compare with: name them with --poses, or use `localize`."
        )
    localizer = Localizer(reference_map, device=device)
    session = Session(localizer, Tracker() if track else None)
    if live:
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder if report is None else report) / "localization_node.log"
            records = run_live(source.path, map_folder, traversal, log, track)
    else:
        records = run_offline(session, traversal)
    summary = summarize(records, wrong_fix_m)
    print_results({source.path.name: summary})
    print_reasons(records)
    numbers = summary.to_dict()
    gaps = gaps_of(records)
    print_gaps(gaps)
    numbers |= gaps.to_dict()
    coverage = coverage_of(records)
    if coverage is not None:
        print_coverage(coverage)
        numbers["coverage_95"] = coverage.to_dict()
    kidnapping = kidnap(session, traversal, wrong_fix_m) if track and not live else None
    if kidnapping is not None:
        print_kidnapping(kidnapping)
        numbers["kidnapped"] = kidnapping.to_dict()
    table = scene_table(format_of(source.path, source.format), source.path)
    medians = medians_of(records)
    if table is not None:
        print_scene_table(table, medians)
        numbers["paper"] = table.to_dict(medians)
    elif medians:
        print_retrieval(medians[0])
    if traversal.skipped:
        typer.echo(f"Left out by the reader: {traversal.skipped}.")
    if json is not None:
        write_json(json, numbers)
    if report is not None:
        from scene_geo_loc.core.atomic import write_aside
        from scene_geo_loc.reports.examples import choose_examples, draw_examples
        from scene_geo_loc.reports.report import Report, write_report
        from scene_geo_loc.reports.summary_picture import hero_picture

        how = "Played live to localization_node over DDS" if live else "Localized offline"
        how += ", tracked," if track else ""
        how += f" in a map of {len(reference_map)} keyframes, built from {reference_map.info.source}."
        examples = draw_examples(records, choose_examples(records), localizer, reference_map, traversal)
        positions = reference_map.T_map_camera[:, :3, 3]
        shown = Report(source.path.name, how, records, summary, positions, examples, table, medians)
        write_report(report / "index.html", shown)
        rows = [(example.title, example.picture) for example in examples[:3]]
        if rows:
            picture = hero_picture(rows, records, summary, positions, source.path.name)
            write_aside(report / "picture.png", picture)
        typer.echo(f"The report is {report / 'index.html'}.")


def run_offline(session: Session, traversal: Traversal) -> list[QueryRecord]:
    """Localizes every frame, with progress."""
    from scene_geo_loc.benchmarks.localization.run import localize_traversal
    from scene_geo_loc.cli.options.progress import track

    return list(track(localize_traversal(session, traversal), len(traversal), "localizing"))


def run_live(
    bag: Path, map_folder: Path, traversal: Traversal, log: Path, tracking: bool
) -> list[QueryRecord]:
    """Plays a bag to a localization_node of its own, with progress."""
    from scene_geo_loc.benchmarks.localization.live import live_records
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.ros.harness.replay import replay

    with progress("replaying") as on_progress:
        answers = replay(bag, map_folder, log, on_progress, tracking)
    return live_records(answers, traversal)
