"""`scene-geo-loc simulate`: drives through a made-up town, as a bag or in a dataset's layout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from scene_geo_loc.cli.options.progress import progress

_OF_ROBOTCAR = ("out", "layout", "seed", "length", "speed", "rate", "width", "height", "workers")
"""The options that a campaign in RobotCar's layout takes; the rest is as that car has it."""


def simulate(
    ctx: typer.Context,
    out: Annotated[Path, typer.Argument(help="Where to write the bag (rosbag2 MCAP), or the dataset.")],
    layout: Annotated[
        str,
        typer.Option(
            help="bag: one drive.  robotcar: the runs of the papers' experiments, as RobotCar has them."
        ),
    ] = "bag",
    condition: Annotated[str, typer.Option(help="overcast, sunny, long-term, snow or night.")] = "overcast",
    seed: Annotated[int, typer.Option(help="Seed of the town.")] = 7,
    drive_seed: Annotated[
        int | None,
        typer.Option(
            help="Seed of the line, the speed and the noise; follows from the condition if left out."
        ),
    ] = None,
    start: Annotated[float, typer.Option(help="Where on the loop to start, in metres.")] = 0.0,
    length: Annotated[
        float | None,
        typer.Option(
            help="How far to drive, in metres; with --layout robotcar the test area's street, at most 2110.",
            show_default="320; robotcar: 300",
        ),
    ] = None,
    speed: Annotated[float, typer.Option(help="Cruising speed in metres a second.")] = 8.0,
    rate: Annotated[
        float | None, typer.Option(help="Images a second.", show_default="10; robotcar: 2.5")
    ] = None,
    width: Annotated[
        int | None, typer.Option(help="Width of an image in pixels.", show_default="640; robotcar: 320")
    ] = None,
    height: Annotated[
        int | None, typer.Option(help="Height of an image in pixels.", show_default="480; robotcar: 240")
    ] = None,
    fov: Annotated[
        float, typer.Option(help="Horizontal field of view in degrees, before distortion.")
    ] = 75.0,
    model: Annotated[
        str, typer.Option(help="Distortion model: none, plumb_bob, rational_polynomial or equidistant.")
    ] = "none",
    distortion: Annotated[str, typer.Option(help="Coefficients of the model, separated by commas.")] = "",
    compressed: Annotated[bool, typer.Option("--compressed/--raw", help="Images as JPEG, or raw.")] = True,
    depth: Annotated[bool, typer.Option("--depth", help="Also write the true depth of each image.")] = False,
    lidar: Annotated[bool, typer.Option("--lidar/--no-lidar", help="With both lidars, or without.")] = True,
    workers: Annotated[int | None, typer.Option(help="Processes; one for each core if left out.")] = None,
) -> None:
    """Drives through a made-up town and records a bag: camera, lidars, odometry, GPS, ground truth.

    The town is a closed street of more than 2 km.  The same seed gives the same houses in every
    condition; paint, parked cars, foliage and light change.  The same arguments give the same bag.

    A map drive, and the same street in the snow half a year later:

        scene-geo-loc simulate bags/overcast --condition overcast --length 320

        scene-geo-loc simulate bags/snow --condition snow --length 320 --no-lidar

    With --layout robotcar it writes nine runs over a larger town, four cameras and two lidars each,
    with disjoint areas for training, validation and test; started again, it goes on with the runs
    that are missing.  At the papers' scale:

        scene-geo-loc simulate data/robotcar-twin --layout robotcar --length 2110
    """
    from scene_geo_loc.core.errors import SceneGeoLocError

    given: dict[str, Any] = {
        name: value
        for name, value in {"length": length, "width": width, "height": height}.items()
        if value is not None
    }
    if layout == "robotcar":
        _refuse_others(ctx)
        if rate is not None:
            given["camera_rate_hz"] = rate
        _simulate_robotcar(out, {"seed": seed, "speed": speed, **given}, workers)
        return
    if layout != "bag":
        raise SceneGeoLocError(f"There is no layout {layout!r}; name bag or robotcar.")
    from dataclasses import replace

    from scene_geo_loc.simulation.recordings.drive import DriveSettings
    from scene_geo_loc.simulation.recordings.drive import simulate as run
    from scene_geo_loc.simulation.vehicle.sensors import (
        MountedCamera,
        PushbroomLidar,
        Rig,
        SpinningLidar,
        pinhole,
    )

    try:
        coefficients = tuple(float(value) for value in distortion.split(",") if value.strip())
        if not 1 <= fov <= 170:
            raise ValueError("the field of view must lie between 1 and 170 degrees")
        camera = replace(
            pinhole(given.pop("width", 640), given.pop("height", 480), fov),
            model=model,
            distortion=coefficients,
        )
    except ValueError as error:
        raise SceneGeoLocError(f"This camera cannot be simulated: {error}.") from error
    rig = Rig(
        cameras=(MountedCamera(camera),),
        camera_rate_hz=10.0 if rate is None else rate,
        lidar=SpinningLidar() if lidar else None,
        pushbroom=PushbroomLidar() if lidar else None,
    )
    settings = DriveSettings(
        condition,
        seed,
        drive_seed,
        start,
        speed=speed,
        rig=rig,
        compressed=compressed,
        depth=depth,
        **given,
    )
    with progress(f"driving, {condition}") as on_progress:
        summary = run(out, settings, workers=workers, on_progress=on_progress)
    typer.echo(f"{out}: {summary.frames} frames, {summary.length_m:g} m in {summary.duration_s:.0f} s.")


def _simulate_robotcar(out: Path, values: dict[str, Any], workers: int | None) -> None:
    from scene_geo_loc.simulation.recordings.campaign import CampaignSettings
    from scene_geo_loc.simulation.recordings.robotcar import simulate_robotcar

    with progress("simulating the runs", "images") as on_progress:
        summary = simulate_robotcar(out, CampaignSettings(**values), workers=workers, on_progress=on_progress)
    there = f", {summary.kept} of them were there already" if summary.kept else ""
    typer.echo(f"{out}: {summary.runs} runs{there}; {summary.images} images simulated.")


def _refuse_others(ctx: typer.Context) -> None:
    """Refuses options that a campaign does not take."""
    from scene_geo_loc.core.errors import SceneGeoLocError

    for name in ctx.params:
        source = ctx.get_parameter_source(name)
        if name not in _OF_ROBOTCAR and source is not None and source.name != "DEFAULT":
            raise SceneGeoLocError(
                f"--layout robotcar does not take --{name.replace('_', '-')}: its runs, sensors and formats "
                "are RobotCar's; leave it out."
            )
