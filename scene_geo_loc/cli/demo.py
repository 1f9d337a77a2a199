"""`scene-geo-loc demo`: the whole loop, from a drive to a map to three drives localized live."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scene_geo_loc.cli.options.progress import progress, track
from scene_geo_loc.core.artifacts import ArtifactCache

if TYPE_CHECKING:
    from scene_geo_loc.mapping.settings import DepthSource
    from scene_geo_loc.metrics.pose_error import QueryRecord, Summary

MAPPED = "overcast"
DRIVES = ("sunny", "snow", "night")
SEED, SPEED_M_S = 11, 10.0
"""Of a town that the network of the package was not trained in."""
STREET_M = {MAPPED: (0.0, 320.0), **dict.fromkeys(DRIVES, (60.0, 200.0))}
"""Where along the town's loop a drive starts, and how long it is: the queries lie well inside the map."""
OF_IMAGES = "map_of_images"
DEPTH_OF_MAP: dict[str, DepthSource] = {"map": "measured", OF_IMAGES: "learned"}
"""The maps of the mapped drive, and where their depth is from: the lidar, or the network alone."""
MIN_LOCALIZED_SHARE, MAX_MEDIAN_M, MAX_MEDIAN_DEG = 0.9, 0.5, 1.0
"""What the sunny drive must reach, besides no wrong fix."""


def demo(
    out: Annotated[Path, typer.Option(help="Folder for bags, map, report and result.json.")] = Path("demo"),
) -> None:
    """Map a simulated drive, localize three others through the live node, and report how well.

    An overcast drive is mapped; a sunny, a snowy and a night drive down the same street are replayed
    as they were recorded to a localization_node in a process of its own. Then they are localized once
    more in a map of the images alone, without the lidar. What is there from an earlier run is used again.

    Example:  scene-geo-loc demo --out demo
    """
    begin = time.monotonic()
    # Being told to end is ended as Ctrl-C is, so that no process is left behind.
    earlier = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        missed = run(out)
    except KeyboardInterrupt:
        typer.echo("Stopped. The same command goes on from here.", err=True)
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGTERM, earlier)
    typer.echo(f"The report is {out / 'report' / 'index.html'}; that took {time.monotonic() - begin:.0f} s.")
    if missed:
        typer.echo(f"The sunny drive misses what it should reach: {'; '.join(missed)}.", err=True)
        raise typer.Exit(1)


def run(out: Path) -> list[str]:
    """Does all of it; returns what the sunny drive misses."""
    from scene_geo_loc.cli.results.poses import print_results
    from scene_geo_loc.core.atomic import write_json
    from scene_geo_loc.localization.estimate import Status
    from scene_geo_loc.metrics.pose_error import summarize

    artifacts = ArtifactCache(out)
    for condition in (MAPPED, *DRIVES):
        simulate_drive(artifacts, condition)
    for name in DEPTH_OF_MAP:
        build_map(artifacts, name)
    records = {condition: replay_drive(out, condition) for condition in DRIVES}
    summaries = {condition: summarize(records[condition]) for condition in DRIVES}
    print_results(summaries, f"Mapped {MAPPED}, localized live")
    of_images = {condition: summarize(localize_drive(out, condition)) for condition in DRIVES}
    print_results(of_images, f"Mapped {MAPPED} from images alone, its depth learned, localized offline")
    for condition in DRIVES:
        passed_over = sum(record.status is Status.UNANSWERED for record in records[condition])
        if passed_over:
            typer.echo(f"{condition}: {passed_over} images had no answer: the node was busy, or not ready.")
    machine = describe_machine()
    write_json(
        out / "result.json",
        {name: summary.to_dict() | {"ran_on": machine} for name, summary in summaries.items()}
        | {f"{name}, map of images alone": summary.to_dict() for name, summary in of_images.items()},
    )
    write_reports(out, records, summaries, machine)
    return missed_bars(summaries["sunny"])


def simulate_drive(artifacts: ArtifactCache, condition: str) -> None:
    """Records a drive as a bag, where it is not there; only the mapping drive needs lidars."""
    name = f"bags/{condition}"
    is_mapped = condition == MAPPED
    start, length = STREET_M[condition]
    origin = {"condition": condition, "seed": SEED, "speed": SPEED_M_S, "lidar": is_mapped}
    origin |= {"start": start, "length": length}
    if artifacts.is_complete(name, origin):
        typer.echo(f"{artifacts.root / name} is there already.")
        return
    from scene_geo_loc.mapping.builder import remove_partial
    from scene_geo_loc.simulation.recordings.drive import DriveSettings, simulate
    from scene_geo_loc.simulation.vehicle.sensors import Rig

    rig = Rig() if is_mapped else Rig(lidar=None, pushbroom=None)
    settings = DriveSettings(condition, SEED, start=start, length=length, speed=SPEED_M_S, rig=rig)
    path = artifacts.begin(name)
    if is_mapped:
        for map_name in DEPTH_OF_MAP:
            remove_partial(artifacts.root / map_name)
    with progress(f"simulating the {condition} drive") as on_progress:
        simulate(path, settings, on_progress=on_progress)
    artifacts.finish(name, origin)


def build_map(artifacts: ArtifactCache, name: str) -> None:
    """Builds a map from the mapping drive's bag, where it is not there; goes on with an unfinished one."""
    from scene_geo_loc.core.errors import MapError
    from scene_geo_loc.mapping import builder as mapping
    from scene_geo_loc.mapping.reference_map import ReferenceMap
    from scene_geo_loc.mapping.settings import BuilderSettings
    from scene_geo_loc.traversals.opening import open_traversal

    bag = artifacts.root / "bags" / MAPPED
    settings = BuilderSettings(depth=DEPTH_OF_MAP[name])
    origin = {"bag": artifacts.record_of(f"bags/{MAPPED}"), "settings": settings.model_dump()}
    path = artifacts.root / name
    if artifacts.is_complete(name, origin):
        try:
            ReferenceMap.open(path).verify()
        except MapError as error:
            typer.echo(f"{error} It is built again.", err=True)
        else:
            typer.echo(f"{path} is there already.")
            return
    traversal = open_traversal(bag)
    source = f"bags/{MAPPED}"
    mapping.build_map(traversal, artifacts.begin(name), settings, source=source, display=progress)
    artifacts.finish(name, origin)


def localize_drive(out: Path, condition: str) -> list[QueryRecord]:
    """Localizes every image of a drive in the map of images alone."""
    from scene_geo_loc.benchmarks.localization.run import localize_traversal
    from scene_geo_loc.localization.localizer import Localizer
    from scene_geo_loc.localization.session import Session
    from scene_geo_loc.mapping.reference_map import ReferenceMap
    from scene_geo_loc.traversals.opening import open_traversal

    localizer = Localizer(ReferenceMap.open(out / OF_IMAGES))
    traversal = open_traversal(out / "bags" / condition)
    answers = localize_traversal(Session(localizer), traversal)
    return list(track(answers, len(traversal), f"localizing the {condition} drive"))


def replay_drive(out: Path, condition: str) -> list[QueryRecord]:
    """Plays a drive to a node of its own and scores what it publishes against the bag's truth."""
    from scene_geo_loc.benchmarks.localization.live import live_records
    from scene_geo_loc.ros.harness.replay import replay
    from scene_geo_loc.traversals.opening import open_traversal

    bag = out / "bags" / condition
    with progress(f"replaying the {condition} drive live") as on_progress:
        answers = replay(bag, out / "map", out / "logs" / f"{condition}.log", on_progress)
    return live_records(answers, open_traversal(bag))


def write_reports(
    out: Path, records: dict[str, list[QueryRecord]], summaries: dict[str, Summary], machine: str
) -> None:
    """Writes a report a drive, the page that leads to them, and the picture that sums them up."""
    from scene_geo_loc.core.atomic import write_aside
    from scene_geo_loc.localization.localizer import Localizer
    from scene_geo_loc.mapping.reference_map import ReferenceMap
    from scene_geo_loc.reports.examples import Example, choose_examples, draw_examples
    from scene_geo_loc.reports.report import IndexRow, Report, write_index, write_report
    from scene_geo_loc.reports.summary_picture import hero_picture
    from scene_geo_loc.traversals.opening import open_traversal

    reference_map = ReferenceMap.open(out / "map")
    localizer = Localizer(reference_map)
    positions = reference_map.T_map_camera[:, :3, 3]
    _, mapped_m = STREET_M[MAPPED]
    how = (
        f"A simulated {MAPPED} drive of {mapped_m:g} m was mapped ({len(reference_map)} keyframes); "
        f"each drive was played as recorded to localization_node over DDS, on {machine}."
    )
    folder = out / "report"
    rows: list[IndexRow] = []
    examples: dict[str, list[Example]] = {}
    for condition in track(DRIVES, len(DRIVES), "drawing the reports", "drives"):
        run, summary = records[condition], summaries[condition]
        traversal = open_traversal(out / "bags" / condition)
        drawn = draw_examples(run, choose_examples(run), localizer, reference_map, traversal)
        title = f"The {condition} drive"
        write_report(folder / f"{condition}.html", Report(title, how, run, summary, positions, drawn))
        rows.append(IndexRow(condition, f"{condition}.html", summary, drawn[0] if drawn else None))
        examples[condition] = drawn
    pictures = [(f"{name}: {drawn[0].title}", drawn[0].picture) for name, drawn in examples.items() if drawn]
    title = f"A sunny drive in the map of an {MAPPED} one"
    hero = hero_picture(pictures, records["sunny"], summaries["sunny"], positions, title)
    write_aside(folder / "hero.png", hero)
    write_index(folder / "index.html", "One street, three drives, one map", how, rows, hero)


def missed_bars(sunny: Summary) -> list[str]:
    """What the sunny drive misses of what it should reach, in words."""
    missed = []
    if (sunny.localized_share or 0.0) < MIN_LOCALIZED_SHARE:
        missed.append(f"{MIN_LOCALIZED_SHARE:.0%} of frames localized")
    if sunny.position_median_m is None or sunny.position_median_m > MAX_MEDIAN_M:
        missed.append(f"a median position error of {MAX_MEDIAN_M} m")
    if sunny.rotation_median_deg is None or sunny.rotation_median_deg > MAX_MEDIAN_DEG:
        missed.append(f"a median rotation error of {MAX_MEDIAN_DEG}°")
    if sunny.wrong_fixes:
        missed.append(f"no pose more than {sunny.wrong_fix_m:g} m off")
    return missed


def describe_machine() -> str:
    """The processor and how many cores of it there are."""
    import os
    import platform

    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return f"{os.cpu_count()} cores of {model}"
