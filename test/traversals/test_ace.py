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

"""Scenes in the layout of ACE."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from trees import ace, pose

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.traversals.opening import open_traversal


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return ace(tmp_path)


def test_a_scene_has_both_splits_and_each_its_own_calibration(scene: Path) -> None:
    frames = list(open_traversal(scene).frames())
    assert len(frames) == 5
    assert frames[0].camera == Camera(32, 24, 30.5, 30.5, 15.5, 11.5)
    assert frames[4].camera == Camera(32, 24, 30.0, 31.0, 15.0, 11.0)
    np.testing.assert_allclose(frames[1].T_map_camera, pose(1), atol=1e-9)
    np.testing.assert_allclose(frames[4].T_map_camera, pose(11), atol=1e-9)
    assert frames[2].depth is not None
    assert frames[2].depth[0, 0] == 3.0
    assert [frame.stamp_ns for frame in open_traversal(scene, split="test").frames()] == [10**9, 11 * 10**8]
    assert len(open_traversal(scene / "train")) == 3


def test_poses_that_are_not_known_are_counted(scene: Path) -> None:
    (scene / "train" / "poses" / "seq-01-frame-000001.pose.txt").write_text("inf " * 16)
    traversal = open_traversal(scene, split="train")
    assert [frame.T_map_camera is None for frame in traversal.frames()] == [False, True, False]


def test_incomplete_and_damaged_scenes_are_refused(scene: Path) -> None:
    with pytest.raises(TraversalError, match="no split 'val'; splits here: train, test"):
        open_traversal(scene, split="val")
    (scene / "test" / "calibration" / "seq-01-frame-000001.calibration.txt").write_text("30 40")
    with pytest.raises(TraversalError, match="expected a focal length or a 3x3"):
        open_traversal(scene)
    (scene / "train" / "poses" / "seq-01-frame-000001.pose.txt").unlink()
    with pytest.raises(TraversalError, match="3 images, 2 poses and 3 calibrations"):
        open_traversal(scene)
