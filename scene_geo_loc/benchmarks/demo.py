"""The demo: maps a simulated drive, localizes three others live and offline, and reports on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scene_geo_loc.benchmarks.localization.live import live_records
from scene_geo_loc.benchmarks.localization.run import localize_traversal
from scene_geo_loc.benchmarks.machine import describe_machine
from scene_geo_loc.core.artifacts import ArtifactCache
from scene_geo_loc.core.atomic import write_aside, write_json
from scene_geo_loc.core.errors import MapError
from scene_geo_loc.core.progress import ProgressDisplay, no_display, tracked
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.session import Session
from scene_geo_loc.mapping.builder import build_map, remove_partial
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.mapping.settings import BuilderSettings, DepthSource
from scene_geo_loc.metrics.pose_error import QueryRecord, Summary, summarize
from scene_geo_loc.reports.examples import Example, choose_examples, draw_examples
from scene_geo_loc.reports.report import IndexRow, Report, write_index, write_report
from scene_geo_loc.reports.summary_picture import summary_picture
from scene_geo_loc.ros.harness.replay import replay
from scene_geo_loc.simulation.recordings.drive import DriveSettings, simulate
from scene_geo_loc.simulation.vehicle.sensors import Rig
from scene_geo_loc.traversals.opening import open_traversal

MAPPED = "overcast"
DRIVES = ("sunny", "snow", "night")
SEED, SPEED_M_S = 11, 10.0
"""Seed of the town, which the default network was not trained in, and speed of the drives."""
STREET_M = {MAPPED: (0.0, 320.0), **dict.fromkeys(DRIVES, (60.0, 200.0))}
"""Start of each drive along the town's loop, and its length: the queries lie well inside the map."""
LIDAR_MAP, IMAGE_MAP = "map", "map_of_images"
MAP_DEPTH: dict[str, DepthSource] = {LIDAR_MAP: "measured", IMAGE_MAP: "learned"}
"""The maps of the mapped drive by folder, and the source of their depth."""
MIN_LOCALIZED_SHARE, MAX_MEDIAN_M, MAX_MEDIAN_DEG = 0.9, 0.5, 1.0
"""Goals of the sunny drive, besides no wrong pose."""


@dataclass(frozen=True)
class DemoResult:
    """Numbers of the demo by drive.

    Attributes:
        live: of the live node in the map with lidar depth.
        images_only: of the offline localizer in the map built from images alone.
        missed_goals: the goals that the sunny drive missed, as text.
        report: HTML page that leads to the reports.
    """

    live: dict[str, Summary]
    images_only: dict[str, Summary]
    missed_goals: list[str]
    report: Path


@dataclass
class Demo:
    """One demo in a folder; what an earlier call has made there is used again.

    Attributes:
        out: the folder.
        show: displays the progress of each step.
        notify: receives a sentence when a step is skipped or repeated.
    """

    out: Path
    show: ProgressDisplay = no_display
    notify: Callable[[str], None] = lambda sentence: None

    def run(self) -> DemoResult:
        """Simulates, maps, localizes and reports.

        Raises SceneGeoLocError if a file cannot be written, or the node does not start or ends early.
        """
        artifacts = ArtifactCache(self.out)
        for condition in (MAPPED, *DRIVES):
            self._simulate(artifacts, condition)
        for name in MAP_DEPTH:
            self._build_map(artifacts, name)
        records = {condition: self._replay(condition) for condition in DRIVES}
        live = {condition: summarize(records[condition]) for condition in DRIVES}
        images_only = {condition: summarize(self._localize(condition)) for condition in DRIVES}
        machine = describe_machine()
        write_json(
            self.out / "result.json",
            {name: summary.to_dict() | {"ran_on": machine} for name, summary in live.items()}
            | {f"{name}, map of images alone": summary.to_dict() for name, summary in images_only.items()},
        )
        report = self._report(records, live, machine)
        return DemoResult(live, images_only, missed_goals(live["sunny"]), report)

    def _simulate(self, artifacts: ArtifactCache, condition: str) -> None:
        """Records a drive as a bag; only the mapped drive has lidars."""
        name = f"bags/{condition}"
        is_mapped = condition == MAPPED
        start, length = STREET_M[condition]
        origin = {"condition": condition, "seed": SEED, "speed": SPEED_M_S, "lidar": is_mapped}
        origin |= {"start": start, "length": length}
        if artifacts.is_complete(name, origin):
            self.notify(f"{artifacts.root / name} exists already.")
            return
        rig = Rig() if is_mapped else Rig(lidar=None, pushbroom=None)
        settings = DriveSettings(condition, SEED, start=start, length=length, speed=SPEED_M_S, rig=rig)
        path = artifacts.begin(name)
        if is_mapped:
            for map_name in MAP_DEPTH:
                remove_partial(artifacts.root / map_name)
        with self.show(f"simulating the {condition} drive", "frames") as on_progress:
            simulate(path, settings, on_progress=on_progress)
        artifacts.finish(name, origin)

    def _build_map(self, artifacts: ArtifactCache, name: str) -> None:
        """Builds a map from the bag of the mapped drive; resumes an interrupted build."""
        source = f"bags/{MAPPED}"
        settings = BuilderSettings(depth=MAP_DEPTH[name])
        origin = {"bag": artifacts.record_of(source), "settings": settings.model_dump()}
        path = artifacts.root / name
        if artifacts.is_complete(name, origin):
            try:
                ReferenceMap.open(path).verify()
            except MapError as error:
                self.notify(f"{error} The map is built again.")
            else:
                self.notify(f"{path} exists already.")
                return
        traversal = open_traversal(artifacts.root / source)
        build_map(traversal, artifacts.begin(name), settings, source=source, display=self.show)
        artifacts.finish(name, origin)

    def _replay(self, condition: str) -> list[QueryRecord]:
        """Plays a drive to a localization node and compares its poses with the bag's ground truth."""
        bag = self.out / "bags" / condition
        with self.show(f"replaying the {condition} drive live", "frames") as on_progress:
            answers = replay(bag, self.out / LIDAR_MAP, self.out / "logs" / f"{condition}.log", on_progress)
        return live_records(answers, open_traversal(bag))

    def _localize(self, condition: str) -> list[QueryRecord]:
        """Localizes every image of a drive offline in the map of images alone."""
        session = Session(Localizer(ReferenceMap.open(self.out / IMAGE_MAP)))
        traversal = open_traversal(self.out / "bags" / condition)
        with self.show(f"localizing the {condition} drive", "frames") as on_progress:
            return list(tracked(localize_traversal(session, traversal), len(traversal), on_progress))

    def _report(
        self, records: dict[str, list[QueryRecord]], summaries: dict[str, Summary], machine: str
    ) -> Path:
        """Writes a report for each drive, the page that leads to them, and the summary picture."""
        reference_map = ReferenceMap.open(self.out / LIDAR_MAP)
        localizer = Localizer(reference_map)
        positions = reference_map.T_map_camera[:, :3, 3]
        _, mapped_m = STREET_M[MAPPED]
        conditions = (
            f"A simulated {MAPPED} drive of {mapped_m:g} m was mapped ({len(reference_map)} keyframes). "
            f"Each drive was replayed in real time to the localization node on {machine}."
        )
        folder = self.out / "report"
        rows: list[IndexRow] = []
        examples: dict[str, list[Example]] = {}
        with self.show("drawing the reports", "drives") as on_progress:
            for condition in tracked(DRIVES, len(DRIVES), on_progress):
                run, summary = records[condition], summaries[condition]
                traversal = open_traversal(self.out / "bags" / condition)
                drawn = draw_examples(run, choose_examples(run), localizer, reference_map, traversal)
                title = f"The {condition} drive"
                report = Report(title, conditions, run, summary, positions, drawn)
                write_report(folder / f"{condition}.html", report)
                rows.append(IndexRow(condition, f"{condition}.html", summary, drawn[0] if drawn else None))
                examples[condition] = drawn
        pictures = [
            (f"{name}: {drawn[0].title}", drawn[0].picture) for name, drawn in examples.items() if drawn
        ]
        title = f"A sunny drive in the map of an {MAPPED} drive"
        picture = summary_picture(pictures, records["sunny"], summaries["sunny"], positions, title)
        write_aside(folder / "summary.png", picture)
        index = folder / "index.html"
        write_index(index, "One street, three drives, one map", conditions, rows, picture)
        return index


def missed_goals(sunny: Summary) -> list[str]:
    """Returns the goals that the sunny drive misses: each number against its limit."""
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
