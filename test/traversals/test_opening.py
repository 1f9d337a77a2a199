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

"""Formats as plug-ins, and opening a source."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from trees import kitti_odometry, rgbd

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.traversals.formats import FORMATS, OPTIONS, Content, Format, load_format
from scene_geo_loc.traversals.opening import open_traversal


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_declares_what_its_reader_takes(name: str, tmp_path: Path) -> None:
    format = load_format(name)
    taken = {option for option in OPTIONS if option in inspect.signature(format.open).parameters}
    assert taken <= set(format.options) <= set(OPTIONS)
    for option in format.options:
        inspect.signature(format.open).bind(tmp_path, **{option: None})
    assert format.layout
    assert format.content
    (tmp_path / "notes.txt").write_text("no source")
    assert not format.recognise(tmp_path / "notes.txt")
    assert not format.recognise(tmp_path)
    assert not format.recognise(tmp_path / "elsewhere")


def test_a_new_format_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = load_format("rgbd")
    module = "scene_geo_loc.traversals.datasets.rgbd_folder"
    monkeypatch.setitem(FORMATS, "mine", "datasets.rgbd_folder:MINE")
    mine = Format("a file called mine", lambda path: (path / "mine").is_file(), reader.open, [Content.POSES])
    monkeypatch.setattr(sys.modules[module], "MINE", mine, raising=False)
    (rgbd(tmp_path) / "mine").write_text("")
    assert len(open_traversal(tmp_path, "mine")) == 4
    with pytest.raises(TraversalError, match=r"mine takes no split.*none of them"):
        open_traversal(tmp_path, "mine", split="test")
    with pytest.raises(TraversalError, match=r"(?s)not recognised.*mine: a file called mine"):
        open_traversal(tmp_path / "images")


def test_what_a_format_never_has_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(TraversalError, match=r"rgbd has no lidar scans; take one of rosbag, .*kitti"):
        open_traversal(rgbd(tmp_path / "office"), needs=Content.LIDAR)
    assert len(open_traversal(kitti_odometry(tmp_path), needs=Content.LIDAR))


def test_the_names_of_the_formats_cost_the_command_line_nothing() -> None:
    code = "import sys, scene_geo_loc.traversals.formats; print({'numpy', 'cv2'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
