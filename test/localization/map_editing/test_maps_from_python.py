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

"""Maps are aligned, extended, merged, pruned and split by functions as by the commands."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from room import Room

from scene_geo_loc.core.errors import MapError, SceneGeoLocError
from scene_geo_loc.core.progress import ProgressCallback, no_display
from scene_geo_loc.geometry.pose import make_pose, position_error_m
from scene_geo_loc.geometry.rotation import matrix_of_vector
from scene_geo_loc.localization.map_editing import splitting
from scene_geo_loc.localization.map_editing.alignment import AlignedMap, align_map
from scene_geo_loc.localization.map_editing.extension import extend_map
from scene_geo_loc.localization.map_editing.merging import merge_maps
from scene_geo_loc.localization.map_editing.pruning import prune_map
from scene_geo_loc.localization.map_editing.splitting import split_map
from scene_geo_loc.localization.map_growth.settings import GrowthSettings
from scene_geo_loc.mapping.alignment.moved_map import write_moved_map
from scene_geo_loc.mapping.builder import BuilderSettings, MapBuilder
from scene_geo_loc.mapping.editing.comparison import compare_maps
from scene_geo_loc.mapping.reference_map import ReferenceMap

T_OWN_MAP = make_pose(matrix_of_vector(np.array([0.0, 0.0, 1.2])), (30.0, -5.0, 2.0))
AHEAD, BACK = 7, 3


@pytest.fixture(scope="module")
def later(room: Room, room_map: Path, tmp_path_factory: pytest.TempPathFactory) -> ReferenceMap:
    """A later drive that looks where the map does, and then at the other wall, built like the map."""
    out = tmp_path_factory.mktemp("later") / "map"
    settings, like = BuilderSettings(keyframe_distance_m=0.1), ReferenceMap.open(room_map)
    builder = MapBuilder(out, settings, source="later drive", like=like, device="cpu")
    for frame in room.drive(AHEAD, offset_y=0.3):
        builder.add_frame(replace(frame, stamp_ns=frame.stamp_ns + 10**13))
    for i in range(BACK):
        builder.add_frame(room.frame(-1.0, -0.6, 150.0 + 20.0 * i, 2 * 10**13 + 10**8 * i))
    return ReferenceMap.open(builder.finish())


@pytest.fixture(scope="module")
def in_own_frame(later: ReferenceMap) -> ReferenceMap:
    """The same, in a frame of its own."""
    write_moved_map(later, later.path.with_name("own"), T_OWN_MAP)
    return ReferenceMap.open(later.path.with_name("own"))


def test_a_map_is_aligned_with_another(
    room_map: Path, later: ReferenceMap, in_own_frame: ReferenceMap, tmp_path: Path
) -> None:
    told: list[AlignedMap] = []
    target = ReferenceMap.open(room_map)
    aligned = align_map(in_own_frame, target, tmp_path / "aligned", on_aligned=told.append)
    assert told == [aligned]
    assert 5 <= aligned.found < aligned.keyframes == len(later)
    assert aligned.values["localized"] == aligned.found
    assert aligned.values["residual_m"] < 0.05
    assert str(aligned).startswith(f"{aligned.found} of {len(later)} keyframes are found in {room_map};")
    written = ReferenceMap.open(tmp_path / "aligned")
    off_m = [position_error_m(*pair) for pair in zip(written.T_map_camera, later.T_map_camera, strict=True)]
    assert max(off_m) < 0.1


def test_without_a_folder_an_alignment_is_only_told(
    room_map: Path, in_own_frame: ReferenceMap, tmp_path: Path
) -> None:
    target = ReferenceMap.open(room_map)
    assert align_map(in_own_frame, target).aligned.T_map_camera.shape == (len(in_own_frame), 4, 4)
    with pytest.raises(MapError, match="Both maps move"):
        align_map(in_own_frame, target, move_target=tmp_path / "target")


def test_a_map_is_extended_by_what_it_does_not_find(
    room_map: Path, later: ReferenceMap, in_own_frame: ReferenceMap, tmp_path: Path
) -> None:
    with pytest.raises(MapError, match="another frame"):
        extend_map(room_map, in_own_frame, tmp_path / "none")
    with pytest.raises(MapError, match="have no effect"):
        extend_map(room_map, later, tmp_path / "none", growth=GrowthSettings(max_std_m=0.1))
    said: list[str] = []
    steps: list[str] = []

    def display(title: str, unit: str) -> AbstractContextManager[ProgressCallback]:
        steps.append(title)
        return no_display(title, unit)

    extended = extend_map(room_map, later, tmp_path / "larger", display=display, say=said.append)
    before = len(ReferenceMap.open(room_map))
    assert extended.map is not None
    assert len(extended.map) == before + extended.added
    assert (extended.asked, extended.found + extended.added) == (len(later), len(later))
    assert BACK <= extended.added < len(later) - 3
    assert steps == [f"localizing the drive in {room_map}", "writing"]
    assert len(said) == 1
    assert said[0].startswith(f"{extended.found} of {len(later)} keyframes of later drive are found")
    assert str(extended) == (
        f"{tmp_path / 'larger'}: {before + extended.added} keyframes, {extended.added} of them new"
    )
    again = extend_map(tmp_path / "larger", later, tmp_path / "largest")
    assert (again.map, again.added, again.found) == (None, 0, len(later))
    assert not (tmp_path / "largest").exists()


@pytest.mark.slow
def test_maps_are_merged_pruned_and_split(room_map: Path, later: ReferenceMap, tmp_path: Path) -> None:
    with pytest.raises(SceneGeoLocError, match="Two maps or more"):
        merge_maps([room_map], tmp_path / "none")
    merged = merge_maps([room_map, later.path], tmp_path / "merged")
    assert [drive.keyframes for drive in merged.info.all_drives][1] == len(later)
    parts = split_map(merged, tmp_path / "parts")
    assert compare_maps(parts[1], later).added == compare_maps(parts[1], later).removed == 0
    with pytest.raises(SceneGeoLocError, match="Name the budget"):
        prune_map(merged.path, tmp_path / "none")
    pruned = prune_map(merged.path, tmp_path / "small", keyframes=9)
    assert len(pruned.map) <= 9 < pruned.before == len(merged)
    assert pruned.recall.asked == len(merged) - len(pruned.map)
    assert pruned.useless is None
    assert not (tmp_path / "none").exists()


def test_nothing_is_left_of_a_split_that_ends_early(
    later: ReferenceMap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = splitting.write_combination
    done: list[Path] = []

    def interrupted(*arguments: Any, **options: Any) -> ReferenceMap:
        if done:
            raise KeyboardInterrupt
        done.append(arguments[1])
        return written(*arguments, **options)

    monkeypatch.setattr(splitting, "write_combination", interrupted)
    with pytest.raises(KeyboardInterrupt):
        split_map(later, tmp_path / "tiles", tile_m=1.0)
    assert done
    assert not list(tmp_path.iterdir())


def test_pruning_into_a_folder_that_exists_is_refused_before_the_map_is_measured(
    room_map: Path, tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "notes.txt").touch()
    shown: list[str] = []

    def display(title: str, unit: str) -> AbstractContextManager[ProgressCallback]:
        shown.append(title)
        return no_display(title, unit)

    with pytest.raises(MapError, match="there"):
        prune_map(room_map, tmp_path / "there", keyframes=5, display=display)
    assert shown == []
