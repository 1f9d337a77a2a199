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

"""Progress where the output is no terminal."""

from __future__ import annotations

import pytest

from scene_geo_loc.cli.options import progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that progress sees, in seconds; tests move it."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_lines_tell_how_many_how_fast_and_how_long(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with progress.progress("driving") as on_progress:
        clock[0] += 20.0  # getting ready does not count
        for done in range(1, 14):
            on_progress(done, 40)
            clock[0] += 1.0
    assert capsys.readouterr().err.splitlines() == [
        "driving: ...",
        "driving: 2/40 (1.0 frames/s, 38 s left)",
        "driving: 7/40 (1.0 frames/s, 33 s left)",
        "driving: 12/40 (1.0 frames/s, 28 s left)",
        "driving: 13 frames in 33.0 s",
    ]


def test_items_pass_through_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress.track("abc", 3, "spelling", "letters")) == ["a", "b", "c"]
    assert "spelling: 3 letters in" in capsys.readouterr().err
