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

"""Work spread over processes."""

from __future__ import annotations

import operator
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.core.parallel import ordered_map

pytestmark = pytest.mark.slow

WAITS = """
import sys, time
from scene_geo_loc.core.parallel import ordered_map
if __name__ == "__main__":
    with ordered_map(time.sleep, iter([0, 600]), workers=2) as results:
        next(results)
        print("waiting", flush=True)
        next(results)
"""


def counted(taken: list[int]) -> Iterator[int]:
    for i in range(100):
        taken.append(i)
        yield i


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order_and_jobs_are_taken_as_they_are_needed(workers: int) -> None:
    taken: list[int] = []
    with ordered_map(operator.neg, counted(taken), workers) as results:
        assert [next(results) for _ in range(5)] == [0, -1, -2, -3, -4]
        assert len(taken) <= 5 + 2 * workers
        assert list(results) == [-i for i in range(5, 100)]


def test_a_killed_worker_is_one_error() -> None:
    with (
        pytest.raises(SceneGeoLocError, match="fewer workers"),
        ordered_map(os._exit, iter([1]), 2) as results,
    ):
        next(results)


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "waits.py"
    script.write_text(WAITS)
    parent = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"waiting\n"
    parent.kill()
    # The workers hold the other end of the pipe as long as they live.
    assert parent.stdout.read() == b""
    parent.wait()
