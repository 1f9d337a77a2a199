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

"""7-Scenes in its official layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from trees import pose, seven_scenes

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.pose import make_pose
from scene_geo_loc.traversals.datasets.seven_scenes import open_seven_scenes
from scene_geo_loc.traversals.opening import open_traversal


@pytest.mark.parametrize(("split", "first"), [(None, 10), ("train", 20), ("test", 10)])
def test_a_scene_has_its_splits(tmp_path: Path, split: str | None, first: int) -> None:
    frames = list(open_traversal(seven_scenes(tmp_path), split=split, camera="depth").frames())
    assert len(frames) == (6 if split is None else 3)
    np.testing.assert_allclose(frames[0].T_map_camera, pose(first), atol=1e-6)


def test_a_sequence_is_a_source_too_and_sequences_lie_apart_in_time(tmp_path: Path) -> None:
    seven_scenes(tmp_path)
    assert len(open_traversal(tmp_path / "seq-02")) == 3
    stamps = [frame.stamp_ns for frame in open_traversal(tmp_path).frames()]
    assert stamps[3] - stamps[2] > 10**9


def test_a_sequence_that_a_split_names_must_be_there(tmp_path: Path) -> None:
    seven_scenes(tmp_path)
    (tmp_path / "TestSplit.txt").write_text("sequence9\n")
    with pytest.raises(TraversalError, match="seq-09"):
        open_traversal(tmp_path, split="test")
    with pytest.raises(TraversalError, match="no split 'validation'"):
        open_traversal(tmp_path, split="validation")


def test_images_can_be_taken_as_the_depth_camera_s_like_in_the_paper(tmp_path: Path) -> None:
    frame = next(open_traversal(seven_scenes(tmp_path), camera="depth").frames())
    assert (frame.camera.fx, frame.camera.fy, frame.camera.cx, frame.camera.cy) == (585, 585, 320, 240)
    assert np.isnan(frame.depth[0, :2]).all()
    assert frame.depth[100, 100] == np.float32(1.5)


def test_the_colour_camera_lies_to_the_right_and_sees_the_depth_from_there(tmp_path: Path) -> None:
    seven_scenes(tmp_path)
    millimetres = np.zeros((480, 640), np.uint16)
    millimetres[240, 437] = 2000
    cv2.imwrite(str(tmp_path / "seq-01" / "frame-000000.depth.png"), millimetres)
    frame = next(open_traversal(tmp_path).frames())
    assert (frame.camera.fx, frame.camera.fy, frame.camera.cx, frame.camera.cy) == (525, 525, 320, 240)
    np.testing.assert_allclose(frame.T_map_camera, pose(10) @ make_pose(np.eye(3), [0.025, 0, 0]), atol=1e-6)
    # (437 - 320) / 585 * 2 m = 0.4 m to the right, 0.375 m of the colour camera: 320 + 525 * 0.375 / 2
    assert np.argwhere(np.isfinite(frame.depth)).tolist() == [[240, 418]]
    assert frame.depth[240, 418] == 2.0


def test_a_camera_that_the_kinect_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraversalError, match="no camera 'left'; 7-Scenes has color and depth"):
        open_traversal(seven_scenes(tmp_path), camera="left")


@pytest.mark.parametrize("text", ["", "1 0 0 0\n0 1 0 0\n0 0 1", "nan " * 16, "-1.#INF " * 16, "0 " * 16])
def test_frames_whose_pose_is_damaged_are_counted(tmp_path: Path, text: Any) -> None:
    seven_scenes(tmp_path)
    (tmp_path / "seq-01" / "frame-000001.pose.txt").write_text(text)
    traversal = open_traversal(tmp_path, split="test")
    assert [frame.T_map_camera is None for frame in traversal.frames()] == [False, True, False]
    assert traversal.skipped.counts == {"images without a pose": 1}


@pytest.mark.slow
def test_edges_of_the_registered_depth_of_the_real_scene_lie_on_edges_of_the_images(data_dir: Path) -> None:
    """Registration at least doubles the images' contrast where the depth jumps."""

    def contrast_at_jumps(camera: str) -> float:
        found = []
        for frame in open_seven_scenes(data_dir / "7scenes_stairs_sample" / "stairs", camera=camera).frames():
            grey = cv2.GaussianBlur(cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY), (0, 0), 1.5)
            contrast = np.abs(cv2.Sobel(grey.astype(np.float32), cv2.CV_32F, 1, 0))
            near, far = frame.depth[:, :-2], frame.depth[:, 2:]
            jump = np.abs(near - far) > 0.1 * np.minimum(near, far)
            found.append(contrast[:, 1:-1][jump].mean() / contrast.mean())
        return float(np.mean(found))

    assert contrast_at_jumps("color") > 2 * contrast_at_jumps("depth")
