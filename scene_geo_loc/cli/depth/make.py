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

"""`scene-geo-loc depth make`: makes dense depth maps from lidar."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scene_geo_loc.cli.options.scan_window import After, Before, window_of
from scene_geo_loc.cli.options.source import Source, takes_source
from scene_geo_loc.traversals.formats import Content


@takes_source
def make(
    source: Source,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the depth maps.")],
    before: Before = None,
    after: After = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Number of processes. Default: one for each core.")
    ] = None,
) -> None:
    """Make a dense depth map for each image of a source with lidar, to train networks with.

    OUT gets index.json and a <stamp>.png for each image: 16 bits, in centimetres, 0 where unknown. The same
    command resumes a run that was interrupted.

    Example:  scene-geo-loc depth make 2014-06-26-09-31-18 depth/reference --every 5
    """
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.depth.make_depth_maps import make_depth_maps

    traversal = source.open(needs=Content.LIDAR)
    window = window_of(traversal, before, after)
    with progress("depth maps", "images") as on_progress:
        done = make_depth_maps(traversal, out, window, workers=workers, on_progress=on_progress)
    skipped = f"; skipped: {done.skipped}" if done.skipped else ""
    typer.echo(
        f"{out}: {done.made + done.kept} depth maps, {done.made} of them new, "
        f"{100 * done.known:.0f} % of their pixels known{skipped}."
    )
