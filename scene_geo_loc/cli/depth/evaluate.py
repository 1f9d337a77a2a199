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

"""`scene-geo-loc depth evaluate`: measures the errors of dense depth made from lidar."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scene_geo_loc.cli.options.common import JsonFile
from scene_geo_loc.cli.options.scan_window import After, Before, window_of
from scene_geo_loc.cli.options.source import Source, takes_source
from scene_geo_loc.traversals.formats import Content


@takes_source
def evaluate(
    source: Source,
    before: Before = None,
    after: After = None,
    json: JsonFile = None,
    report: Annotated[
        Path | None, typer.Option(help="Folder to write a picture of each image to, as JPEG.")
    ] = None,
) -> None:
    """Measure dense depth against held-out lidar points, and against true depth where the source has it.

    It takes seconds for each image: choose some with --every. The pictures show the image, its lidar points,
    the dense depth and the error (of the true depth if known, else of the points).

    Example:  scene-geo-loc depth evaluate drive_bag --every 10 --report depth_pictures
    """
    from scene_geo_loc.cli.options.progress import track
    from scene_geo_loc.cli.results.depth import print_depth_report
    from scene_geo_loc.core.atomic import write_aside, write_json
    from scene_geo_loc.core.errors import SceneGeoLocError
    from scene_geo_loc.depth.lidar_views import lidar_views
    from scene_geo_loc.localization.match_picture import jpeg_bytes
    from scene_geo_loc.metrics.depth_error import DepthReport
    from scene_geo_loc.plots.depth_pictures import example_picture
    from scene_geo_loc.traversals.skipped import Skipped

    traversal = source.open(needs=Content.LIDAR)
    window = window_of(traversal, before, after)
    skipped, errors = Skipped(), DepthReport()
    for view in track(lidar_views(traversal, window, skipped), len(traversal), "measuring depth errors"):
        frame, sparse = view.frame, view.sparse(window)
        errors.add(sparse, frame.image, frame.depth, seed=frame.stamp_ns)
        if report is not None:
            picture = example_picture(frame.image, sparse, frame.depth)
            write_aside(report / f"{frame.stamp_ns}.jpg", jpeg_bytes(picture))
    if not errors.maps:
        raise SceneGeoLocError(f"{traversal.name}: no image has lidar points in view ({skipped}).")
    print_depth_report(errors)
    if skipped:
        typer.echo(f"Skipped: {skipped}.")
    if json is not None:
        write_json(json, {"source": traversal.name, **errors.to_dict()})
