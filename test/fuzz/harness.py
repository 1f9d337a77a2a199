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

"""Reads damaged inputs in processes of their own: each must be read, or refused in one sentence.

python -m fuzz.harness --minutes 60 --seed 7        # as `make fuzz` does
python -m fuzz.harness --kind bag --cases 1812:1813 # one case again
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import os
import pickle
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

# Before NumPy, torch and Arrow are imported: a process that forks must have no threads of its own, since a
# child that finds a lock or a memory pool of theirs half way through something hangs or crashes now and then.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", ARROW_DEFAULT_MEMORY_POOL="system")

LIMIT_S = 10
"""Processor time, and ten times as much time by the clock, that a small input may take."""
LIMIT_BYTES = 3 << 30
"""Memory that a small input may take, besides that of a process that has read the sound one."""
LONGEST_MESSAGE = 1500
"""Characters of a message that lists all known formats, and a little more."""
LINES = 3
"""Calls of a traceback that are printed."""


@dataclass(frozen=True)
class Outcome:
    """How the reading of a damaged input ended.

    Attributes:
        name: "read", "refused", or else a fault: "traceback", "changed unnoticed", "hang", "memory", "crash",
            "long message".
        detail: what was done to the input, and the message.
    """

    name: str
    detail: str

    @property
    def is_fault(self) -> bool:
        """True if the outcome shows a defect of the package."""
        return self.name not in ("read", "refused")


def run_case(name: str, sound: Path, folder: Path, seed: int, expected: object) -> Outcome:
    """Damages a copy of a sound input as a seed says, and reads it in a child process."""
    from fuzz.inputs import KINDS
    from fuzz.mutations import damage

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    copy = folder / sound.name
    shutil.copytree(sound, copy) if sound.is_dir() else shutil.copy(sound, copy)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    done = damage(files, Random(seed))
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(readable)
        outcome = _read(KINDS[name].read, copy, expected)
        os.write(writable, "\0".join(outcome).encode(errors="replace")[:60_000])
        os._exit(0)
    os.close(writable)
    with os.fdopen(readable, "rb") as pipe:
        answer = pipe.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        fault = "hang" if number in (signal.SIGALRM, signal.SIGXCPU) else "crash"
        return Outcome(fault, f"{done}: {signal.Signals(number).name}")
    end, _, message = answer.partition("\0")
    return Outcome(end or "crash", f"{done}: {message}")


def _read(read, path: Path, expected: object) -> tuple[str, str]:  # type: ignore[no-untyped-def]
    from scene_geo_loc.core.errors import SceneGeoLocError

    faulthandler.enable()  # says where a crash happened
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(10 * LIMIT_S)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + LIMIT_BYTES,) * 2)
    cpu = int(time.process_time()) + LIMIT_S
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))
    try:
        found = read(path)
    except SceneGeoLocError as error:
        message = str(error)
        return ("refused" if len(message) < LONGEST_MESSAGE else "long message"), message[:300]
    except MemoryError:
        return "memory", traceback.format_exc(limit=-LINES, chain=False)
    except BaseException:
        return "traceback", traceback.format_exc(limit=-LINES, chain=False)
    return ("read", "") if found == expected else ("changed unnoticed", "another pose, camera or point")


def _write_and_read(name: str, sound: Path, answer: Path) -> object:
    """Writes a sound input and returns what it holds, from a child process, whose threads end with it.

    The libraries that the child needed are imported here as well, so that the children that follow have them.
    """
    from fuzz.inputs import KINDS

    child = os.fork()
    if child == 0:
        status = 1
        try:
            KINDS[name].write(sound)
            found = KINDS[name].read(sound)
            imported = [module for module, contents in sys.modules.items() if contents]
            answer.write_bytes(pickle.dumps((found, imported)))
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if status:
        raise RuntimeError(f"the sound input of {name} is not read: wait status {status}")
    expected, modules = pickle.loads(answer.read_bytes())
    for module in modules:
        if module not in sys.modules:
            with suppress(Exception):  # a name that a library made up
                importlib.import_module(module)
    return expected


def run_kind(name: str, cases: Iterator[int], until: float) -> Iterator[tuple[int, Outcome]]:
    """Yields the outcomes of the cases of a kind of input until a time of the monotonic clock."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        sound = Path(folder, "sound", "input")
        sound.parent.mkdir()
        expected = _write_and_read(name, sound, Path(folder, "answer"))
        for case in cases:
            if time.monotonic() >= until:
                return
            yield case, run_case(name, sound, Path(folder, "case"), case, expected)


def main(arguments: list[str] | None = None) -> int:
    """Runs the cases, prints faults as they come and a table, and returns the number of faults."""
    from fuzz.inputs import KINDS

    parser = argparse.ArgumentParser(description="Reads damaged inputs of every kind.")
    parser.add_argument("--kind", choices=KINDS, action="append", help="only this kind; may be repeated")
    parser.add_argument("--cases", default="", help="numbers FIRST:END of the cases of each kind")
    parser.add_argument("--minutes", type=float, default=1e9, help="when to stop, whatever is left")
    parser.add_argument("--seed", type=int, default=0, help="first case, where none are given")
    options = parser.parse_args(arguments)
    first, _, end = options.cases.partition(":")
    kinds, faults = options.kind or list(KINDS), 0
    until = time.monotonic() + 60 * options.minutes
    print(f"{'kind':24}{'cases':>8}{'read':>8}{'refused':>9}  faults", flush=True)
    for i, name in enumerate(kinds):
        share = time.monotonic() + (until - time.monotonic()) / (len(kinds) - i)
        cases = range(int(first or options.seed), int(end) if end else sys.maxsize)
        counts: Counter[str] = Counter()
        for case, outcome in run_kind(name, iter(cases), share):
            counts[outcome.name] += 1
            if outcome.is_fault:
                faults += 1
                print(f"{name} case {case}: {outcome.name}: {outcome.detail}", flush=True)
        found = ", ".join(f"{count} {end}" for end, count in counts.items() if end not in ("read", "refused"))
        total = sum(counts.values())
        print(f"{name:24}{total:8}{counts['read']:8}{counts['refused']:9}  {found or 'none'}", flush=True)
    return min(faults, 99)


if __name__ == "__main__":
    sys.exit(main())
