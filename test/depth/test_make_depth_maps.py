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

"""Making depth maps: in one run, in parts, after an interruption, and without lidar."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from lidar_room import LidarRoom

from scene_geo_loc.core.errors import SceneGeoLocError, TraversalError
from scene_geo_loc.depth.depth_maps import DepthMaps
from scene_geo_loc.depth.lidar_views import choose_window
from scene_geo_loc.depth.make_depth_maps import make_depth_maps
from scene_geo_loc.depth.window import SPINNING, ScanWindow
from scene_geo_loc.traversals.opening import open_traversal

pytestmark = pytest.mark.slow

NARROW = ScanWindow(0.05, 0.05)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def test_any_number_of_workers_makes_the_same_files(tmp_path: Path) -> None:
    for workers in (1, 2):
        make_depth_maps(LidarRoom(5), tmp_path / str(workers), SPINNING, workers=workers)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    assert len(contents(tmp_path / "1")) == 6


def test_a_run_that_was_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    make_depth_maps(LidarRoom(6), tmp_path / "whole", SPINNING, workers=1)

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_depth_maps(LidarRoom(6), tmp_path / "maps", SPINNING, workers=1, on_progress=stop)
    with pytest.raises(SceneGeoLocError, match="unfinished"):
        DepthMaps.load(tmp_path / "maps")
    with (tmp_path / "maps" / "index.partial.jsonl").open("a") as journal:
        journal.write('{"stamp_ns": 17, "ima')  # the line that was being written
    before = contents(tmp_path / "maps")
    done = make_depth_maps(LidarRoom(6), tmp_path / "maps", SPINNING, workers=1)
    assert (done.made, done.kept) == (3, 3)
    after = contents(tmp_path / "maps")
    assert after == contents(tmp_path / "whole")
    assert sum(after.get(name) == data for name, data in before.items()) == 3


def test_maps_that_are_there_are_kept_and_lost_ones_made_again(tmp_path: Path) -> None:
    make_depth_maps(LidarRoom(4), tmp_path / "maps", SPINNING, workers=1)
    before = contents(tmp_path / "maps")
    lost = sorted(name for name in before if name.endswith(".png"))[1]
    (tmp_path / "maps" / lost).unlink()
    done = make_depth_maps(LidarRoom(4), tmp_path / "maps", SPINNING, workers=1)
    assert (done.made, done.kept) == (1, 3)
    assert contents(tmp_path / "maps") == before


def test_a_longer_part_adds_to_a_shorter_one(data_dir: Path, tmp_path: Path) -> None:
    source = data_dir / "kitti_lidar_camera"
    first = open_traversal(source, end=0.1)
    make_depth_maps(first, tmp_path / "maps", NARROW, workers=1)
    done = make_depth_maps(open_traversal(source, end=0.3), tmp_path / "maps", NARROW, workers=1)
    assert (done.made, done.kept) == (2, 2)
    maps = DepthMaps.load(tmp_path / "maps")
    assert maps.maps[0].image.startswith("image_02/")
    assert 0.2 < np.isfinite(maps.depth(3)).mean() < 0.8


def test_images_without_scans_or_a_pose_are_left_out_and_counted(tmp_path: Path) -> None:
    room = LidarRoom(8, blind=(1,), scanned=range(5))
    done = make_depth_maps(room, tmp_path / "maps", NARROW, workers=1)
    assert done.made == 4
    assert done.skipped.counts == {"images without a pose": 1, "images without scans around them": 3}


def test_a_source_without_scans_is_told() -> None:
    with pytest.raises(TraversalError, match="no lidar scans"):
        choose_window(LidarRoom(3, scanned=range(0)))


def test_a_source_of_which_no_image_can_be_used_is_told(tmp_path: Path) -> None:
    room = LidarRoom(3, blind=(0, 1, 2))
    with pytest.raises(SceneGeoLocError, match=r"no depth map can be made \(3 images without a pose\)"):
        make_depth_maps(room, tmp_path / "maps", SPINNING, workers=1)
    assert contents(tmp_path / "maps") == {}


def test_maps_of_another_window_are_not_mixed(tmp_path: Path) -> None:
    make_depth_maps(LidarRoom(2), tmp_path / "maps", SPINNING, workers=1)
    with pytest.raises(SceneGeoLocError, match="another window"):
        make_depth_maps(LidarRoom(2), tmp_path / "maps", NARROW, workers=1)


def test_maps_for_other_poses_are_not_kept(tmp_path: Path) -> None:
    make_depth_maps(LidarRoom(2), tmp_path / "maps", SPINNING, workers=1)
    with pytest.raises(SceneGeoLocError, match="other poses"):
        make_depth_maps(LidarRoom(2, offset_y=0.5), tmp_path / "maps", SPINNING, workers=1)


def test_a_folder_of_something_else_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SceneGeoLocError, match="holds no depth maps"):
        make_depth_maps(LidarRoom(2), tmp_path, SPINNING, workers=1)
    assert contents(tmp_path) == {"notes.txt": b"mine"}


def test_a_damaged_journal_is_told(tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "index.partial.jsonl").write_text("nonsense\n")
    with pytest.raises(SceneGeoLocError, match="damaged"):
        make_depth_maps(LidarRoom(2), tmp_path / "maps", SPINNING, workers=1)


def test_progress_counts_what_is_there_already(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    make_depth_maps(
        LidarRoom(3), tmp_path / "maps", SPINNING, workers=1, on_progress=lambda *n: told.append(n)
    )
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_the_index_names_window_and_source(tmp_path: Path) -> None:
    make_depth_maps(LidarRoom(2), tmp_path / "maps", SPINNING, workers=1)
    index = json.loads((tmp_path / "maps" / "index.json").read_text())
    assert index["source"] == "a room"
    assert index["window"] == {"before_s": 1.0, "after_s": 2.0, "occluder_m": 0.0}
