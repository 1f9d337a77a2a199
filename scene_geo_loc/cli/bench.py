"""`scene-geo-loc bench`: what the package costs on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

LARGE = 100_000
KEYFRAMES = 10_000
RECORDED_HZ = 10.0


def bench(
    out: Annotated[Path, typer.Option(help="Folder for the recording that it makes.")] = Path("demo/bench"),
    minutes: Annotated[float, typer.Option(min=0.1, help="How long the live node is held at 10 Hz.")] = 1.0,
) -> None:
    """Measure time and memory: networks, queries, a keyframe, dense depth, a map, the live node under load.

    Machines differ, so each time stands beside its ratio to a forward pass of the network.

    Example:  scene-geo-loc bench --minutes 10
    """
    import shutil
    from tempfile import TemporaryDirectory

    import numpy as np
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from scene_geo_loc.benchmarks.speed import costs as benchmark
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.core.errors import CheckpointError
    from scene_geo_loc.localization.localizer import Localizer
    from scene_geo_loc.mapping.reference_map import ReferenceMap
    from scene_geo_loc.mapping.settings import MATCHERS, BuilderSettings
    from scene_geo_loc.ros.harness.load_test import run_load_test
    from scene_geo_loc.simulation.recordings.drive import DriveSettings, simulate
    from scene_geo_loc.simulation.vehicle.sensors import Rig
    from scene_geo_loc.traversals.opening import open_traversal

    bag = out / "drive"
    if not bag.exists():
        with progress("simulating a drive") as on_progress:
            simulate(bag, DriveSettings(length=100.0, rig=Rig(pushbroom=None)), on_progress=on_progress)
    traversal = open_traversal(bag)
    typer.echo("Building, opening and asking maps ...", err=True)
    scratch = TemporaryDirectory(prefix="maps-", dir=out)
    maps = Path(scratch.name)
    build_s, keyframes = benchmark.time_build(traversal, maps / "small")
    benchmark.enlarge_map(maps / "small", KEYFRAMES, maps / "map")
    benchmark.enlarge_map(maps / "small", LARGE, maps / "large")
    opening = benchmark.time_opening(maps / "large")
    shutil.rmtree(maps / "large")
    frames = list(traversal.frames())
    localizer = Localizer(ReferenceMap.open(maps / "map"))
    benchmark.time_queries(localizer, frames[:10])  # the first passes allocate
    forward = benchmark.time_forward(localizer.extractor, frames)
    systems = benchmark.time_systems()
    queries = benchmark.time_queries(localizer, frames)
    default = BuilderSettings().matcher
    others, sizes = {}, {default: benchmark.bytes_a_keyframe(maps / "small")}
    for matcher in (name for name in MATCHERS if name != default):
        small = maps / matcher
        try:
            benchmark.time_build(traversal, small, matcher)
        except CheckpointError as missing:
            typer.echo(f"Not timed: {missing}", err=True)
            continue
        sizes[matcher] = benchmark.bytes_a_keyframe(small)
        with_matcher = Localizer(ReferenceMap.open(small))
        benchmark.time_queries(with_matcher, frames[:10])
        others[matcher] = benchmark.time_queries(with_matcher, frames)["total"]
    depth, points = benchmark.time_depth(traversal, frames[10:-20:5])
    with progress(f"holding {RECORDED_HZ:g} Hz live", "images") as on_progress:
        load = run_load_test(
            maps / "map", frames[10:-10], RECORDED_HZ, minutes * 60, out / "node.log", on_progress
        )
    scratch.cleanup()
    live = benchmark.Times.of(load.latencies_ms)
    late = benchmark.Times.of(load.latencies_ms[len(load.latencies_ms) // 2 :])

    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("", "p50", "p95", "p50 in forward passes"):
        table.add_column(heading, justify="left" if not heading else "right")

    def row(name: str, times: benchmark.Times) -> None:
        ratio = times.p50_ms / forward.p50_ms
        table.add_row(name, f"{times.p50_ms:.1f} ms", f"{times.p95_ms:.1f} ms", f"{ratio:.2f}")

    row(f"forward pass by {localizer.extractor.backend_name}, 640x480", forward)
    for system, times in systems.items():
        row(f"forward pass, 224x224: {system}", times)
    for step, times in queries.items():
        row(f"query, {step}", times)
    for matcher, times in others.items():
        row(f"query matched by {matcher}, total", times)
    row(f"dense depth of {points / 1e6:.2f} M lidar points, 640x480, one core", depth)
    row(f"live node, image to pose, {KEYFRAMES} keyframes", live)
    row("live node, second half of the time", late)
    row(f"opening {LARGE} keyframes", opening)
    console = Console(highlight=False)
    console.print(table)
    recorded_s = len(frames) / RECORDED_HZ
    memory = np.array(load.resident_mb)
    quarter = max(1, len(memory) // 4)
    console.print(
        f"built {keyframes} keyframes with lidar in {build_s:.1f} s, "
        f"{recorded_s / build_s:.1f} times as fast as recorded\n"
        f"{', '.join(f'{size / 1e3:.1f} kB ({matcher})' for matcher, size in sizes.items())} a keyframe\n"
        f"live at {RECORDED_HZ:g} Hz for {minutes:g} min: {len(load.latencies_ms)} of {load.images} images "
        f"gave a pose\nresident memory of the node: {np.median(memory[:quarter]):.0f} MB at first, "
        f"{np.median(memory[-quarter:]):.0f} MB at last"
    )
