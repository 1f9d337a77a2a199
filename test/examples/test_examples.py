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

"""The programs in examples/, started as a user would, on synthetic data."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest
from room import Room, write_rgbd

from scene_geo_loc import matchers

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str, *arguments: object) -> None:
    """Runs an example in this process, with these arguments on its command line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")


@pytest.fixture(scope="module")
def office(room: Room, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of RGB-D frames."""
    return write_rgbd(tmp_path_factory.mktemp("examples") / "office", room, offset_y=0.0)


@pytest.fixture(scope="module")
def evening(room: Room, office: Path) -> Path:
    """Frames of another way through the same room."""
    return write_rgbd(office.with_name("evening"), room, offset_y=0.1, count=4)


@pytest.fixture(scope="module")
def office_map(office: Path) -> Path:
    """The map that the first example builds."""
    out = office.with_name("office_map")
    run("build_map.py", office, out)
    return out


def test_a_map_is_built_from_a_folder(office_map: Path) -> None:
    assert (office_map / "map.json").is_file()


def test_an_image_is_localized_with_one_readable_line(
    office_map: Path, evening: Path, room: Room, capsys: pytest.CaptureFixture[str]
) -> None:
    run("localize_image.py", office_map, evening / "images" / "1.png", "--focal-length", room.camera.fx)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("localized at")


def test_errors_are_printed_for_frames_with_known_poses(
    office_map: Path, evening: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("evaluate.py", office_map, evening)
    printed = capsys.readouterr().out
    assert "4 of 4 images localized" in printed
    median = re.search(r"median error ([\d.]+) cm", printed)
    assert median is not None
    assert float(median[1]) < 5


def test_a_map_is_built_and_matched_by_features_of_ones_own(
    office: Path,
    evening: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(matchers, "MATCHERS", dict(matchers.MATCHERS))  # the example adds its own
    run("own_matcher.py", office, tmp_path / "orb_map", evening)
    lines = capsys.readouterr().out.splitlines()
    assert sum(": localized at" in line for line in lines) == 4


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_every_example_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(name, "--help")
    assert f"python examples/{name}" in capsys.readouterr().out
