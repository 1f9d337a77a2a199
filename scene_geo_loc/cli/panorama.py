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

"""`scene-geo-loc panorama`: views of one panorama, and what a set of panoramas has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scene_geo_loc.cli.options.source import Source, takes_source


def view(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="Equirectangular panorama.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="File of the view, .png or .jpg.")],
    size: Annotated[
        str, typer.Option(metavar="WIDTHxHEIGHT", help="Size of the view in pixels.")
    ] = "640x320",
    heading: Annotated[
        float, typer.Option(help="Heading of the view in degrees, clockwise from north.")
    ] = 0.0,
    pitch: Annotated[
        float, typer.Option(min=-90, max=90, help="Degrees by which the view looks up from the horizon.")
    ] = 0.0,
    fov: Annotated[float, typer.Option(help="Horizontal field of view in degrees.")] = 120.0,
    panorama_heading: Annotated[
        float | None,
        typer.Option(
            help="Heading of the panorama's centre column. Default: that of the image's GPano tags, which "
            "also say pitch and roll; without them 0: --heading is then an angle from the centre column."
        ),
    ] = None,
) -> None:
    """Extract a rectified view, as a camera without distortion takes it, from a panorama.

    Example:  scene-geo-loc panorama view arc.jpg view.png --heading 45 --fov 90
    """
    import cv2
    import numpy as np

    from scene_geo_loc.core.atomic import write_aside
    from scene_geo_loc.core.errors import SceneGeoLocError
    from scene_geo_loc.traversals.streetview.rectified import view_camera_of
    from scene_geo_loc.traversals.streetview.single_view import view_of_file

    found = view_of_file(image, view_camera_of(f"{size}@{fov}"), heading, pitch, panorama_heading)
    suffix = out.suffix.lower()
    if suffix not in (".png", ".jpg", ".jpeg"):
        raise SceneGeoLocError(f"{out}: the name of a view ends in .png or .jpg.")
    _, data = cv2.imencode(suffix, cv2.cvtColor(found.image, cv2.COLOR_RGB2BGR))
    write_aside(out, data.tobytes())
    height, width = found.image.shape[:2]
    empty = 0.0 if found.visible is None else 1 - float(np.mean(found.visible))
    typer.echo(
        f"{out}: {width} x {height} pixels, heading {heading:g}°, pitch {pitch:g}°, field of view {fov:g}°."
        + (f" {empty:.0%} of it is outside of the panorama and black." if empty else "")
    )


@takes_source
def info(source: Source) -> None:
    """Show what a set of panoramas has, what of it is used, and how far apart the panoramas are.

    Example:  scene-geo-loc panorama info street_set
    """
    from rich.console import Console
    from rich.table import Table

    from scene_geo_loc.core.errors import TraversalError
    from scene_geo_loc.traversals.streetview.rectified import fov_of
    from scene_geo_loc.traversals.streetview.summary import summarize
    from scene_geo_loc.traversals.streetview.traversal import StreetViewTraversal

    traversal = source.open()
    if not isinstance(traversal, StreetViewTraversal):
        raise TraversalError(f"{source.path}: not a set of panoramas, but another source of frames.")
    summary = summarize(traversal.panoramas)
    camera = traversal.camera
    rows = {
        "panoramas": f"{summary.panoramas}, {summary.with_depth} with depth, {summary.with_links} with links",
        "spacing": "none, of a single panorama"
        if summary.spacing_m is None
        else f"to the nearest median {summary.spacing_m:.1f} m, at most {summary.largest_spacing_m:.1f} m",
        "extent": " x ".join(f"{extent:.1f}" for extent in summary.extent_m) + " m",
        "geo-tags": "errors not stated"
        if summary.position_std_m is None
        else f"median standard deviation {summary.position_std_m:.2f} m",
        "views": f"{len(traversal)} of {camera.width} x {camera.height} pixels and {fov_of(camera):.1f}°, "
        f"{len(traversal.directions)} around",
        "datum": str(traversal.georeference),
        "left out": str(traversal.left_out) or "nothing",
    }
    table = Table(show_header=False, box=None)
    for key, value in rows.items():
        table.add_row(key, value)
    Console().print(table)
