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
"""A large map localizes as a small one, and keeps its tables on the disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from room import Room

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.geometry.pose import make_pose
from scene_geo_loc.localization.estimate import PosePrior, Status
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.mapping.alignment.moved_map import write_moved_map
from scene_geo_loc.mapping.editing.combination import MapPart, write_combination
from scene_geo_loc.mapping.map_info import (
    CODES,
    FORMAT,
    GLOBAL_DESCRIPTORS,
    INDEX,
    KEYFRAME_ROWS,
    KEYFRAMES,
    LARGE_TABLES,
    READ_WHOLE,
)
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.mapping.search.compressed_index import CompressedIndex

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def small(room_map: Path) -> ReferenceMap:
    return ReferenceMap.open(room_map)


@pytest.fixture(scope="module")
def large(small: ReferenceMap, tmp_path_factory: pytest.TempPathFactory) -> ReferenceMap:
    """The map of the room in the form of a large map."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scene_geo_loc.mapping.search.stored_index.EXACT_BELOW", 5)
        return write_combination([MapPart.whole(small)], tmp_path_factory.mktemp("maps") / "large")


def test_its_keyframes_are_those_of_the_small_map(large: ReferenceMap, small: ReferenceMap) -> None:
    assert large.is_large
    assert not small.is_large
    assert isinstance(large.index, CompressedIndex)
    assert {CODES, GLOBAL_DESCRIPTORS, *LARGE_TABLES} <= large.info.files.keys()
    assert INDEX not in large.info.files
    assert large.info.format_version == FORMAT.version
    large.verify()
    np.testing.assert_array_equal(np.asarray(large.T_map_camera), small.T_map_camera)
    np.testing.assert_array_equal(large.T_map_camera[[3, 1]], small.T_map_camera[[3, 1]])
    np.testing.assert_array_equal(large.T_map_camera[2, :3], small.T_map_camera[2, :3])
    np.testing.assert_array_equal(large.T_map_camera[1:4, :3, 3], small.T_map_camera[1:4, :3, 3])
    np.testing.assert_array_equal(large.stamps_ns, small.stamps_ns)
    assert large.names.to_pylist() == small.names.to_pylist()
    assert large.name_of(2) == small.name_of(2)
    np.testing.assert_array_equal(large.thumbnail(4), small.thumbnail(4))
    assert large.co_similarity is not None
    assert small.co_similarity is not None
    np.testing.assert_array_equal(large.co_similarity.neighbours(3)[0], small.co_similarity.neighbours(3)[0])


def test_it_localizes_as_the_small_map(large: ReferenceMap, small: ReferenceMap, room: Room) -> None:
    frame = room.drive(8, offset_y=0.3)[3]
    prior = PosePrior(frame.T_map_camera, 2.0)
    for at in (None, prior):
        estimate, wanted = (Localizer(opened, device="cpu").localize(frame, at) for opened in (large, small))
        assert estimate.status is Status.LOCALIZED
        np.testing.assert_allclose(estimate.T_map_base, wanted.T_map_base, atol=1e-6)
        assert [c.keyframe for c in estimate.candidates] == [c.keyframe for c in wanted.candidates]


def test_opening_it_reads_no_large_file_whole(large: ReferenceMap, tmp_path: Path) -> None:
    assert {KEYFRAMES, CODES, GLOBAL_DESCRIPTORS, *LARGE_TABLES} <= set(large.large_files)
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in large.path.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    damaged = bytearray((copy / KEYFRAMES).read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (copy / KEYFRAMES).write_bytes(bytes(damaged))
    opened = ReferenceMap.open(copy, verified=READ_WHOLE)
    with pytest.raises(MapError, match=r"keyframes\.parquet has changed"):
        opened.verify(opened.large_files)


def test_a_part_of_it_is_a_small_map_again(large: ReferenceMap, small: ReferenceMap, tmp_path: Path) -> None:
    part = write_combination([MapPart(large, np.arange(4))], tmp_path / "part")
    assert not part.is_large
    assert not {CODES, GLOBAL_DESCRIPTORS, *LARGE_TABLES} & part.info.files.keys()
    np.testing.assert_array_equal(part.index.descriptor(2), small.index.descriptor(2))


def test_a_moved_copy_has_tables_of_its_own(large: ReferenceMap, tmp_path: Path) -> None:
    before = large.T_map_camera[0].copy()
    T_new_map = make_pose(np.eye(3), (100.0, 0.0, 0.0))
    write_moved_map(large, tmp_path / "moved", T_new_map)
    moved = ReferenceMap.open(tmp_path / "moved")
    moved.verify()
    np.testing.assert_allclose(moved.T_map_camera[0], T_new_map @ before)
    np.testing.assert_array_equal(ReferenceMap.open(large.path).T_map_camera[0], before)
    assert len(moved.within(moved.T_map_camera[5][:3, 3], 0.1)) >= 1


def test_rows_of_another_kind_are_refused(large: ReferenceMap, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in large.path.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    size = (copy / KEYFRAME_ROWS).stat().st_size
    (copy / KEYFRAME_ROWS).write_bytes(b"x" * size)
    with pytest.raises(MapError, match="cannot be read"):
        ReferenceMap.open(copy)
