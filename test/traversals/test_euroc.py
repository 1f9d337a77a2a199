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

"""EuRoC sequences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from trees import (
    EUROC_LENS,
    EUROC_PERIOD,
    EUROC_START,
    T_BODY_CAMERA,
    T_BODY_MARKER,
    euroc,
    euroc_sensor,
    pose,
)

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.pose import inverse
from scene_geo_loc.traversals.opening import open_traversal


@pytest.fixture
def sequence(tmp_path: Path) -> Path:
    return euroc(tmp_path / "MH_01")


def test_images_have_their_stamps_lens_and_the_pose_of_the_camera(sequence: Path) -> None:
    for folder in (sequence, sequence / "mav0"):
        frames = list(open_traversal(folder).frames())
        assert [frame.stamp_ns for frame in frames] == [EUROC_START + i * EUROC_PERIOD for i in range(4)]
        assert frames[0].T_map_camera is None
        np.testing.assert_allclose(frames[2].T_map_camera, pose(2) @ T_BODY_CAMERA, atol=1e-6)
        camera = frames[0].camera
        assert (camera.width, camera.height, camera.fx, camera.model) == (32, 24, 30.0, "plumb_bob")
        assert frames[0].image.shape == (24, 32, 3)


def test_without_tables_names_are_stamps_and_poses_are_unknown(sequence: Path) -> None:
    (sequence / "mav0" / "cam0" / "data.csv").unlink()
    (sequence / "mav0" / "state_groundtruth_estimate0" / "data.csv").unlink()
    frames = list(open_traversal(sequence).frames())
    assert frames[3].stamp_ns == EUROC_START + 3 * EUROC_PERIOD
    assert frames[3].T_map_camera is None


def test_the_pose_of_a_camera_without_the_file_of_the_truth_is_relative_to_the_body(sequence: Path) -> None:
    (sequence / "mav0" / "state_groundtruth_estimate0" / "sensor.yaml").unlink()
    frame = list(open_traversal(sequence).frames())[1]
    np.testing.assert_allclose(
        frame.T_map_camera @ inverse(T_BODY_CAMERA), pose(1) @ T_BODY_MARKER, atol=1e-6
    )


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("cam0/sensor.yaml", "T_BS: 1\n" + EUROC_LENS, "expected T_BS"),
        ("cam0/sensor.yaml", euroc_sensor(np.zeros((4, 4)), EUROC_LENS), "no rigid transform"),
        ("cam0/sensor.yaml", euroc_sensor(np.eye(4), EUROC_LENS.replace("32, 24", "64, 48")), "32 x 24"),
        ("cam0/data.csv", "1 2\n", "line 1: expected `stamp_ns,file`"),
        ("cam0/data.csv", f"{10**20},a.png\n", "line 1: expected `stamp_ns,file`"),
        ("state_groundtruth_estimate0/data.csv", "1,2,3\n", "line 1"),
    ],
)
def test_damaged_files_are_named(sequence: Path, file: str, text: str, words: str) -> None:
    (sequence / "mav0" / file).write_text(text)
    with pytest.raises(TraversalError, match=words):
        open_traversal(sequence)


def test_a_table_that_is_no_text_is_named(sequence: Path) -> None:
    (sequence / "mav0" / "cam0" / "data.csv").write_bytes(bytes([0xFF, 0xFE, 0x80]))
    with pytest.raises(TraversalError, match="list of images cannot be read"):
        open_traversal(sequence)


def test_a_camera_that_is_not_there_is_named_with_those_that_are(sequence: Path) -> None:
    with pytest.raises(TraversalError, match="no camera 'cam1' here; there are cam0"):
        open_traversal(sequence, camera="cam1")
