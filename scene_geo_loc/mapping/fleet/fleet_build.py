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

"""Builds one map of many drives: a job a drive, then one merge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.core.folder_lock import changing
from scene_geo_loc.core.progress import ProgressDisplay, no_display
from scene_geo_loc.mapping.editing.combination import MapPart, MeasureCombination, write_combination
from scene_geo_loc.mapping.fleet.drive_job import DriveJob, DriveResult, DriveSource
from scene_geo_loc.mapping.fleet.executors import DriveExecutor, InThisProcess
from scene_geo_loc.mapping.map_info import check_output
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.mapping.settings import BAG_OF_WORDS, BuilderSettings
from scene_geo_loc.traversals.opening import format_of

OnDrive = Callable[[int, DriveJob, DriveResult], None]
"""Receives each drive that is done: its number in the order given, its job and its result."""


class FailedDrives(MapError):
    """Drives of a fleet cannot be mapped, and were not to be left out."""


@dataclass(frozen=True)
class FleetBuild:
    """A map of many drives.

    Attributes:
        map: the map.
        results: of the drives, in their order.
        left_out: why there is no map of a drive, by its path.
        work: folder with the maps of the drives, which a later build uses again.
    """

    map: ReferenceMap
    results: Sequence[DriveResult]
    left_out: dict[str, str] = field(default_factory=dict)
    work: Path = Path()


def work_folder(out: Path) -> Path:
    """Returns the folder for the maps of the drives of a map."""
    return out.with_name(f"{out.name}.drives")


def build_fleet(
    drives: Sequence[DriveSource],
    out: Path | str,
    settings: BuilderSettings | None = None,
    *,
    network: Path | None = None,
    like: Path | None = None,
    cloud: Path | None = None,
    datum: str | None = None,
    device: str = "auto",
    overwrite: bool = False,
    leave_out_failed: bool = False,
    executor: DriveExecutor | None = None,
    measure: MeasureCombination | None = None,
    display: ProgressDisplay = no_display,
    on_drive: OnDrive = lambda number, job, result: None,
) -> FleetBuild:
    """Builds a map of each drive, and one map of all their keyframes in the order of the drives.

    What is fitted to images (projection of the descriptors, visual words) is fitted to the first drive, and
    the maps of the others are built like its map.  The maps stay in `work_folder(out)`: a build that was
    interrupted, or that gets further drives, uses them again, and those of other settings, releases or
    changed recordings are not taken for them.

    Args:
        drives: at least one, with poses in one frame.
        out: folder of the map.
        settings: settings of the build; default: `BuilderSettings()`.
        network: a checkpoint; default: the package's network.
        like: a map that all drives are built like, in place of the first one.
        cloud: file of points that depth is taken from, in place of the drives' lidars.
        datum: of the map; default: that of the first drive that has one.
        device: where the network runs.
        overwrite: whether a map at `out` is replaced.
        leave_out_failed: whether drives that cannot be mapped are left out; else they are an error once the
            others are done.
        executor: does the jobs; default: one after the other in this process.
        measure: measures the merged map.
        display: shows progress.
        on_drive: receives each drive that is done.

    Raises FailedDrives where drives cannot be mapped, TraversalError where one is missing, and MapError where
    one is given twice, where the maps cannot be merged, where another process builds the map, or where `out`
    exists or cannot be written.
    """
    out = Path(out).absolute()
    check_output(out, overwrite)
    _check_drives(drives)
    run = _Run(executor or InThisProcess(), display, on_drive)
    work = work_folder(out)
    with changing(out, "building a map of drives", MapError):
        jobs = [
            DriveJob(
                source=drive.model_copy(update={"path": str(Path(drive.path).absolute())}),
                folder=str(work),
                settings=settings or BuilderSettings(),
                network=None if network is None else str(network.absolute()),
                cloud=None if cloud is None else str(cloud.absolute()),
                datum=datum,
                device=device,
            ).stamped()
            for drive in drives
        ]
        rest = list(jobs)
        while like is None and rest:
            first = rest.pop(0)
            if run.do([first]):
                like = first.out
            elif not leave_out_failed:
                break
        if like is not None:
            run.do([_like(job, ReferenceMap.open(like)) for job in rest])
        results, failed = run.of(jobs)
        if failed and not (leave_out_failed and len(failed) < len(drives)):
            raise FailedDrives(_sentence(failed, len(drives)))
        maps = [ReferenceMap.open(path) for path in run.maps_of(jobs)]
        parts = [MapPart.whole(drive_map) for drive_map in maps]
        with display("merging", "rows") as on_progress:
            merged = write_combination(
                parts, out, overwrite=overwrite, measure=measure, on_progress=on_progress
            )
    return FleetBuild(merged, results, failed, work)


class _Run:
    """Jobs of a build and their results."""

    def __init__(self, executor: DriveExecutor, display: ProgressDisplay, on_drive: OnDrive) -> None:
        self._executor, self._display, self._on_drive = executor, display, on_drive
        self._done: dict[str, tuple[DriveJob, DriveResult]] = {}

    def do(self, jobs: Sequence[DriveJob]) -> bool:
        """Does jobs; returns whether all of them have a map."""
        for job, result in self._executor.run(jobs, self._display) if jobs else ():
            self._done[_key(job)] = (job, result)
            self._on_drive(len(self._done), job, result)
        return all(self._done[_key(job)][1].error is None for job in jobs)

    def of(self, jobs: Sequence[DriveJob]) -> tuple[list[DriveResult], dict[str, str]]:
        """Returns the results of the jobs that were done, and the errors by drive."""
        done = [self._done[_key(job)] for job in jobs if _key(job) in self._done]
        failed = {job.source.path: result.error for job, result in done if result.error is not None}
        return [result for _, result in done], failed

    def maps_of(self, jobs: Sequence[DriveJob]) -> list[Path]:
        """Returns the maps of the drives that have one."""
        done = [self._done[_key(job)] for job in jobs]
        return [job.out for job, result in done if result.error is None]


def _key(job: DriveJob) -> str:
    return job.source.model_dump_json()


def _check_drives(drives: Sequence[DriveSource]) -> None:
    """Raises MapError where drives are missing, given twice, or of no known format."""
    if not drives:
        raise MapError("A map needs at least one drive: name a bag or a folder of a dataset.")
    for i, drive in enumerate(drives):
        if drive in drives[:i]:
            raise MapError(f"{drive.path} is named twice: a drive is mapped once.")
        format_of(Path(drive.path), drive.format)


def _like(job: DriveJob, first: ReferenceMap) -> DriveJob:
    """Returns a job whose keyframes can stand in one map with those of `first`."""
    settings = job.settings
    if first.vocabulary_file is not None and settings.descriptor == BAG_OF_WORDS:
        settings = settings.model_copy(update={"descriptor": str(first.vocabulary_file)})
    changes = {
        "settings": settings,
        "network": None,
        "like": str(first.path.absolute()),
        "like_digest": first.info.digest,
    }
    return job.model_copy(update=changes)


def _sentence(failed: dict[str, str], total: int) -> str:
    """Returns which drives failed and what can be done."""
    reasons = "; ".join(f"{path}: {error.rstrip('.')}" for path, error in failed.items())
    return (
        f"{len(failed)} of {total} drives cannot be mapped ({reasons}): the maps of the others are kept; "
        "mend these drives and build again, or let them be left out"
    )
