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

"""The demo: maps a simulated drive, localizes three others live and offline, and reports on them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from scene_geo_loc.benchmarks.localization.live import live_records
from scene_geo_loc.benchmarks.localization.run import localize_traversal
from scene_geo_loc.benchmarks.machine import describe_machine
from scene_geo_loc.core.artifacts import ArtifactCache
from scene_geo_loc.core.atomic import write_aside, write_json
from scene_geo_loc.core.errors import MapError
from scene_geo_loc.core.parallel import available_cores
from scene_geo_loc.core.progress import ProgressDisplay, no_display, tracked
from scene_geo_loc.core.regular_file import regular
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.session import Session
from scene_geo_loc.localization.uncertainty.self_measurement import measure_map
from scene_geo_loc.mapping.builder import build_map, remove_partial
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.mapping.settings import BuilderSettings, DepthSource
from scene_geo_loc.metrics.pose_error import QueryRecord, Summary, summarize
from scene_geo_loc.reports.examples import Example, choose_examples, draw_examples
from scene_geo_loc.reports.report import IndexRow, Report, write_index, write_report
from scene_geo_loc.reports.summary_picture import summary_picture
from scene_geo_loc.ros.harness.replay import describe_pace, image_topic_of, replays
from scene_geo_loc.simulation.recordings.drive import DriveSettings, simulate, simulate_drives
from scene_geo_loc.simulation.vehicle.sensors import MountedCamera, Rig, SpinningLidar, pinhole
from scene_geo_loc.traversals.opening import open_traversal
from scene_geo_loc.traversals.rosbag.bag import Bag

MAPPED = "overcast"
DRIVES = ("sunny", "night", "snow")
"""Condition of the mapped drive, and of the others in order of their dates."""
SEED, SPEED_M_S, SIGHT_M = 11, 10.0, 120.0
"""Seed of the town, which the default network was not trained in; speed of the drives; extent of the town."""
STREET_M = {MAPPED: (130.0, 140.0), **dict.fromkeys(DRIVES, (150.0, 100.0))}
"""Start of each drive along the town's loop, and its length: the queries lie well inside the map."""
CAMERA = MountedCamera(pinhole(480, 360))
MAPPED_HZ, DRIVES_HZ = 6.0, 10.0
"""Images a second: of the mapped drive no more than become keyframes, one every metre at most."""
LIDAR = SpinningLidar(rate_hz=5.0)
"""Lidar of the mapped drive: a sweep every two metres."""
LIDAR_MAP, IMAGE_MAP = "map", "map_of_images"
MAP_DEPTH: dict[str, DepthSource] = {LIDAR_MAP: "measured", IMAGE_MAP: "learned"}
"""The maps of the mapped drive by folder, and the source of their depth."""
MIN_LOCALIZED_SHARE, MAX_MEDIAN_M, MAX_MEDIAN_DEG = 0.9, 0.5, 1.0
"""Goals of the sunny drive, besides no wrong pose."""


@dataclass(frozen=True)
class LiveDrive:
    """A drive as the live node localized it.

    Attributes:
        records: one for each image, also for those without an answer.
        slowdown: duration of the replay as a multiple of the drive's.
    """

    records: list[QueryRecord]
    slowdown: float

    @cached_property
    def summary(self) -> Summary:
        """Numbers of the drive."""
        return summarize(self.records)


@dataclass(frozen=True)
class DemoResult:
    """Numbers of the demo by drive.

    Attributes:
        live: of the live node in the map with lidar depth.
        images_only: of the offline localizer in the map built from images alone.
        missed_goals: the goals that the sunny drive missed, as text.
        paces: sentence on the speed of each replay.
        report: HTML page that leads to the reports.
    """

    live: dict[str, Summary]
    images_only: dict[str, Summary]
    missed_goals: list[str]
    paces: dict[str, str]
    report: Path


@dataclass
class Demo:
    """One demo in a folder; what an earlier call has made there is used again.

    The replays are the exception: how well a live node does depends on the machine and what else it does now.

    Attributes:
        out: the folder.
        show: displays the progress of each step.
        notify: receives a sentence when a step is skipped or repeated, and when the first picture is there.
    """

    out: Path
    show: ProgressDisplay = no_display
    notify: Callable[[str], None] = lambda sentence: None
    _drawn: dict[str, list[Example]] = field(default_factory=dict, init=False)

    def run(self) -> DemoResult:
        """Simulates, maps, localizes and reports: first one drive with a picture, then the others.

        Raises SceneGeoLocError if a file cannot be written, or the node does not start or ends early.
        """
        artifacts = ArtifactCache(self.out)
        first, *others = DRIVES
        self._simulate(artifacts, [MAPPED, first])
        self._build_map(artifacts, LIDAR_MAP)
        live = self._replay([first])
        report = self._report(live)
        self.notify(f"The first picture is {report.with_name('summary.png')}, the first report {report}.")
        self._simulate(artifacts, others)
        live |= self._replay(others)
        report = self._report(live)
        self._build_map(artifacts, IMAGE_MAP)
        images_only = {condition: self._localize(artifacts, condition) for condition in DRIVES}
        machine = describe_machine()
        write_json(
            self.out / "result.json",
            {name: live_record(drive) | {"ran_on": machine} for name, drive in live.items()}
            | {f"{name}, map of images alone": summary.to_dict() for name, summary in images_only.items()},
        )
        summaries = {name: drive.summary for name, drive in live.items()}
        paces = {name: describe_pace(drive.slowdown) for name, drive in live.items()}
        return DemoResult(summaries, images_only, missed_goals(summaries["sunny"]), paces, report)

    def _simulate(self, artifacts: ArtifactCache, conditions: Sequence[str]) -> None:
        """Records drives as bags; only the mapped drive has a lidar."""
        origins = {condition: _drive_origin(condition) for condition in conditions}
        missing = []
        for condition, origin in origins.items():
            if artifacts.is_complete(_bag(condition), origin):
                self.notify(f"{artifacts.root / _bag(condition)} exists already.")
            else:
                missing.append(condition)
        if not missing:
            return
        if MAPPED in missing:
            for map_name in MAP_DEPTH:
                remove_partial(artifacts.root / map_name)
        drives = {artifacts.begin(_bag(condition)): _drive_settings(condition) for condition in missing}
        names = " and the ".join(missing)
        with self.show(f"simulating the {names} drive{'s'[: len(missing) - 1]}", "frames") as on_progress:
            if len(drives) > 1 and available_cores() > 1:
                simulate_drives(drives, on_progress)
            else:
                for path, settings in drives.items():
                    simulate(path, settings, on_progress=on_progress)
        for condition in missing:
            artifacts.finish(_bag(condition), origins[condition])

    def _build_map(self, artifacts: ArtifactCache, name: str) -> None:
        """Builds a map from the bag of the mapped drive; resumes an interrupted build."""
        settings = BuilderSettings(depth=MAP_DEPTH[name])
        origin = {"bag": artifacts.record_of(_bag(MAPPED)), "settings": settings.model_dump()}
        path = artifacts.root / name
        if artifacts.is_complete(name, origin):
            try:
                ReferenceMap.open(path).verify()
            except MapError as error:
                self.notify(f"{error} The map is built again.")
            else:
                self.notify(f"{path} exists already.")
                return
        traversal = open_traversal(artifacts.root / _bag(MAPPED))
        build_map(
            traversal,
            artifacts.begin(name),
            settings,
            source=_bag(MAPPED),
            measure=measure_map,
            display=self.show,
        )
        artifacts.finish(name, origin)

    def _replay(self, conditions: Sequence[str]) -> dict[str, LiveDrive]:
        """Plays drives to a localization node and compares its poses with the bags' ground truth."""
        bags = {condition: self.out / _bag(condition) for condition in conditions}
        topic = image_topic_of(Bag(bags[conditions[0]]))
        log = self.out / "logs" / f"{'_'.join(conditions)}.log"
        live = {}
        with replays(self.out / LIDAR_MAP, topic, log) as play:
            for condition, bag in bags.items():
                with self.show(f"replaying the {condition} drive live", "frames") as on_progress:
                    answers = play(bag, on_progress)
                live[condition] = LiveDrive(live_records(answers, open_traversal(bag)), answers.slowdown)
        return live

    def _localize(self, artifacts: ArtifactCache, condition: str) -> Summary:
        """Localizes every image of a drive offline in the map of images alone."""
        name = f"offline/{condition}"
        origin = {"map": artifacts.record_of(IMAGE_MAP), "bag": artifacts.record_of(_bag(condition))}
        path = artifacts.root / name / "summary.json"
        if artifacts.is_complete(name, origin):
            self.notify(f"{path} exists already.")
            return Summary(**json.loads(regular(path).read_text()))
        artifacts.begin(name).mkdir(parents=True)
        session = Session(Localizer(ReferenceMap.open(self.out / IMAGE_MAP)))
        traversal = open_traversal(self.out / _bag(condition))
        with self.show(f"localizing the {condition} drive", "frames") as on_progress:
            records = list(tracked(localize_traversal(session, traversal), len(traversal), on_progress))
        summary = summarize(records)
        write_json(path, asdict(summary))
        artifacts.finish(name, origin)
        return summary

    def _report(self, live: dict[str, LiveDrive]) -> Path:
        """Writes a report for each drive, the page that leads to them, and the summary picture."""
        reference_map = ReferenceMap.open(self.out / LIDAR_MAP)
        localizer = Localizer(reference_map)
        positions = reference_map.T_map_camera[:, :3, 3]
        _, mapped_m = STREET_M[MAPPED]
        mapped = f"A simulated {MAPPED} drive of {mapped_m:g} m was mapped ({len(reference_map)} keyframes)."
        folder = self.out / "report"
        missing = {condition: drive for condition, drive in live.items() if condition not in self._drawn}
        with self.show("drawing the reports", "drives") as on_progress:
            for condition, drive in tracked(missing.items(), len(missing), on_progress):
                run, summary = drive.records, drive.summary
                traversal = open_traversal(self.out / _bag(condition))
                drawn = draw_examples(run, choose_examples(run), localizer, reference_map, traversal)
                conditions = (
                    f"{mapped} The {condition} drive was played to the localization node on "
                    f"{describe_machine()}. {describe_pace(drive.slowdown)}"
                )
                report = Report(f"The {condition} drive", conditions, run, summary, positions, drawn)
                write_report(folder / f"{condition}.html", report)
                self._drawn[condition] = drawn
        best = {name: self._drawn[name][0] for name in live if self._drawn[name]}
        rows = [IndexRow(name, f"{name}.html", drive.summary, best.get(name)) for name, drive in live.items()]
        pictures = [(f"{name}: {example.title}", example.picture) for name, example in best.items()]
        name, first = next(iter(live.items()))
        title = f"A {name} drive in the map of an {MAPPED} drive"
        picture = summary_picture(pictures, first.records, first.summary, positions, title)
        write_aside(folder / "summary.png", picture)
        index = folder / "index.html"
        slowest = max(drive.slowdown for drive in live.values())
        conditions = (
            f"{mapped} Each drive was played to the localization node on {describe_machine()}. "
            f"{describe_pace(slowest, 'The slowest replay')}"
        )
        write_index(index, "One street, three drives, one map", conditions, rows, picture)
        return index


def _bag(condition: str) -> str:
    return f"bags/{condition}"


def _drive_settings(condition: str) -> DriveSettings:
    start, length = STREET_M[condition]
    is_mapped = condition == MAPPED
    rate_hz = MAPPED_HZ if is_mapped else DRIVES_HZ
    rig = Rig((CAMERA,), rate_hz, lidar=LIDAR if is_mapped else None, pushbroom=None)
    return DriveSettings(condition, SEED, start=start, length=length, speed=SPEED_M_S, rig=rig, sight=SIGHT_M)


def _drive_origin(condition: str) -> dict[str, Any]:
    """Returns the inputs of a drive for the cache."""
    settings, camera = _drive_settings(condition), CAMERA.camera
    origin: dict[str, Any] = {"condition": condition, "seed": SEED, "speed": SPEED_M_S, "sight": SIGHT_M}
    origin |= {"start": settings.start, "length": settings.length, "image": [camera.width, camera.height]}
    lidar = settings.rig.lidar
    return origin | {"image_hz": settings.rig.camera_rate_hz, "lidar_hz": lidar.rate_hz if lidar else None}


def live_record(drive: LiveDrive) -> dict[str, Any]:
    """Returns the record of a live drive that is written as JSON."""
    unanswered = {"unanswered": drive.summary.unanswered}
    return drive.summary.to_dict() | unanswered | {"slowdown": round(drive.slowdown, 2)}


def missed_goals(sunny: Summary) -> list[str]:
    """Returns the goals that the answered images of the sunny drive miss: each number against its limit."""
    missed = []
    share, position_m, rotation_deg = (
        sunny.localized_share or 0.0,
        sunny.position_median_m,
        sunny.rotation_median_deg,
    )
    if share < MIN_LOCALIZED_SHARE:
        missed.append(f"localized share {100 * share:.1f} % < {100 * MIN_LOCALIZED_SHARE:g} %")
    if position_m is None or position_m > MAX_MEDIAN_M:
        missed.append(f"median position error {_value(position_m, ' m')} > {MAX_MEDIAN_M:g} m")
    if rotation_deg is None or rotation_deg > MAX_MEDIAN_DEG:
        missed.append(f"median rotation error {_value(rotation_deg, '°')} > {MAX_MEDIAN_DEG:g}°")
    if sunny.wrong_fixes:
        missed.append(f"{sunny.wrong_fixes} poses more than {sunny.wrong_fix_m:g} m off > 0")
    return missed


def _value(value: float | None, unit: str) -> str:
    return "unknown" if value is None else f"{value:.3f}{unit}"
