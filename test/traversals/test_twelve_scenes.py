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

"""12-Scenes in its official layout."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from trees import open_folder, pose, twelve_scenes

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.traversals.opening import open_traversal


def test_a_room_has_frames_with_the_colour_camera_of_its_info(tmp_path: Path) -> None:
    frame = next(open_folder(twelve_scenes(tmp_path)).frames())
    camera = frame.camera
    assert (camera.width, camera.height, camera.fx, camera.fy) == (1296, 968, 1158.3, 1153.53)
    assert (camera.cx, camera.cy) == (649.0, 483.5)
    np.testing.assert_allclose(frame.T_map_camera, pose(0), atol=1e-9)


@pytest.mark.parametrize(
    ("split", "frames"), [("test", [0, 1]), ("train", [2, 3, 4, 5]), (None, [0, 1, 2, 3, 4, 5])]
)
def test_the_first_sequence_is_the_test_split_and_the_others_are_for_training(
    tmp_path: Path, split: str | None, frames: list[int]
) -> None:
    traversal = open_traversal(twelve_scenes(tmp_path), split=split)
    assert [frame.name for frame in traversal.frames()] == [f"frame-{i:06d}.color.jpg" for i in frames]


def test_frames_that_were_lost_are_without_a_pose_and_counted(tmp_path: Path) -> None:
    traversal = open_traversal(twelve_scenes(tmp_path), split="train")
    assert [frame.T_map_camera is None for frame in traversal.frames()] == [False, True, False, False]
    assert traversal.skipped.counts == {"images without a pose": 1}


def test_sequences_lie_apart_in_time_whatever_the_split(tmp_path: Path) -> None:
    whole = [files.stamp_ns for files in open_folder(twelve_scenes(tmp_path)).frame_files]
    assert [after - before > 10**9 for before, after in pairwise(whole)] == [
        *(False, True, False, True, False)
    ]
    assert [files.stamp_ns for files in open_folder(tmp_path, split="train").frame_files] == whole[2:]


def test_every_pixel_takes_the_depth_nearest_to_it(tmp_path: Path) -> None:
    millimetres = np.zeros((480, 640), np.uint16)
    millimetres[120, 200] = 2500
    twelve_scenes(tmp_path)
    cv2.imwrite(str(tmp_path / "data" / "frame-000000.depth.png"), millimetres)
    depth = next(open_traversal(tmp_path).frames()).depth
    assert depth.shape == (968, 1296)
    rows, columns = np.nonzero(np.isfinite(depth))
    # Pixel 200 of 640 covers 405 to 407.025 of 1296, and pixel 120 of 480 covers 242 to 244.02 of 968.
    assert (set(rows.tolist()), set(columns.tolist())) == ({242, 243}, {405, 406})
    assert (depth[rows, columns] == 2.5).all()


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("info.txt", "m_colorWidth = 1296\n", "m_calibrationColorIntrinsic with 16 numbers"),
        (
            "info.txt",
            "m_colorWidth = 4\nm_colorHeight = 3\nm_calibrationColorIntrinsic = 1 0\n",
            "16 numbers",
        ),
        ("split.txt", "sequence one\n", "expected a line for each sequence"),
        (
            "split.txt",
            "sequence0 [frames=9] [start=90 ; end=98]\n",
            "no frame of data/ is in the split 'test'",
        ),
    ],
)
def test_a_damaged_room_is_refused_in_one_sentence(tmp_path: Path, file: str, text: str, words: str) -> None:
    (twelve_scenes(tmp_path) / file).write_text(text)
    with pytest.raises(TraversalError, match=words):
        open_traversal(tmp_path, split="test")


def test_there_is_no_split_but_test_and_train(tmp_path: Path) -> None:
    with pytest.raises(TraversalError, match="no split 'night'; 12-Scenes has train and test"):
        open_traversal(twelve_scenes(tmp_path), split="night")
    (tmp_path / "split.txt").unlink()
    assert len(open_traversal(tmp_path)) == 6
    with pytest.raises(TraversalError, match=r"split\.txt: expected a line for each sequence"):
        open_traversal(tmp_path, split="train")
