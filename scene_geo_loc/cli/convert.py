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

"""`scene-geo-loc convert`: writes a source as a rosbag2."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scene_geo_loc.cli.options.progress import track
from scene_geo_loc.cli.options.source import Source, takes_source


@takes_source
def convert(
    source: Source,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the new bag.")],
    compressed: Annotated[
        bool,
        typer.Option("--compressed", help="Write images as JPEG: a tenth of the size, with small errors."),
    ] = False,
) -> None:
    """Write a source as a rosbag2 (MCAP), to replay it to the nodes.

    The bag has /camera/image_raw, /camera/camera_info, /camera/depth/image_raw, /lidar/points and
    /ground_truth/pose, as far as the source has them.  A run of the Oxford RobotCar also gives
    /gps/fix, /odom, /tf and all sensors' places on /tf_static; of several cameras the first has these topics,
    and the others /mono_left/image_raw, /mono_left/camera_info and so on.

    Example:  scene-geo-loc convert office_walk office_bag --every 2
    """
    from scene_geo_loc.traversals.rosbag.convert import convert as write

    traversal = source.open_cameras()
    done = write(
        traversal,
        out,
        compressed=compressed,
        track=lambda frames: track(frames, len(traversal), f"Writing {out}"),
    )
    written = [f"{done.frames} frames", *(f"{count} {topic}" for topic, count in sorted(done.others.items()))]
    typer.echo(f"{out}: {', '.join(written)}.")
    if done.left_out:
        typer.echo(f"Skipped: {done.left_out}.")
