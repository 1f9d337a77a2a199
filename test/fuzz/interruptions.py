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

"""Ends writers at random moments, by SIGKILL or a full disk: the next run completes the work.

python -m fuzz.interruptions --kills 50 --limits 20    # of each kind of writer
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from fuzz.inputs import read_depth_maps as open_depth_maps
from fuzz.inputs import read_frames, read_map
from fuzz.inputs import read_pack as open_pack

LIMIT_S = 240
"""Longest time of a writer, on a busy machine."""


@dataclass(frozen=True)
class Writer:
    """Something that writes an output which takes a while.

    Attributes:
        name: its name in reports.
        prepare: writes its input into a folder.
        write: writes the output at a path from the input in a folder, or completes it.
        check: reads a complete output; what it returns is the same however often it was interrupted.
        is_aside: whether the output gets its name when it is complete, rather than growing in place.
    """

    name: str
    prepare: Callable[[Path], object]
    write: Callable[[Path, Path], object]
    check: Callable[[Path], object]
    is_aside: bool = True


def _nothing(folder: Path) -> None:
    folder.mkdir()


def _build_map(source: Path, out: Path) -> None:
    from room import Room

    from scene_geo_loc.mapping.builder import BuilderSettings, MapBuilder

    builder = MapBuilder(out, BuilderSettings(keyframe_distance_m=0.2), device="cpu")
    for frame in Room().drive():
        builder.add_frame(frame)
    builder.finish()


def _make_depth_maps(source: Path, out: Path) -> None:
    from lidar_room import LidarRoom

    from scene_geo_loc.depth.make_depth_maps import make_depth_maps
    from scene_geo_loc.depth.window import SPINNING

    make_depth_maps(LidarRoom(4), out, SPINNING, workers=1)


def _write_pictures(folder: Path) -> None:
    from pictures import write_pictures

    write_pictures(folder, 40)


def _make_pack(source: Path, out: Path) -> None:
    from pictures import readers_for

    from scene_geo_loc.packs.chunks import Picture
    from scene_geo_loc.packs.packing import make_pack

    names = [f"{i:04d}" for i in range(40)]
    pictures = [Picture(name, source / f"{name}.png", source / f"{name}.depth.png") for name in names]
    make_pack(out, pictures, lambda: readers_for(pictures), workers=1, source="pictures")


def _write_bag(folder: Path) -> None:
    from drive import write_drive

    write_drive(folder, images=range(40), depth=True)


def _convert(source: Path, out: Path) -> None:
    from scene_geo_loc.traversals.opening import open_traversal
    from scene_geo_loc.traversals.rosbag.convert import convert

    convert(open_traversal(source), out)


def _train(source: Path, out: Path) -> None:
    from tiny_training import tiny_loop

    tiny_loop(out).run()


def _read_weights(out: Path) -> object:
    from scene_geo_loc.networks.checkpoint import read_tensors

    weights = read_tensors(out / "checkpoints" / "last.safetensors")
    return {name: values.tobytes() for name, values in sorted(weights.items())}


WRITERS = {
    writer.name: writer
    for writer in (
        Writer("map", _nothing, _build_map, read_map),
        Writer("depth-maps", _nothing, _make_depth_maps, open_depth_maps, is_aside=False),
        Writer("pack", _write_pictures, _make_pack, open_pack),
        Writer("bag", _write_bag, _convert, read_frames),
        Writer("training", _nothing, _train, _read_weights, is_aside=False),
    )
}
"""The writers by their names."""


class Fault(Exception):
    """Something was lost, or ended in another way than in one sentence."""


def in_child(work: Callable[[], object], kill_after_s: float | None = None, bytes_limit: int = 0) -> str:
    """Does work in a child process; returns "done", "killed", or a sentence of the package.

    Args:
        kill_after_s: when to end it by SIGKILL.
        bytes_limit: most bytes of a file that it can write, as if the disk were full; 0 for no limit.

    Raises Fault where it ends in another way.
    """
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(readable)
        os.write(writable, _attempt(work, bytes_limit).encode(errors="replace")[:4000])
        os._exit(0)
    os.close(writable)
    if kill_after_s is None:
        message = _answer(readable, child, LIMIT_S)
        if not message:
            raise Fault("the process ended without an answer: it crashed, or took too long")
        return message
    time.sleep(kill_after_s)
    os.kill(child, signal.SIGKILL)
    return _answer(readable, child, LIMIT_S) or "killed"


def _attempt(work: Callable[[], object], bytes_limit: int) -> str:
    from scene_geo_loc.core.errors import SceneGeoLocError

    if bytes_limit:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_limit, resource.RLIM_INFINITY))
    with open(os.devnull, "w") as quiet:
        os.dup2(quiet.fileno(), 1)
        os.dup2(quiet.fileno(), 2)
    try:
        work()
    except SceneGeoLocError as error:
        return f"refused: {error}"
    except BaseException:
        return f"fault: {traceback.format_exc(limit=-3, chain=False)}"
    return "done"


def _answer(readable: int, child: int, limit_s: float) -> str:
    signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    signal.alarm(int(limit_s))
    with os.fdopen(readable, "rb") as pipe:
        message = pipe.read().decode(errors="replace")
    os.waitpid(child, 0)
    signal.alarm(0)
    if message.startswith("fault"):
        raise Fault(message)
    return message


def run_writer(writer: Writer, kills: int, limits: int, random: Random, counts: Counter[str]) -> None:
    """Interrupts a writer at random moments and lets it complete its work each time. Raises Fault."""
    with tempfile.TemporaryDirectory(prefix="interruptions-") as folder:
        source, out = Path(folder, "source"), Path(folder, "work", "out")
        writer.prepare(source)
        out.parent.mkdir()
        start = time.monotonic()
        _complete(writer, source, out)
        spent_s = time.monotonic() - start
        expected = _checked(writer, out)
        largest = max(file.stat().st_size for file in out.rglob("*") if file.is_file())
        plans = [("killed", random.uniform(0.0, spent_s), 0) for _ in range(kills)]
        plans += [("full", None, random.randint(1, largest)) for _ in range(limits)]
        for name, after_s, limit in plans:
            shutil.rmtree(out.parent)
            out.parent.mkdir()
            end = in_child(lambda: writer.write(source, out), after_s, limit)
            where = f"{writer.name} {name} after {after_s} s, {limit} bytes: {end}"
            if out.exists() and end != "done" and writer.is_aside:
                try:
                    whole = _checked(writer, out) == expected
                except Fault as fault:
                    raise Fault(f"{where}: the output has its name and is damaged ({fault})") from fault
                if not whole:
                    raise Fault(f"{where}: the output has its name and is not complete")
                counts[f"{name} when complete"] += 1
                continue
            if end != "done":
                _complete(writer, source, out)
            if _checked(writer, out) != expected:
                raise Fault(f"{where}: another output than without the interruption")
            if [path for path in out.parent.iterdir() if path != out]:
                raise Fault(f"{where}: something is left beside the output: {os.listdir(out.parent)}")
            counts[name if end != "done" else f"{name} too late"] += 1


def _complete(writer: Writer, source: Path, out: Path) -> None:
    end = in_child(lambda: writer.write(source, out))
    if end != "done":
        raise Fault(f"{writer.name} is not completed: {end}")


def _checked(writer: Writer, out: Path) -> str:
    """Returns a digest of what a check returns, computed in a child, which starts threads of libraries."""
    import hashlib

    file = out.parent.parent / "digest"

    def check() -> None:
        file.write_text(hashlib.sha256(repr(writer.check(out)).encode()).hexdigest())

    end = in_child(check)
    if end != "done":
        raise Fault(f"the output cannot be read: {end}")
    return file.read_text()


def main(arguments: list[str] | None = None) -> int:
    """Runs the writers, prints a table, and returns the number of those with a fault."""
    parser = argparse.ArgumentParser(description="Ends writers at random moments.")
    parser.add_argument("--writer", choices=WRITERS, action="append", help="only this one; may be repeated")
    parser.add_argument("--kills", type=int, default=50, help="SIGKILLs of each writer")
    parser.add_argument("--limits", type=int, default=20, help="full disks of each writer")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args(arguments)
    faults = 0
    for name in options.writer or WRITERS:
        counts: Counter[str] = Counter()
        fault = ""
        try:
            run_writer(WRITERS[name], options.kills, options.limits, Random(options.seed), counts)
        except Fault as found:
            faults, fault = faults + 1, f"FAULT {found}"
        print(f"{name:12} {', '.join(f'{count} {end}' for end, count in counts.items())} {fault}", flush=True)
    return faults


if __name__ == "__main__":
    sys.exit(main())
