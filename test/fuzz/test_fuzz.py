"""Damaged inputs of every kind are read, or refused in one sentence: a few of those of `make fuzz`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from fuzz.inputs import KINDS
from fuzz.mutations import damage

TEST = Path(__file__).parents[1]
CASES = 15


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_input_is_read_or_refused_in_one_sentence(kind: str) -> None:
    # In a process of its own, which has no threads while it forks.
    command = [sys.executable, "-m", "fuzz.harness", "--kind", kind, "--cases", f"0:{CASES}"]
    paths = os.pathsep.join([str(TEST.parent), str(TEST), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert f"{kind:24}{CASES:8}" in done.stdout


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
