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

"""Sequences of TUM RGB-D: association by stamp, the factor of depth, and the published calibrations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from trees import open_folder, pose, tum_rgbd

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.traversals.datasets.tum_rgbd import CAMERAS, DEFAULT_CAMERA


def test_depth_belongs_to_the_image_nearest_in_time_and_has_5000_a_metre(tmp_path: Path) -> None:
    frames = list(open_folder(tum_rgbd(tmp_path)).frames())
    assert [frame.stamp_ns for frame in frames] == [1305031102175304000 + 100_000_000 * i for i in range(4)]
    assert frames[0].depth[5, 5] == np.float32(1.5)
    assert np.isnan(frames[0].depth[0, 0])
    assert [frame.depth is not None for frame in frames] == [True, True, True, False]  # 30 ms > 20 ms
    for i, frame in enumerate(frames):
        np.testing.assert_allclose(frame.T_map_camera, pose(i), atol=1e-6)


def test_poses_are_interpolated_to_the_image(tmp_path: Path) -> None:
    tum_rgbd(tmp_path)
    truth = tmp_path / "groundtruth.txt"
    truth.write_text(truth.read_text().replace("1305031102.175304", "1305031102.125304"))
    first = next(iter(open_folder(tmp_path).frames()))
    assert first.T_map_camera is None  # the next pose is 150 ms later, beyond the longest gap
    truth.write_text(truth.read_text().replace("1305031102.125304", "1305031102.185304"))
    first, second, *_ = open_folder(tmp_path).frames()
    assert first.T_map_camera is None
    assert second.T_map_camera is not None


@pytest.mark.parametrize("name", [*CAMERAS, "mine"])
def test_the_name_of_the_folder_selects_the_calibration(tmp_path: Path, name: str) -> None:
    frame = next(iter(open_folder(tum_rgbd(tmp_path / f"rgbd_dataset_{name}_desk")).frames()))
    expected = CAMERAS.get(name, DEFAULT_CAMERA).resized(32, 24)
    assert frame.camera == expected


def test_a_sequence_whose_truth_is_kept_back_has_no_poses(tmp_path: Path) -> None:
    (tum_rgbd(tmp_path) / "groundtruth.txt").unlink()
    assert [frame.T_map_camera for frame in open_folder(tmp_path).frames()] == [None] * 4


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("rgb.txt", "1305031102.1\n", "rgb.txt, line 1: expected `stamp file`"),
        ("rgb.txt", "soon rgb/a.png\n", "rgb.txt, line 1: expected `stamp file`"),
        ("rgb.txt", "# nothing\n", "the list of images is empty"),
        ("groundtruth.txt", "1 2 3\n", "groundtruth.txt, line 1"),
    ],
)
def test_a_damaged_list_is_refused_in_one_sentence(tmp_path: Path, file: str, text: str, words: str) -> None:
    (tum_rgbd(tmp_path) / file).write_text(text)
    with pytest.raises(TraversalError, match=words):
        open_folder(tmp_path)
