"""The command `scene-geo-loc`: its sub-commands, and how errors reach the user.

The modules imported here import what is heavy inside their functions, so that help appears at once.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from scene_geo_loc import __version__
from scene_geo_loc.cli.bench import bench
from scene_geo_loc.cli.benchmark.descriptors import benchmark_app
from scene_geo_loc.cli.convert import convert
from scene_geo_loc.cli.demo import demo
from scene_geo_loc.cli.depth.maps import depth_app
from scene_geo_loc.cli.describe import describe
from scene_geo_loc.cli.evaluate import evaluate
from scene_geo_loc.cli.export import export
from scene_geo_loc.cli.localize import localize
from scene_geo_loc.cli.map import map_app
from scene_geo_loc.cli.simulate import simulate
from scene_geo_loc.cli.train.descriptor import train_app
from scene_geo_loc.cli.triplets import triplets
from scene_geo_loc.core.errors import SceneGeoLocError

app = typer.Typer(
    help="Tells a vehicle where it is from its camera: drive once to build a map, then localize in it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (simulate, convert, localize, evaluate, describe, export, triplets, demo, bench):
    app.command()(command)
app.add_typer(map_app, name="map")
app.add_typer(benchmark_app, name="benchmark")
app.add_typer(depth_app, name="depth")
app.add_typer(train_app, name="train")


def show_version(wanted: bool) -> None:
    """Prints the version and leaves."""
    if wanted:
        typer.echo(f"scene-geo-loc {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Options of the command itself."""


def main() -> None:
    """Runs the command line; an error that the user can act on is one line and exit status 1."""
    try:
        app()
    except SceneGeoLocError as error:
        sys.exit(f"error: {error}")
