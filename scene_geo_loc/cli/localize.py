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

"""`scene-geo-loc localize`: localizes the images of a source in a map, offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scene_geo_loc.cli.options.common import Device, MapFolder, Track, ViewFolder
from scene_geo_loc.cli.options.localizer import DEFAULTS, SecondLookShare, SequenceImages
from scene_geo_loc.cli.options.source import Source, takes_source
from scene_geo_loc.cli.options.statistics import StatisticsFile


@takes_source
def localize(
    map_folder: MapFolder,
    source: Source,
    out: Annotated[
        Path, typer.Option(help="Trajectory file to write, with lines `stamp_s x y z qx qy qz qw`.")
    ] = Path("poses.tum"),
    view: ViewFolder = None,
    statistics: StatisticsFile = None,
    tracked: Track = False,
    sequence_images: SequenceImages = DEFAULTS.sequence_images,
    second_look_share: SecondLookShare = DEFAULTS.second_look_share,
    device: Device = "auto",
) -> None:
    """Localize the images of a source in a map and write the camera poses as a TUM trajectory.

    Frames that are not localized have no line in the trajectory. With --track, poses are also dead-reckoned
    from earlier ones while they are certain enough.

    Example:  scene-geo-loc localize office_map evening.bag --out evening.tum
    """
    from scene_geo_loc.benchmarks.localization.run import localize_traversal
    from scene_geo_loc.cli.options.progress import track
    from scene_geo_loc.cli.options.statistics import with_statistics
    from scene_geo_loc.cli.options.view import recorded_view
    from scene_geo_loc.core.atomic import written_aside
    from scene_geo_loc.geometry.trajectory import Trajectory, write_tum
    from scene_geo_loc.localization.estimate import LocalizerSettings
    from scene_geo_loc.localization.pose_localizer import open_localizer
    from scene_geo_loc.localization.session import Session
    from scene_geo_loc.localization.tracking.tracker import Tracker

    traversal = source.open()
    settings = LocalizerSettings(second_look_share=second_look_share, sequence_images=sequence_images)
    localizer = open_localizer(map_folder, settings, device)
    localizer.map.verify()
    session = Session(localizer, Tracker() if tracked else None)
    with (
        recorded_view(view, localizer.map) as on_view,
        with_statistics(statistics, localizer.map, on_view) as on_answer,
    ):
        answers = localize_traversal(session, traversal, on_answer)
        records = list(track(answers, len(traversal), "localizing"))
    found = [record for record in records if record.is_localized]
    poses = [record.T_estimated for record in found if record.T_estimated is not None]
    trajectory = Trajectory.from_unsorted([record.stamp_ns for record in found], poses)
    with written_aside(out) as aside:
        write_tum(aside, trajectory)
    typer.echo(f"{len(found)} of {len(records)} frames localized; poses of the camera in {out}.")
    if traversal.skipped:
        typer.echo(f"Frames skipped by the reader: {traversal.skipped}.")
