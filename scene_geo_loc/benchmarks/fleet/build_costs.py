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

"""Measures how long one map of many drives takes: without Ray, on local workers, and with one killed."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from scene_geo_loc.benchmarks.fleet.schedule import BuildTimes
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.core.progress import ProgressDisplay, no_display
from scene_geo_loc.localization.uncertainty.self_measurement import measure_map
from scene_geo_loc.mapping.fleet.drive_job import DriveSource
from scene_geo_loc.mapping.fleet.executors import DriveExecutor, InThisProcess
from scene_geo_loc.mapping.fleet.fleet_build import build_fleet, work_folder
from scene_geo_loc.mapping.fleet.ray_cluster import RayCluster
from scene_geo_loc.mapping.map_info import MAP_JSON, WORK, read_info
from scene_geo_loc.mapping.settings import BuilderSettings

_POLL_S = 0.005


@dataclass(frozen=True)
class FleetCosts:
    """Costs of a build.

    Attributes:
        workers: number of workers; 0 without Ray.
        times: of its parts.
        total_s: from the command to the map.
        resumed: keyframes that a worker had left that was killed; None where none was.
        is_same: whether every file is that of the first build, but for the times in `map.json`.
    """

    workers: int
    times: BuildTimes
    total_s: float
    resumed: int | None
    is_same: bool


def measure_fleet(
    drives: Sequence[DriveSource],
    folder: Path,
    settings: BuilderSettings,
    workers: Sequence[int] = (1, 2),
    display: ProgressDisplay = no_display,
) -> list[FleetCosts]:
    """Builds one map of the drives without Ray, on each number of local workers, and with a worker killed.

    Args:
        drives: at least two.
        folder: for the maps; the last two are left there.
        settings: of the builds.
        workers: numbers of local workers; with the last one a worker is killed as well.
        display: shows progress.
    """
    if len(drives) < 2:
        raise SceneGeoLocError(f"{len(drives)} drive is no fleet: name two or more.")
    costs: list[FleetCosts] = []
    for count, is_killed in ((0, False), *((each, False) for each in workers), (workers[-1], True)):
        out = folder / f"map_{count}{'_killed' * is_killed}"
        for path in (out, work_folder(out)):
            shutil.rmtree(path, ignore_errors=True)
        costs.append(_measure(drives, out, settings, count, is_killed, folder / "map_0", display))
    return costs


def _measure(
    drives: Sequence[DriveSource],
    out: Path,
    settings: BuilderSettings,
    workers: int,
    is_killed: bool,
    first: Path,
    display: ProgressDisplay,
) -> FleetCosts:
    """Builds a map and returns its costs."""
    begin = time.perf_counter()
    with ExitStack() as stack:
        executor: DriveExecutor = InThisProcess()
        if workers:
            executor = stack.enter_context(RayCluster(f"local:{workers}"))
        started = time.perf_counter()
        killer = WriterKiller(work_folder(out), Path(drives[1].path).name)
        if is_killed:
            killer.start()
        last = [started]
        fleet = build_fleet(
            drives,
            out,
            settings,
            executor=executor,
            measure=measure_map,
            display=display,
            on_drive=lambda number, job, result: last.append(time.perf_counter()),
        )
        end = time.perf_counter()
        killer.join_if_started()
    drives_s = [result.seconds for result in fleet.results]
    return FleetCosts(
        workers,
        BuildTimes(started - begin, drives_s, end - last[-1]),
        end - begin,
        fleet.results[1].resumed if is_killed and killer.killed is not None else None,
        have_same_files(out, first),
    )


def have_same_files(first: Path, second: Path) -> bool:
    """Returns whether two maps have the same files, but for the times at which they were built."""

    def content(path: Path) -> object:
        info = read_info(path)
        drives = [(drive.source, drive.keyframes) for drive in info.all_drives]
        return drives, info.model_dump(exclude={"built", "digest", "drives"})

    files = [sorted(file.name for file in path.iterdir()) for path in (first, second)]
    return (
        files[0] == files[1]
        and content(first) == content(second)
        and all(
            (first / name).read_bytes() == (second / name).read_bytes()
            for name in files[0]
            if name != MAP_JSON
        )
    )


class WriterKiller(threading.Thread):
    """Kills the process that writes the map of a drive, as soon as it has keyframes.

    Attributes:
        killed: number of the process; None where none was found.
    """

    def __init__(self, work: Path, drive: str, keyframes: int = 2, patience_s: float = 600.0) -> None:
        """Takes the folder of the drives' maps, the name of the drive, and how many keyframes to wait for."""
        super().__init__(daemon=True)
        self.killed: int | None = None
        self._work, self._drive, self._lines, self._patience_s = work, drive, 1 + keyframes, patience_s

    def run(self) -> None:
        """See `threading.Thread`."""
        end = time.monotonic() + self._patience_s
        while self.killed is None and time.monotonic() < end:
            for journal in self._work.glob(f"{self._drive}-*.partial/{WORK}/journal.jsonl"):
                if journal.read_bytes().count(b"\n") >= self._lines:
                    self._kill_writer_of(journal)
            time.sleep(_POLL_S)

    def join_if_started(self) -> None:
        """Waits for the thread if it was started; there is nothing left to kill then."""
        if self.ident is not None:
            self._patience_s = 0.0
            self.join(timeout=1.0)

    def _kill_writer_of(self, file: Path) -> None:
        for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
            try:
                is_writer = os.path.samefile(descriptor, file)
            except OSError:  # of processes that have ended, or of other users
                continue
            if is_writer and int(descriptor.parts[2]) != os.getpid():
                self.killed = int(descriptor.parts[2])
                os.kill(self.killed, signal.SIGKILL)
                return
