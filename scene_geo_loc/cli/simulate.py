"""`scene-geo-loc simulate`: a drive through a made-up town, as a bag."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def simulate(
    out: Annotated[Path, typer.Argument(help="Where to write the bag (a folder, rosbag2 MCAP).")],
    condition: Annotated[str, typer.Option(help="overcast, sunny, long-term, snow or night.")] = "overcast",
    seed: Annotated[int, typer.Option(help="Seed of the town.")] = 7,
    drive_seed: Annotated[
        int | None,
        typer.Option(
            help="Seed of the line, the speed and the noise; follows from the condition if left out."
        ),
    ] = None,
    start: Annotated[float, typer.Option(help="Where on the loop to start, in metres.")] = 0.0,
    length: Annotated[float, typer.Option(help="How far to drive, in metres.")] = 320.0,
    speed: Annotated[float, typer.Option(help="Cruising speed in metres a second.")] = 8.0,
    rate: Annotated[float, typer.Option(help="Images a second.")] = 10.0,
    width: Annotated[int, typer.Option(help="Width of an image in pixels.")] = 640,
    height: Annotated[int, typer.Option(help="Height of an image in pixels.")] = 480,
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
    """
    from dataclasses import replace

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from scene_geo_loc.errors import SceneGeoLocError
    from scene_geo_loc.simulation.drive import DriveSettings
    from scene_geo_loc.simulation.drive import simulate as run
    from scene_geo_loc.simulation.sensors import MountedCamera, PushbroomLidar, Rig, SpinningLidar, pinhole

    try:
        coefficients = tuple(float(value) for value in distortion.split(",") if value.strip())
        if not 1 <= fov <= 170:
            raise ValueError("the field of view must lie between 1 and 170 degrees")
        camera = replace(pinhole(width, height, fov), model=model, distortion=coefficients)
    except ValueError as error:
        raise SceneGeoLocError(f"This camera cannot be simulated: {error}.") from error
    rig = Rig(
        cameras=(MountedCamera(camera),),
        camera_rate_hz=rate,
        lidar=SpinningLidar() if lidar else None,
        pushbroom=PushbroomLidar() if lidar else None,
    )
    settings = DriveSettings(condition, seed, drive_seed, start, length, speed, rig, compressed, depth)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as bar:
        task = bar.add_task(f"building the town, {condition}", total=None, pace="")

        def show(done: int, total: int) -> None:
            if done == 1:
                bar.reset(task, total=total, description=f"driving, {condition}")
            pace = bar.tasks[0].speed
            bar.update(task, completed=done, pace=f"{pace:.1f} frames/s" if pace else "")

        summary = run(out, settings, workers=workers, progress=show)
    typer.echo(f"{out}: {summary.frames} frames, {summary.length_m:g} m in {summary.duration_s:.0f} s.")
