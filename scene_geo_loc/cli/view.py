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

"""`scene-geo-loc view`: shows a map and what was localized in it in a viewer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scene_geo_loc.cli.options.common import MapFolder


def view(
    map_folder: MapFolder,
    result: Annotated[
        Path | None,
        typer.Argument(
            help="What to show in the map: a trajectory, as `localize` writes, or a recording of "
            "`localize --view` or `evaluate --view`."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the recording to write; without it, one in the temporary folder."),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            help="PNG or SVG to draw, without a display, of a recording with its evidence; nothing is opened."
        ),
    ] = None,
    at: Annotated[
        float,
        typer.Option(min=0, max=1, help="Time of the picture, from 0, the recording's start, to 1, its end."),
    ] = 0.5,
    opened: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the recording in a viewer that is installed.")
    ] = True,
) -> None:
    """Show a map, and poses in it, in Foxglove, Lichtblick, Rerun or RViz.

    The map and the trajectory are written as a recording (MCAP) of the messages that the node publishes, and
    the first of the viewers that is installed opens it. The layout for Foxglove and Lichtblick is
    config/foxglove_layout.json; RViz with config/localization.rviz shows what `ros2 bag play` plays. Rerun
    shows points, poses and pictures, but no candidates and no path.

    Example:  scene-geo-loc view office_map evening.tum
    """
    import tempfile

    from scene_geo_loc.cli.options.view import open_viewer
    from scene_geo_loc.core.errors import TraversalError
    from scene_geo_loc.geometry.trajectory import read_tum
    from scene_geo_loc.localization.view.recording import ViewRecording
    from scene_geo_loc.mapping.reference_map import AnyMap

    reference_map = AnyMap.open(map_folder)
    if result is not None and result.is_dir():
        if out is not None:
            raise typer.BadParameter(f"{result} is a recording already: --out takes no part.")
        folder = result
    else:
        trajectory = None if result is None else read_tum(result)
        name = map_folder.resolve().name
        folder = out or Path(tempfile.mkdtemp(prefix="scene_geo_loc_")) / name
        with ViewRecording(folder, reference_map) as recording:
            if trajectory is not None:
                recording.add_trajectory(trajectory)
        poses = "" if trajectory is None else f" and {len(trajectory)} poses"
        typer.echo(f"{folder}: {len(reference_map)} keyframes{poses}.")
    if picture is not None:
        from scene_geo_loc.plots.style import write_figure
        from scene_geo_loc.plots.view_picture import view_picture

        write_figure(picture, lambda: view_picture(folder, at))
        typer.echo(f"The picture is {picture}.")
        return
    files = sorted(folder.glob("*.mcap"))
    if not files:
        raise TraversalError(f"{folder} has no MCAP file: give a recording that `--view` wrote.")
    viewer = open_viewer(files[0]) if opened else None
    if viewer is not None:
        typer.echo(f"Opened in {viewer}.")
        return
    typer.echo(f"Open {files[0]} in Foxglove or Lichtblick, or run `ros2 bag play {folder}` beside RViz.")
    if opened:
        typer.echo(
            "No viewer was opened: there is no display, or neither Foxglove, Lichtblick nor Rerun is "
            "installed; `pip install 'scene_geo_loc[viewer]'` brings Rerun."
        )
