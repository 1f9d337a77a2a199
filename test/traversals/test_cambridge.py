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

"""Cambridge Landmarks in its official layout."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import cambridge, open_folder, pose, write_image

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.traversals.datasets.cambridge import _camera
from scene_geo_loc.traversals.opening import open_traversal


def names(traversal: Any) -> list[str]:
    return ["/".join(files.image.parts[-2:]) for files in traversal.frame_files]


def test_images_come_by_sequence_and_number_not_by_the_lists(tmp_path: Path) -> None:
    traversal = open_folder(cambridge(tmp_path))
    assert names(traversal) == [
        *("seq1/frame00001.png", "seq1/frame00003.png", "seq2/frame00002.png", "seq2/frame00012.png"),
        "seq10/frame00001.png",
    ]
    stamps = [files.stamp_ns for files in traversal.frame_files]
    gaps = [after - before > 10**9 for before, after in pairwise(stamps)]
    assert gaps == [False, True, False, True]


def test_the_lists_are_the_splits(tmp_path: Path) -> None:
    assert names(open_traversal(cambridge(tmp_path), split="test")) == [
        *("seq2/frame00002.png", "seq2/frame00012.png")
    ]
    assert len(open_traversal(tmp_path, split="train")) == 3
    with pytest.raises(TraversalError, match="no split 'val'; Cambridge Landmarks has train and test"):
        open_traversal(tmp_path, split="val")


def test_poses_are_positions_with_rotations_from_the_world(tmp_path: Path) -> None:
    (frame, _) = open_traversal(cambridge(tmp_path), split="test").frames()
    np.testing.assert_allclose(frame.T_map_camera, pose(3), atol=1e-6)


def test_a_pose_by_hand(tmp_path: Path) -> None:
    """A quarter turn about z: the world's x is the camera's y, so the camera's x is the world's -y."""
    cambridge(tmp_path)
    half = np.sqrt(0.5)
    header = "Visual Landmark Dataset V1\nImageFile, Camera Position [X Y Z W P Q R]\n\n"
    (tmp_path / "dataset_test.txt").write_text(f"{header}seq2/frame00002.png 1 2 3 {half} 0 0 {half}\n")
    (frame,) = open_traversal(tmp_path, split="test").frames()
    np.testing.assert_allclose(
        frame.T_map_camera, [[0, 1, 0, 1], [-1, 0, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]], atol=1e-12
    )


def test_each_image_has_its_own_camera_resized_as_the_images_were(tmp_path: Path) -> None:
    """The images of this tree have a tenth of the dataset's size."""
    cameras = [files.camera for files in open_folder(cambridge(tmp_path)).frame_files]
    assert [round(camera.fx, 6) for camera in cameras] == [162.0, 161.0, 163.0, 167.0, 160.0]
    assert {(camera.width, camera.height) for camera in cameras} == {(192, 108)}
    assert cameras[0].cx == pytest.approx(960.5 / 10 - 0.5)
    assert [camera.model for camera in cameras] == ["plumb_bob", "plumb_bob", "plumb_bob", "none", "none"]


@given(st.floats(-0.07, 0.07), st.floats(0, 1920), st.floats(0, 1080))
def test_distortion_is_undone_as_visualsfm_does(k: int, x: Any, y: Any) -> None:
    """VisualSFM: r_u = r_d (1 + k r_d^2), for pixels measured from the centre over the focal length."""
    measured = np.array([x - 960, y - 540]) / 1670
    ideal = measured * (1 + k * measured @ measured)
    ray = np.array([[*ideal, 1.0]])
    np.testing.assert_allclose(_camera(1670.0, k).project(ray)[0], [x, y], atol=0.1)


def test_without_a_reconstruction_all_focal_lengths_are_the_paper_s(tmp_path: Path) -> None:
    cambridge(tmp_path)
    (tmp_path / "reconstruction.nvm").unlink()
    write_image(tmp_path / "seq1" / "frame00001.png", 0, size=(1080, 1920))
    camera = open_folder(tmp_path).frame_files[0].camera
    assert (camera.width, camera.height, camera.fx, camera.cx, camera.cy) == (1920, 1080, 1670, 960, 540)


def test_images_that_are_missing_or_have_no_finite_pose_are_counted(tmp_path: Path) -> None:
    cambridge(tmp_path)
    text = (tmp_path / "dataset_train.txt").read_text()
    lines = text.splitlines()
    lines[3] = "seq10/frame00001.png nan nan nan 1 0 0 0"
    lines[4] = lines[4].rsplit(" ", 4)[0] + " 0 0 0 0"
    (tmp_path / "dataset_train.txt").write_text("\n".join(lines))
    (tmp_path / "seq1" / "frame00001.png").unlink()
    traversal = open_traversal(tmp_path, split="train")
    assert [frame.T_map_camera for frame in traversal.frames()] == [None, None]
    assert traversal.skipped.counts == {"images that cannot be read": 1, "images without a pose": 2}


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        (
            "dataset_test.txt",
            lambda text: text.rsplit(" ", 1)[0],
            "line 5: expected `file x y z qw qx qy qz`",
        ),
        ("dataset_test.txt", lambda text: "\n".join(text.splitlines()[:3]), "lists of images are empty"),
        ("reconstruction.nvm", lambda text: "NVM_V2" + text[6:], "begins with NVM_V3"),
        ("reconstruction.nvm", lambda text: text[: text.index("seq2")], "expected 4 cameras, found 3"),
        ("reconstruction.nvm", lambda text: text.replace("1620 1", "f 1"), "line 6: expected a camera"),
        ("reconstruction.nvm", lambda text: text.replace("\n4\n", "\nfour\n"), "line 3: expected a camera"),
    ],
)
def test_a_damaged_scene_is_refused_with_the_line(tmp_path: Path, file: str, change: Any, words: str) -> None:
    path = cambridge(tmp_path) / file
    path.write_text(change(path.read_text()))
    with pytest.raises(TraversalError, match=words):
        open_traversal(tmp_path, split="test")


def test_a_scene_without_images_is_refused(tmp_path: Path) -> None:
    cambridge(tmp_path)
    for image in tmp_path.glob("seq*/*.png"):
        image.unlink()
    with pytest.raises(TraversalError, match="neither this image nor any other"):
        open_traversal(tmp_path)
