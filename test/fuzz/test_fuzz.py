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

"""Damaged inputs of every kind are read, or refused in one sentence: a few of those of `make fuzz`."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from random import Random

import pytest
from fuzz.full_disk import NOT_POSSIBLE
from fuzz.inputs import KINDS
from fuzz.mutations import damage

TEST = Path(__file__).parents[1]
CASES = 5
NAMES = list(KINDS)
GROUPS = [tuple(NAMES[i : i + 7]) for i in range(0, len(NAMES), 7)]


def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a program in a process of its own, which has no threads while it forks."""
    paths = os.pathsep.join([str(TEST.parent), str(TEST), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths}
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)


@cache
def table_of(kinds: tuple[str, ...]) -> str:
    """Returns the table of some kinds of input, from one process, since its libraries take longest."""
    named = [argument for kind in kinds for argument in ("--kind", kind)]
    done = run("fuzz.harness", *named, "--cases", f"0:{CASES}")
    return done.stdout + done.stderr[-2000:]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "group"), [(kind, group) for group in GROUPS for kind in group])
def test_a_damaged_input_is_read_or_refused_in_one_sentence(kind: str, group: tuple[str, ...]) -> None:
    table = table_of(group)
    rows = [line for line in table.splitlines() if line.startswith(f"{kind:24}{CASES:8}")]
    assert [row.endswith("  none") for row in rows] == [True], table


@pytest.mark.slow
@pytest.mark.parametrize("writer", ["map", "bag"])
def test_a_writer_that_is_killed_or_has_no_room_completes_its_work_in_the_next_run(writer: str) -> None:
    done = run("fuzz.interruptions", "--writer", writer, "--kills", "1", "--limits", "1")
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert writer in done.stdout


@pytest.mark.slow
def test_a_full_disk_leaves_the_map_whole_and_blocks_no_later_change() -> None:
    done = run("fuzz.full_disk", "--change", "merge", "--rooms", "1", "--seed", "1")
    if done.returncode == NOT_POSSIBLE:
        pytest.skip("no file system can be mounted here")
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "merge          1 refused" in done.stdout


def test_the_same_seed_damages_a_file_in_the_same_way(tmp_path: Path) -> None:
    sound, contents = b"1.5 2.5 3.5\n" * 20, set()
    for seed in range(20):
        files = [tmp_path / f"{seed}{name}" / "poses.txt" for name in ("first", "second")]
        for file in files:
            file.parent.mkdir()
            file.write_bytes(sound)
        first, second = (damage([file], Random(seed)) for file in files)
        assert first == second
        if all(file.is_file() for file in files):
            assert files[0].read_bytes() == files[1].read_bytes()
            contents.add(files[0].read_bytes())
    assert len(contents - {sound}) > 10
