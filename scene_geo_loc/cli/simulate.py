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

"""`scene-geo-loc simulate`: drives through a town, as a bag or in RobotCar's layout, or its panoramas."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scene_geo_loc.cli.options.progress import progress

if TYPE_CHECKING:
    from scene_geo_loc.geometry.datum import Datum
    from scene_geo_loc.simulation.recordings.streetview_plan import DepthForm, TagErrors
    from scene_geo_loc.simulation.vehicle.satellite import GpsSettings

_BOTH = ("out", "layout", "seed", "length", "width", "workers")
_PANORAMAS = ("spacing", "side_streets", "seams", "tag_errors", "depth_form")
_OPTIONS = {
    "robotcar": (*_BOTH, "speed", "rate", "height"),
    "streetview": (*_BOTH, *_PANORAMAS, "condition", "drive_seed", "start", "depth", "datum"),
}
"""Options of the layouts; what is absent is fixed.  A bag has all but _PANORAMAS."""


def simulate(
    ctx: typer.Context,
    out: Annotated[Path, typer.Argument(help="Path of the new bag (rosbag2 MCAP) or dataset.")],
    layout: Annotated[
        str,
        typer.Option(
            help="bag: one drive; robotcar: the runs of the papers' experiments in RobotCar's layout; "
            "streetview: geo-tagged panoramas along the streets."
        ),
    ] = "bag",
    condition: Annotated[
        str | None,
        typer.Option(
            help="overcast, sunny, long-term, snow, night or summer.",
            show_default="overcast; streetview: summer",
        ),
    ] = None,
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
            show_default="320; robotcar: 300; streetview: the whole loop",
        ),
    ] = None,
    speed: Annotated[float, typer.Option(help="Cruising speed in m/s.")] = 8.0,
    rate: Annotated[
        float | None, typer.Option(help="Images per second.", show_default="10; robotcar: 2.5")
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(
            help="Width of an image in pixels.", show_default="640; robotcar: 320; streetview: 4096"
        ),
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
    readout_time: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            help="Time from the first row of an image, which it is stamped at, to the last, of a rolling "
            "shutter; 0: a global shutter.",
        ),
    ] = 0.0,
    compressed: Annotated[
        bool, typer.Option("--compressed/--raw", help="Write images as JPEG or raw.")
    ] = True,
    depth: Annotated[
        bool | None,
        typer.Option(
            "--depth/--no-depth",
            help="Also write depth: the true one of each image; of panoramas, that of planes "
            "of the ground and the walls, without cars, trees and roofs.",
            show_default="no-depth; streetview: depth",
        ),
    ] = None,
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
    spacing: Annotated[float, typer.Option(help="Panoramas: distance between them in metres.")] = 15.0,
    side_streets: Annotated[
        bool, typer.Option("--side-streets/--no-side-streets", help="Panoramas: also in the side streets.")
    ] = True,
    seams: Annotated[
        bool,
        typer.Option(
            "--seams",
            help="Panoramas: stitched from 15 cameras, with the seams of near objects and of exposure.",
        ),
    ] = False,
    tag_errors: Annotated[
        str,
        typer.Option(
            metavar="METRES:DEGREES[:uniform]",
            help="Panoramas: errors of the geo-tags. Standard deviation of the position along each "
            "axis and of the heading; with uniform, the largest errors.",
            show_default="0:0",
        ),
    ] = "",
    depth_form: Annotated[
        str,
        typer.Option(
            help="Panoramas: form of the depth. png: distances in centimetres; planes: planes, and the "
            "index of each pixel's plane."
        ),
    ] = "png",
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

    --layout streetview simulates panoramas that a mapping car took in another season, with geo-tags whose
    errors can be chosen. The same command continues an interrupted one. Bags and panoramas of one --seed and
    one --datum are in one map frame:

        scene-geo-loc simulate panoramas --layout streetview --length 500 --spacing 18 --tag-errors 1:1
    """
    from scene_geo_loc.core.errors import SceneGeoLocError

    given: dict[str, Any] = {
        name: value
        for name, value in {"length": length, "width": width, "height": height}.items()
        if value is not None
    }
    if layout not in ("bag", *_OPTIONS):
        raise SceneGeoLocError(f"unknown layout {layout!r}: choose bag, robotcar or streetview.")
    _refuse_others(ctx, layout)
    if layout == "robotcar":
        if rate is not None:
            given["camera_rate_hz"] = rate
        _simulate_robotcar(out, {"seed": seed, "speed": speed, **given}, workers)
        return
    if layout == "streetview":
        if condition is not None:
            given["condition"] = condition
        if datum:
            given["datum"] = _datum(datum)
        given["depth"] = None if depth is False else _depth_form(depth_form)
        given |= {"seed": seed, "drive_seed": drive_seed, "start": start, "spacing": spacing}
        given |= {"side_streets": side_streets, "is_stitched": seams, "tag_errors": _tag_errors(tag_errors)}
        _simulate_streetview(out, given, workers)
        return
    condition = condition or "overcast"
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
            readout_s=readout_time,
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
        depth=bool(depth),
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


def _simulate_streetview(out: Path, values: dict[str, Any], workers: int | None) -> None:
    from scene_geo_loc.simulation.recordings.streetview import simulate_streetview
    from scene_geo_loc.simulation.recordings.streetview_plan import StreetviewSettings

    with progress("taking panoramas", "panoramas") as on_progress:
        summary = simulate_streetview(
            out, StreetviewSettings(**values), workers=workers, on_progress=on_progress
        )
    kept = f", {summary.kept} of them from an earlier call" if summary.kept else ""
    typer.echo(f"{out}: {summary.panoramas} panoramas{kept}.")


def _datum(text: str) -> Datum:
    from scene_geo_loc.geometry.datum import datum_of_text

    return datum_of_text(text)


def _depth_form(name: str) -> DepthForm:
    from scene_geo_loc.core.errors import SceneGeoLocError
    from scene_geo_loc.simulation.recordings.streetview_plan import DepthForm

    try:
        return DepthForm(name)
    except ValueError:
        names = ", ".join(form.value for form in DepthForm)
        raise SceneGeoLocError(f"--depth-form {name!r} is unknown: choose one of {names}.") from None


def _tag_errors(text: str) -> TagErrors:
    """Returns the errors of geo-tags. Raises SceneGeoLocError."""
    from scene_geo_loc.core.errors import SceneGeoLocError
    from scene_geo_loc.simulation.recordings.streetview_plan import ErrorShape, TagErrors

    if not text:
        return TagErrors()
    try:
        position, heading, *shape = text.split(":")
        return TagErrors(float(position), float(heading), *map(ErrorShape, shape))
    except (ValueError, TypeError) as error:
        raise SceneGeoLocError(
            f"--tag-errors {text}: {error}; give metres and degrees, for example 1:1 or 2:2:uniform."
        ) from error


def _refuse_others(ctx: typer.Context, layout: str) -> None:
    """Raises SceneGeoLocError if an option was given that a layout does not have."""
    from scene_geo_loc.core.errors import SceneGeoLocError

    for name in ctx.params:
        source = ctx.get_parameter_source(name)
        is_known = name in _OPTIONS[layout] if layout in _OPTIONS else name not in _PANORAMAS
        if not is_known and source is not None and source.name != "DEFAULT":
            raise SceneGeoLocError(
                f"--{name.replace('_', '-')} cannot be used with --layout {layout}: omit it, or choose "
                "another layout."
            )
