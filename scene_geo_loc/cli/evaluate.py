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

"""`scene-geo-loc evaluate`: localizes a source with known poses and measures the errors."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scene_geo_loc.cli.options.common import Device, MapFolder, Track, ViewFolder
from scene_geo_loc.cli.options.localizer import DEFAULTS, SecondLookShare, SequenceImages
from scene_geo_loc.cli.options.source import Source, takes_source
from scene_geo_loc.cli.options.statistics import StatisticsFile

if TYPE_CHECKING:
    from scene_geo_loc.benchmarks.localization.run import OnAnswer
    from scene_geo_loc.localization.estimate import LocalizerSettings
    from scene_geo_loc.localization.session import Session
    from scene_geo_loc.metrics.pose_error import QueryRecord
    from scene_geo_loc.traversals.frame import Traversal


@takes_source
def evaluate(
    map_folder: MapFolder,
    source: Source,
    json: Annotated[Path | None, typer.Option(help="File to write the numbers to, as JSON.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="Folder to write an HTML report with pictures to.")
    ] = None,
    view: ViewFolder = None,
    statistics: StatisticsFile = None,
    live: Annotated[
        bool, typer.Option("--live", help="Replay the source, a bag, to a localization node.")
    ] = False,
    track: Track = False,
    wrong_fix_m: Annotated[
        float,
        typer.Option(
            min=0.001, help="Position error above which a localized pose is a wrong fix, in metres."
        ),
    ] = 5.0,
    sequence_images: SequenceImages = DEFAULTS.sequence_images,
    second_look_share: SecondLookShare = DEFAULTS.second_look_share,
    device: Device = "auto",
) -> None:
    """Localize a source with known poses and measure the errors.

    Offline the localizer receives every frame. --track fuses the pose estimates with odometry; offline, a
    second run also kidnaps the camera (frames are left out in the middle) and measures the time until it is
    localized again. --live replays the bag to a localization node in a process of its own, in real time or
    as fast as the node keeps up, and scores the poses that it publishes. Scenes of 7-Scenes, 12-Scenes and
    Cambridge Landmarks are shown beside the errors printed in Perspective-n-Learned-Point.

    Example:  scene-geo-loc evaluate office_map evening.bag --json evening.json --report evening_report
    """
    from scene_geo_loc.benchmarks.localization.tracking import gaps_of, kidnap
    from scene_geo_loc.cli.options.statistics import with_statistics
    from scene_geo_loc.cli.options.view import recorded_view
    from scene_geo_loc.cli.results.poses import (
        print_calibration,
        print_confidences,
        print_gaps,
        print_kidnapping,
        print_reasons,
        print_results,
        print_retrieval,
        print_scene_table,
        print_second_looks,
    )
    from scene_geo_loc.core.atomic import write_json
    from scene_geo_loc.core.errors import TraversalError
    from scene_geo_loc.localization.estimate import SECOND_LOOK, LocalizerSettings
    from scene_geo_loc.localization.pose_localizer import open_localizer
    from scene_geo_loc.localization.session import Session
    from scene_geo_loc.localization.tracking.tracker import Tracker
    from scene_geo_loc.metrics.confidence_calibration import confidence_calibration
    from scene_geo_loc.metrics.covariance_calibration import covariance_calibration
    from scene_geo_loc.metrics.pose_error import summarize
    from scene_geo_loc.metrics.published.bmvc2019 import medians_of, scene_table
    from scene_geo_loc.traversals.opening import format_of

    if live and view is not None:
        raise typer.BadParameter("--view is written offline; record the topics of a live node instead.")
    if live and statistics is not None:
        raise typer.BadParameter(
            "--statistics is written offline; set `statistics_dir` of a live node instead."
        )
    traversal = source.open()
    settings = LocalizerSettings(second_look_share=second_look_share, sequence_images=sequence_images)
    localizer = open_localizer(map_folder, settings, device)
    reference_map = localizer.map
    reference_map.verify()
    if all(frame.T_map_camera is None for frame in traversal.frames()):
        raise TraversalError(
            f"{traversal.name} has no ground-truth poses: name them with --poses, or use `localize`."
        )
    session = Session(localizer, Tracker() if track else None)
    if live:
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder if report is None else report) / "localization_node.log"
            records, pace = run_live(source.path, map_folder, traversal, log, track, settings)
        typer.echo(pace)
    else:
        with (
            recorded_view(view, reference_map) as on_view,
            with_statistics(statistics, reference_map, on_view) as on_answer,
        ):
            records, pace = run_offline(session, traversal, on_answer), ""
    summary = summarize(records, wrong_fix_m)
    print_results({source.path.name: summary})
    print_reasons(records)
    print_second_looks(records)
    numbers = summary.to_dict()
    if second_look_share and not live:
        numbers["second_looks"] = sum(SECOND_LOOK in record.timings_ms for record in records)
    gaps = gaps_of(records)
    print_gaps(gaps)
    numbers |= gaps.to_dict()
    calibration = covariance_calibration(records)
    if calibration is not None:
        print_calibration(calibration)
        numbers["covariance_calibration"] = calibration.to_dict()
    confidences = confidence_calibration(records, wrong_fix_m)
    if confidences:
        print_confidences(confidences)
        numbers["confidence_calibration"] = [part.to_dict() for part in confidences]
    kidnapping = kidnap(session, traversal, wrong_fix_m) if track and not live else None
    if kidnapping is not None:
        print_kidnapping(kidnapping)
        numbers["kidnapped"] = kidnapping.to_dict()
    table = scene_table(format_of(source.path, source.format), source.path)
    medians = medians_of(records)
    if table is not None:
        print_scene_table(table, medians)
        numbers["paper"] = table.to_dict(medians)
    elif medians:
        print_retrieval(medians[0])
    if traversal.skipped:
        typer.echo(f"Frames skipped by the reader: {traversal.skipped}.")
    if json is not None:
        write_json(json, numbers)
    if report is not None:
        from scene_geo_loc.core.atomic import write_aside
        from scene_geo_loc.reports.examples import choose_examples, draw_examples
        from scene_geo_loc.reports.report import Report, write_report
        from scene_geo_loc.reports.summary_picture import summary_picture

        conditions = "Replayed to the localization node" if live else "Localized offline"
        conditions += " with tracking" if track else ""
        conditions += (
            f", in a map of {len(reference_map)} keyframes built from {reference_map.info.source}. {pace}"
        )
        examples = draw_examples(records, choose_examples(records), localizer, reference_map, traversal)
        positions = reference_map.T_map_camera[:, :3, 3]
        contents = Report(
            source.path.name, conditions.strip(), records, summary, positions, examples, table, medians
        )
        write_report(report / "index.html", contents)
        rows = [(example.title, example.picture) for example in examples[:3]]
        if rows:
            picture = summary_picture(rows, records, summary, positions, source.path.name)
            write_aside(report / "picture.png", picture)
        typer.echo(f"The report is {report / 'index.html'}.")


def run_offline(session: Session, traversal: Traversal, on_answer: OnAnswer | None) -> list[QueryRecord]:
    """Localizes every frame, with progress."""
    from scene_geo_loc.benchmarks.localization.run import localize_traversal
    from scene_geo_loc.cli.options.progress import track

    return list(track(localize_traversal(session, traversal, on_answer), len(traversal), "localizing"))


def run_live(
    bag: Path,
    map_folder: Path,
    traversal: Traversal,
    log: Path,
    tracking: bool,
    settings: LocalizerSettings,
) -> tuple[list[QueryRecord], str]:
    """Replays a bag to a localization node, with progress; returns a sentence on the replay's speed too."""
    from scene_geo_loc.benchmarks.localization.live import live_records
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.ros.harness.replay import describe_pace, replay

    with progress("replaying") as on_progress:
        answers = replay(bag, map_folder, log, on_progress, tracking, settings)
    return live_records(answers, traversal), describe_pace(answers.slowdown)
