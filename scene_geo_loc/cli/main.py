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

"""The command `scene-geo-loc`: its sub-commands, and the display of errors.

The modules imported here import heavy libraries inside their functions, so that help appears at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from scene_geo_loc import __version__
from scene_geo_loc.cli.bench import bench
from scene_geo_loc.cli.benchmark.confidence import confidence
from scene_geo_loc.cli.benchmark.descriptors import descriptors
from scene_geo_loc.cli.benchmark.fleet import fleet
from scene_geo_loc.cli.benchmark.index import index as benchmark_index
from scene_geo_loc.cli.benchmark.pairs import pairs
from scene_geo_loc.cli.benchmark.poses import pose
from scene_geo_loc.cli.benchmark.real import real
from scene_geo_loc.cli.benchmark.saliency import saliency
from scene_geo_loc.cli.benchmark.streetview import streetview
from scene_geo_loc.cli.convert import convert
from scene_geo_loc.cli.demo import demo
from scene_geo_loc.cli.depth.compare import compare
from scene_geo_loc.cli.depth.evaluate import evaluate as evaluate_depth
from scene_geo_loc.cli.depth.make import make
from scene_geo_loc.cli.describe import describe
from scene_geo_loc.cli.evaluate import evaluate
from scene_geo_loc.cli.export import export
from scene_geo_loc.cli.localize import localize
from scene_geo_loc.cli.map.align import align
from scene_geo_loc.cli.map.build import build
from scene_geo_loc.cli.map.diff import diff
from scene_geo_loc.cli.map.extend import extend
from scene_geo_loc.cli.map.georeference import georeference
from scene_geo_loc.cli.map.index import index
from scene_geo_loc.cli.map.info import info
from scene_geo_loc.cli.map.merge import merge
from scene_geo_loc.cli.map.prune import prune
from scene_geo_loc.cli.map.split import split
from scene_geo_loc.cli.map.verify import verify
from scene_geo_loc.cli.panorama import info as panorama_info
from scene_geo_loc.cli.panorama import view as panorama_view
from scene_geo_loc.cli.simulate import simulate
from scene_geo_loc.cli.train.depth import depth
from scene_geo_loc.cli.train.descriptor import descriptor
from scene_geo_loc.cli.train.encoder import encoder
from scene_geo_loc.cli.train.keypoints import keypoints
from scene_geo_loc.cli.train.pose import pose as train_pose
from scene_geo_loc.cli.train.scene import scene
from scene_geo_loc.cli.train.vocabulary import vocabulary
from scene_geo_loc.cli.triplets import triplets
from scene_geo_loc.cli.upgrade import upgrade
from scene_geo_loc.cli.view import view
from scene_geo_loc.core.errors import SceneGeoLocError

Command = Callable[..., Any]

COMMANDS: tuple[Command, ...] = (
    simulate,
    convert,
    localize,
    evaluate,
    view,
    describe,
    export,
    upgrade,
    triplets,
    demo,
    bench,
)
GROUPS: dict[str, tuple[str, tuple[Command, ...]]] = {
    "map": (
        "Build reference maps, look into them, and make maps of maps.",
        (build, info, verify, georeference, align, extend, merge, prune, split, diff, index),
    ),
    "benchmark": (
        "Compare descriptors and pose methods with the papers' tables, matchers on real images, methods in "
        "street-view panoramas, and the probabilities of poses with how often they are right; show what a "
        "pose regressor looks at; measure builds of many drives and an index in a database.",
        (descriptors, pairs, pose, real, streetview, confidence, saliency, fleet, benchmark_index),
    ),
    "depth": (
        "Make dense depth maps from lidar, and measure the errors of dense and inferred depth.",
        (make, evaluate_depth, compare),
    ),
    "panorama": (
        "Extract views of street-view panoramas, and look into sets of them.",
        (panorama_view, panorama_info),
    ),
    "train": (
        "Train networks, and fit vocabularies of visual words.",
        (descriptor, depth, encoder, keypoints, train_pose, scene, vocabulary),
    ),
}

EXTRAS = {
    "PIL": "training",
    "jinja2": "reports",
    "matplotlib": "reports",
    "torch": "training",
    "torchvision": "training",
}
"""Extra of the package that installs a module which only some commands need."""

app = typer.Typer(
    help="Localizes a vehicle by camera: drive once to build a map, then localize in it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # joins the lines of a paragraph
)
for _command in COMMANDS:
    app.command()(_command)
for _name, (_help, _commands) in GROUPS.items():
    _group = typer.Typer(help=_help, no_args_is_help=True)
    for _command in _commands:
        _group.command()(_command)
    app.add_typer(_group, name=_name)


def show_version(wanted: bool) -> None:
    """Prints the version and exits."""
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
        with naming_extras():
            app()
    except SceneGeoLocError as error:
        sys.exit(f"error: {error}")


@contextmanager
def naming_extras() -> Iterator[None]:
    """Raises SceneGeoLocError, which names the extra, where a module of one is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in EXTRAS:
            raise
        raise SceneGeoLocError(
            f"This command needs {module}, which is not installed: "
            f"`pip install 'scene_geo_loc[{EXTRAS[module]}]'`."
        ) from error
