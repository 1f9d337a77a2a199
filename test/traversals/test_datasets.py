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

"""Datasets as traversals: tiny trees in their official layouts, and the real samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from room import Room, write_rgbd
from trees import (
    cambridge,
    colmap,
    kitti_odometry,
    kitti_raw,
    pose,
    rgbd,
    seven_scenes,
    tum_rgbd,
    twelve_scenes,
    write_image,
    write_rows,
)

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.traversals.opening import FORMATS, open_traversal


def test_an_rgbd_folder_has_poses_and_depth_with_unknown_pixels(tmp_path: Path) -> None:
    traversal = open_traversal(rgbd(tmp_path))
    frames = list(traversal.frames())
    assert len(frames) == len(traversal) == 4
    assert (frames[0].camera.fx, frames[0].camera.cy, frames[0].camera.width) == (50.0, 11.5, 32)
    assert frames[3].stamp_ns - frames[0].stamp_ns == 300_000_000
    np.testing.assert_allclose(frames[3].T_map_camera, pose(3), atol=1e-9)
    assert np.isnan(frames[0].depth[0, :2]).all()
    assert frames[0].depth[5, 5] == np.float32(1.5)


def test_the_frames_of_an_rgbd_folder_are_in_the_order_of_their_numbers(room: Room, tmp_path: Path) -> None:
    frames = room.drive(12)
    opened = list(open_traversal(write_rgbd(tmp_path / "walk", room, 0.0, 12)).frames())
    for frame, read in zip(frames, opened, strict=True):
        np.testing.assert_array_equal(frame.image, read.image)
        np.testing.assert_allclose(frame.T_map_camera, read.T_map_camera)


def test_frames_txt_names_the_frames_of_an_rgbd_folder(tmp_path: Path) -> None:
    rgbd(tmp_path)
    (tmp_path / "frames.txt").write_text("00003.png\n00001.png\n00000.png\n00002.png\n")
    assert [frame.name for frame in open_traversal(tmp_path).frames()][:2] == ["00003.png", "00001.png"]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "poses.txt").write_text("1 2 3\n"), "lines of 16 numbers"),
        (lambda folder: (folder / "poses.txt").write_text("one two\n"), "lines of numbers"),
        (lambda folder: write_rows(folder / "poses.txt", [pose(0)]), "4 frames and 1 poses"),
        (lambda folder: (folder / "K.txt").write_text("0 0 0\n0 0 0\n0 0 1\n"), "K.txt: invalid intrinsics"),
    ],
)
def test_a_damaged_rgbd_folder_is_refused_in_one_sentence(tmp_path: Path, damage: Any, words: str) -> None:
    damage(rgbd(tmp_path))
    with pytest.raises(TraversalError, match=words):
        list(open_traversal(tmp_path).frames())


def test_images_that_are_damaged_or_of_another_size_are_left_out_and_counted(tmp_path: Path) -> None:
    rgbd(tmp_path)
    (tmp_path / "images" / "00001.png").write_bytes(b"not a picture")
    write_image(tmp_path / "images" / "00002.png", 0, size=(12, 16))
    write_rows(tmp_path / "poses.txt", [pose(0), pose(1), pose(2), np.full((4, 4), np.nan)])
    (tmp_path / "depth" / "00003.png").write_bytes(b"")
    traversal = open_traversal(tmp_path)
    frames = list(traversal.frames())
    assert [frame.name for frame in frames] == ["00000.png", "00003.png"]
    assert frames[1].T_map_camera is None
    assert frames[1].depth is None
    assert traversal.skipped.counts == {
        "images that cannot be read": 1,
        "images of another size than the camera's": 1,
        "images without a pose": 1,
        "depth images that cannot be read": 1,
    }


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (rgbd, "rgbd"),
        (seven_scenes, "7scenes"),
        (tum_rgbd, "tum-rgbd"),
        (twelve_scenes, "12scenes"),
        (cambridge, "cambridge"),
        (colmap, "colmap"),
        (kitti_odometry, "kitti-odometry"),
        (kitti_raw, "kitti-raw"),
    ],
)
def test_a_format_can_be_named_and_a_wrong_name_says_what_was_expected(
    tmp_path: Path, make: Any, name: str
) -> None:
    folder = make(tmp_path)
    assert len(open_traversal(folder, name)) == len(open_traversal(folder))
    for other in set(FORMATS) - {name}:
        with pytest.raises(TraversalError):
            open_traversal(folder, other)


def test_what_is_no_source_is_told_with_what_was_looked_for_and_found(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(TraversalError, match=r"(?s)holiday\.jpg.*rgbd: .*7scenes: .*kitti-raw: "):
        open_traversal(tmp_path)
    with pytest.raises(TraversalError, match="does not exist"):
        open_traversal(tmp_path / "elsewhere")
    with pytest.raises(TraversalError, match="no format 'tartan'"):
        open_traversal(tmp_path, "tartan")
    with pytest.raises(TraversalError, match="takes no split"):
        open_traversal(rgbd(tmp_path / "rgbd"), split="train")
    with pytest.raises(TraversalError, match="takes no poses"):
        open_traversal(tmp_path / "rgbd", poses="/odom")


def test_a_folder_of_sources_names_them(tmp_path: Path) -> None:
    rgbd(tmp_path / "office" / "morning")
    seven_scenes(tmp_path / "stairs")
    with pytest.raises(
        TraversalError, match=r"name one of them: office/morning \(rgbd\), stairs \(7scenes\)\.$"
    ):
        open_traversal(tmp_path)


def test_a_part_of_a_dataset_has_only_its_frames(tmp_path: Path) -> None:
    frames = list(open_traversal(rgbd(tmp_path), every=2, offset=1).frames())
    assert [frame.name for frame in frames] == ["00001.png", "00003.png"]
    frames = list(open_traversal(tmp_path, start=0.1, end=0.2).frames())
    assert [frame.name for frame in frames] == ["00001.png", "00002.png"]


@pytest.mark.parametrize(
    ("sample", "count", "with_depth"),
    [
        ("rgbd_hololens", 94, True),
        ("7scenes_stairs_sample/stairs", 12, True),
        ("kitti_odometry_seq1", 51, False),
        ("kitti_lidar_camera", 12, False),
        ("sfm_lund_door", 12, False),
    ],
)
def test_the_real_samples_are_recognised_and_read(
    data_dir: Path, sample: str, count: int, with_depth: bool
) -> None:
    traversal = open_traversal(data_dir / sample, every=3)
    frames = list(traversal.frames())
    assert len(frames) == len(traversal) == -(-count // 3)
    assert not traversal.skipped
    for frame in frames:
        assert frame.T_map_camera is not None
        assert (frame.depth is not None) == with_depth
