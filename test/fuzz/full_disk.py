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

"""Fills the disk while a map is changed: the old map stays whole, and the next attempt succeeds.

python -m fuzz.full_disk --rooms 20    # of each kind of change

The disk is a small file system in memory, which is really full: memory-mapped writes, libraries in C++ and
the names of folders meet that too.  It is mounted in a namespace of its own, which needs no rights where the
system lets users have one.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from fuzz.inputs import read_map
from fuzz.interruptions import LIMIT_S, Fault, in_child

DISK_BYTES = 256 << 20
BALLAST = "ballast"
INSIDE = "FULL_DISK_INSIDE"
"""Variable of the environment that says that the process has a namespace of its own."""
SAID = ("No space left", "disk is full")
NOT_POSSIBLE = 77
"""Exit code where no file system can be mounted."""


@dataclass(frozen=True)
class Change:
    """A change of a map on the disk.

    Attributes:
        name: its name in reports.
        work: changes what is in a folder, which holds what `prepare` wrote.
        result: name of the map that it writes; "" where it writes none.
        goes_on: whether a full disk does not end it, as a node goes on without what it cannot write.
    """

    name: str
    work: Callable[[Path], object]
    result: str = "map"
    goes_on: bool = False


def prepare(folder: Path) -> None:
    """Writes a map, another one in a frame of its own, a drive, and images that wait to be added."""
    from room import Room, write_rgbd

    from scene_geo_loc.geometry.pose import make_pose
    from scene_geo_loc.mapping.alignment.moved_map import write_moved_map
    from scene_geo_loc.mapping.builder import BuilderSettings, MapBuilder
    from scene_geo_loc.mapping.reference_map import ReferenceMap

    room = Room()
    settings = BuilderSettings(keyframe_distance_m=0.2)
    builder = MapBuilder(folder / "map", settings, device="cpu", source="first")
    for frame in room.drive():
        builder.add_frame(frame)
    first = ReferenceMap.open(builder.finish())
    builder = MapBuilder(folder / "other", settings, device="cpu", source="second", like=first)
    for frame in room.drive(8, offset_y=0.4):
        builder.add_frame(frame)
    other = ReferenceMap.open(builder.finish())
    write_moved_map(other, folder / "moved", make_pose([[0, -1, 0], [1, 0, 0], [0, 0, 1]], (30.0, 5.0, 0.0)))
    write_rgbd(folder / "drive", room, 0.4)


def _command(*arguments: str) -> Callable[[Path], object]:
    """Returns a change by a command, in which `@name` is a path in the folder."""

    def work(folder: Path) -> None:
        from scene_geo_loc.cli.main import app

        words = [str(folder / word[1:]) if word.startswith("@") else word for word in arguments]
        app(["map", *words], standalone_mode=False)

    return work


def _let_images_wait(folder: Path) -> None:
    """Lets images of an unmapped place wait for the map, beside it, as a node does."""
    import numpy as np
    from room import Room

    from scene_geo_loc.localization.estimate import PoseEstimate, Status
    from scene_geo_loc.localization.map_growth.growth import MapGrowth
    from scene_geo_loc.localization.map_growth.settings import GrowthSettings
    from scene_geo_loc.localization.query import CameraImage
    from scene_geo_loc.mapping.reference_map import ReferenceMap

    spaced = GrowthSettings(keyframe_distance_m=0.2, max_std_m=0.2)
    growth = MapGrowth(ReferenceMap.open(folder / "map"), spaced, source="third")
    camera = Room().camera
    noise = np.random.default_rng(0)
    covariance = np.diag([0.02**2] * 3 + [0.002**2] * 3)
    for i in range(24):
        T = np.eye(4)
        T[0, 3] = 0.25 * i
        estimate = PoseEstimate(Status.LOST)
        if i < 6 or i > 15:
            estimate = PoseEstimate(Status.LOCALIZED, T, covariance, confidence=0.99)
        image = noise.integers(0, 255, (camera.height, camera.width, 3)).astype(np.uint8)
        growth.add(10**9 * (i + 1), CameraImage(image, camera), estimate, T)
    growth.settle()
    growth.close()


def _build_waiting(folder: Path) -> None:
    """Adds images to the map as the process beside a node does."""
    from scene_geo_loc.localization.map_growth.building import build_waiting
    from scene_geo_loc.localization.map_growth.growth import MapGrowth
    from scene_geo_loc.mapping.reference_map import ReferenceMap

    _let_images_wait(folder)
    growth = MapGrowth(ReferenceMap.open(folder / "map"), source="fourth")
    images = growth.placed
    if images:
        build_waiting(folder / "map", images, growth.folder, "third")
        growth.built(images)
    growth.close()


def _save_statistics(folder: Path) -> None:
    from counted_street import answer_at

    from scene_geo_loc.localization.statistics.keyframe_statistics import read_statistics
    from scene_geo_loc.localization.statistics.recorder import StatisticsRecorder
    from scene_geo_loc.mapping.reference_map import ReferenceMap

    opened = ReferenceMap.open(folder / "map")
    with StatisticsRecorder(folder / "map.parquet", opened) as recorder:
        for i in range(200):
            recorder.add(10**9 * i, answer_at(0.0, {i % len(opened): 40}))
            if i % 40 == 0:
                recorder.save()
    read_statistics([folder / "map.parquet"], opened)


CHANGES = {
    change.name: change
    for change in (
        Change("extend", _command("extend", "@map", "@drive", "@map", "--poses-by", "drive", "--overwrite")),
        Change(
            "extend-by-map", _command("extend", "@map", "@drive", "@map", "--poses-by", "map", "--overwrite")
        ),
        Change("merge", _command("merge", "@map", "@other", "@map", "--overwrite")),
        Change("prune", _command("prune", "@map", "@map", "--keyframes", "5", "--overwrite")),
        Change("split", _command("split", "@map", "@parts", "--tile", "2"), "parts/tile_0_0"),
        Change("align", _command("align", "@moved", "@map", "--out", "@aligned"), "aligned"),
        Change("index", _command("index", "@map", "@map", "--overwrite")),
        Change("database", _command("index", "@map", "@map", "--database", "@lance", "--overwrite")),
        Change("statistics", _save_statistics, ""),
        Change("waiting", _let_images_wait, "", goes_on=True),
        Change("build", _build_waiting, goes_on=True),
    )
}
"""The changes by their names."""


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mounts a file system in memory, in the namespace of the process."""
    folder.mkdir()
    options = f"size={DISK_BYTES}".encode()
    if ctypes.CDLL(None, use_errno=True).mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, options):
        raise Fault(f"{folder} cannot be mounted: {os.strerror(ctypes.get_errno())}")
    try:
        yield folder
    finally:
        ctypes.CDLL(None).umount2(os.fsencode(folder), 2)


class Disk:
    """A small disk with what `prepare` wrote, and a file that takes the rest of its space."""

    def __init__(self, folder: Path, template: Path) -> None:
        self.folder, self._template = folder, template
        self.work = folder / "work"

    def begin(self, room_bytes: int | None = None) -> None:
        """Starts over, with so much room; None: with all there is."""
        shutil.rmtree(self.work, ignore_errors=True)
        self.make_room()
        shutil.copytree(self._template, self.work)
        if room_bytes is not None:
            with (self.folder / BALLAST).open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, max(self.free_bytes - room_bytes, 1))

    def make_room(self) -> None:
        """Removes the file that takes the space."""
        (self.folder / BALLAST).unlink(missing_ok=True)

    @property
    def free_bytes(self) -> int:
        """Room that is left."""
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_bsize

    @property
    def names(self) -> list[str]:
        """Names of what is in the folder."""
        return sorted(path.name for path in self.work.iterdir())


def run_change(change: Change, rooms: int, random: Random, disk: Disk, counts: Counter[str]) -> None:
    """Does a change on disks with too little room, and once more with enough each time. Raises Fault."""
    disk.begin()
    old = _digest(disk, "map")
    end, needed = _work(change, disk)
    if end != "done":
        raise Fault(f"with all the room there is: {end}")
    new, names = _digest(disk, change.result), disk.names
    # Evenly, so that each file meets the end of the disk; the last one is nearly enough.
    shares = [(i + random.random()) / rooms for i in range(rooms)]
    for room_bytes in [int(share * needed) >> 12 << 12 for share in shares]:
        disk.begin(room_bytes)
        end, _ = _work(change, disk)
        where = f"{room_bytes} of {needed} bytes: {end}"
        if end != "done" and not any(words in end for words in SAID):
            raise Fault(f"{where}: it does not say that the disk is full")
        try:
            found = _digest(disk, "map")
        except Fault as fault:
            raise Fault(f"{where}: the map is damaged: {fault}") from fault
        if found not in (old, new):
            raise Fault(f"{where}: the map is neither the old one nor the new one")
        if change.goes_on or found == old or end != "done":
            disk.make_room()
            again, _ = _work(change, disk)
            is_complete = found == new and change.result == "map"
            if again != "done" and not is_complete:
                raise Fault(f"{where}: the next attempt: {again}")
            if not is_complete and not change.goes_on and _digest(disk, change.result) != new:
                raise Fault(f"{where}: the next attempt ends with another map")
        if not change.goes_on and disk.names != names:
            raise Fault(f"{where}: something is left: {sorted(set(disk.names) ^ set(names))}")
        counts[end.partition(":")[0]] += 1


def _work(change: Change, disk: Disk) -> tuple[str, int]:
    """Does a change in a child process. Returns how it ended, and the most bytes that it took."""
    free = disk.free_bytes
    watcher = os.fork()
    if watcher == 0:  # its end is the fewest free bytes, written to a file outside of the disk
        least, stop = free, False

        def end(*_: object) -> None:
            nonlocal stop
            stop = True

        signal.signal(signal.SIGTERM, end)
        start = time.monotonic()
        while not stop and time.monotonic() < start + 2 * LIMIT_S:
            least = min(least, disk.free_bytes)
            time.sleep(0.002)
        (disk.folder.parent / "least").write_text(str(least))
        os._exit(0)
    try:
        ended = in_child(lambda: change.work(disk.work))
    finally:
        os.kill(watcher, signal.SIGTERM)
        os.waitpid(watcher, 0)
    return ended, free - int((disk.folder.parent / "least").read_text())


def _digest(disk: Disk, name: str) -> str:
    """Returns a digest of what a map holds. Raises Fault where it cannot be read."""
    if not name:
        return ""
    file = disk.folder.parent / "digest"

    def check() -> None:
        file.write_text(hashlib.sha256(repr(read_map(disk.work / name)).encode()).hexdigest())

    end = in_child(check)
    if end != "done":
        raise Fault(end)
    return file.read_text()


def main(arguments: list[str] | None = None) -> int:
    """Runs the changes, prints a table, returns the number of those with a fault, or `NOT_POSSIBLE`."""
    parser = argparse.ArgumentParser(description="Fills the disk while maps are changed.")
    parser.add_argument("--change", choices=CHANGES, action="append", help="only this one; may be repeated")
    parser.add_argument("--rooms", type=int, default=10, help="full disks for each change")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args(arguments)
    if INSIDE not in os.environ:
        apart = ["unshare", "--user", "--map-root-user", "--mount"]
        if (
            shutil.which("unshare") is None
            or subprocess.run([*apart, "true"], capture_output=True).returncode
        ):
            print("this system lets no user mount a file system", flush=True)
            return NOT_POSSIBLE
        command = [*apart, sys.executable, "-m", "fuzz.full_disk", *sys.argv[1:]]
        return subprocess.run(command, env={**os.environ, INSIDE: "1"}, check=False).returncode
    faults = 0
    with tempfile.TemporaryDirectory(prefix="full-disk-") as folder:
        template = Path(folder, "template")
        template.mkdir()
        end = in_child(lambda: prepare(template))
        if end != "done":
            raise Fault(end)
        with small_disk(Path(folder, "disk")) as mounted:
            disk = Disk(mounted, template)
            for name in options.change or CHANGES:
                counts: Counter[str] = Counter()
                fault = ""
                try:
                    run_change(CHANGES[name], options.rooms, Random(options.seed), disk, counts)
                except Fault as found:
                    faults, fault = faults + 1, f"FAULT {found}"
                ends = ", ".join(f"{count} {end}" for end, count in counts.items())
                print(f"{name:14} {ends} {fault}", flush=True)
    return faults


if __name__ == "__main__":
    sys.exit(main())
