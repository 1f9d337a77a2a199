# Copyright 2026 The scene_geo_loc authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""`scene-geo-loc simulate`: simulates drives through a town, as a bag or in the layout of RobotCar."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scene_geo_loc.cli.options.progress import progress

if TYPE_CHECKING:
    from scene_geo_loc.simulation.vehicle.satellite import GpsSettings

_OF_ROBOTCAR = ("out", "layout", "seed", "length", "speed", "rate", "width", "height", "workers")
"""Options of a campaign in RobotCar's layout; everything else is as on that vehicle."""


def simulate(
    ctx: typer.Context,
    out: Annotated[Path, typer.Argument(help="Path of the new bag (rosbag2 MCAP) or dataset.")],
    layout: Annotated[
        str,
        typer.Option(
            help="bag: one drive; robotcar: the runs of the papers' experiments in RobotCar's layout."
        ),
    ] = "bag",
    condition: Annotated[str, typer.Option(help="overcast, sunny, long-term, snow or night.")] = "overcast",
    seed: Annotated[int, typer.Option(help="Seed of the town.")] = 7,
    drive_seed: Annotated[
        int | None,
        typer.Option(help="Seed of driving line, speed and noise. Default: derived from the condition."),
    ] = None,
    start: Annotated[float, typer.Option(help="Start of the drive along the loop, in metres.")] = 0.0,
    length: Annotated[
        float | None,
        typer.Option(
            help="Length of the drive in metres; with --layout robotcar, of the test area's street, "
            "at most 2110.",
            show_default="320; robotcar: 300",
        ),
    ] = None,
    speed: Annotated[float, typer.Option(help="Cruising speed in m/s.")] = 8.0,
    rate: Annotated[
        float | None, typer.Option(help="Images per second.", show_default="10; robotcar: 2.5")
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
    distortion: Annotated[str, typer.Option(help="Distortion coefficients, separated by commas.")] = "",
    compressed: Annotated[
        bool, typer.Option("--compressed/--raw", help="Write images as JPEG or raw.")
    ] = True,
    depth: Annotated[bool, typer.Option("--depth", help="Also write the true depth of each image.")] = False,
    lidar: Annotated[bool, typer.Option("--lidar/--no-lidar", help="Simulate both lidars, or none.")] = True,
    gps: Annotated[
        str,
        typer.Option(
            metavar="NAME=VALUE,...",
            help="Errors of the satellite positions: noise, wander (slow) and bias (EAST:NORTH) in metres, "
            "outliers and drop-outs as shares of the time; docs/georeference.md.",
            show_default="noise=0.4,wander=1.5",
        ),
    ] = "",
    datum: Annotated[
        str,
        typer.Option(
            metavar="LAT,LON,ALT[,YAW]",
            help="Place of the town on the Earth, and the angle from east to its x axis in degrees.",
            show_default="52,5,40,0",
        ),
    ] = "",
    workers: Annotated[
        int | None, typer.Option(help="Number of processes. Default: one for each core.")
    ] = None,
) -> None:
    """Simulate a drive through a town and record a bag: camera, lidars, odometry, GPS, ground truth.

    The town is a closed street of more than 2 km. The same seed gives the same houses in every condition;
    paint, parked cars, foliage and light change. The same arguments give the same bag.

    A drive to map, and the same street in the snow half a year later:

        scene-geo-loc simulate bags/overcast --condition overcast --length 320

        scene-geo-loc simulate bags/snow --condition snow --length 320 --no-lidar

    --layout robotcar simulates nine runs in a larger town, with four cameras, two lidars and disjoint areas
    for training, validation and test. The same command simulates the runs that are still missing. At the
    papers' scale:

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
        raise SceneGeoLocError(f"unknown layout {layout!r}: choose bag or robotcar.")
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
            raise ValueError(f"field of view {fov:g}° is not within 1° to 170°")
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
        gps=_gps(gps, datum),
        compressed=compressed,
        depth=depth,
        **given,
    )
    with progress(f"driving, {condition}") as on_progress:
        summary = run(out, settings, workers=workers, on_progress=on_progress)
    typer.echo(f"{out}: {summary.frames} frames, {summary.length_m:g} m in {summary.duration_s:.0f} s.")


_GPS_NAMES = {
    "noise": "noise_m",
    "wander": "wander_m",
    "bias": "bias_m",
    "outliers": "outlier_share",
    "drop-outs": "drop_out_share",
}


def _gps(text: str, datum: str) -> GpsSettings:
    """Returns the settings of the receiver. Raises SceneGeoLocError."""
    from scene_geo_loc.core.errors import SceneGeoLocError
    from scene_geo_loc.geometry.datum import datum_of_text
    from scene_geo_loc.simulation.vehicle.satellite import GpsSettings

    values: dict[str, Any] = {"datum": datum_of_text(datum)} if datum else {}
    try:
        for item in filter(None, text.split(",")):
            name, _, value = item.partition("=")
            if name.strip() not in _GPS_NAMES:
                raise ValueError(f"{name.strip()!r} is none of {', '.join(_GPS_NAMES)}")
            numbers = tuple(float(number) for number in value.split(":"))
            if len(numbers) != (2 if name.strip() == "bias" else 1):
                raise ValueError(f"{item.strip()!r} has {len(numbers)} numbers")
            values[_GPS_NAMES[name.strip()]] = numbers if len(numbers) == 2 else numbers[0]
        return GpsSettings(**values)
    except ValueError as error:
        raise SceneGeoLocError(
            f"--gps {text}: {error}; give for example noise=0.5,bias=100:0,outliers=0.1."
        ) from error


def _simulate_robotcar(out: Path, values: dict[str, Any], workers: int | None) -> None:
    from scene_geo_loc.simulation.recordings.campaign import CampaignSettings
    from scene_geo_loc.simulation.recordings.robotcar import simulate_robotcar

    with progress("simulating the runs", "images") as on_progress:
        summary = simulate_robotcar(out, CampaignSettings(**values), workers=workers, on_progress=on_progress)
    kept = f", {summary.kept} of them from an earlier call" if summary.kept else ""
    typer.echo(f"{out}: {summary.runs} runs{kept}; {summary.images} images simulated.")


def _refuse_others(ctx: typer.Context) -> None:
    """Raises SceneGeoLocError if an option was given that a campaign does not have."""
    from scene_geo_loc.core.errors import SceneGeoLocError

    for name in ctx.params:
        source = ctx.get_parameter_source(name)
        if name not in _OF_ROBOTCAR and source is not None and source.name != "DEFAULT":
            raise SceneGeoLocError(
                f"--{name.replace('_', '-')} cannot be used with --layout robotcar, whose runs, sensors and "
                "formats are fixed: omit it."
            )
