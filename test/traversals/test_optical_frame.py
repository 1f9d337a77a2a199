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

"""Optical frames of images in body frames."""

from __future__ import annotations

import numpy as np
import pytest

from scene_geo_loc.geometry.pose import Pose, make_pose, to_quaternion
from scene_geo_loc.geometry.transform_tree import TransformTree
from scene_geo_loc.traversals.messages.optical_frame import T_BODY_OPTICAL, looks_up, optical_frame


def tree_of(*edges: tuple[str, str, Pose]) -> TransformTree:
    tree = TransformTree()
    for parent, child, T in edges:
        assert tree.add(parent, child, 0, T[:3, 3], to_quaternion(T), static=True)
    return tree


def aside(y: float) -> Pose:
    return make_pose(np.eye(3), [0.0, y, 0.0])


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("/camera/color/image_raw", "camera_color_optical_frame"),
        ("/camera/depth/image_rect_raw", "camera_depth_optical_frame"),
        ("/image", "camera_depth_optical_frame"),
    ],
)
def test_of_several_optical_children_the_topic_tells_which_else_the_nearest(
    topic: str, expected: str
) -> None:
    tree = tree_of(
        ("base_link", "camera_link", np.eye(4)),
        ("camera_link", "camera_color_frame", aside(0.05)),
        ("camera_color_frame", "camera_color_optical_frame", T_BODY_OPTICAL),
        ("camera_link", "camera_depth_optical_frame", T_BODY_OPTICAL),
    )
    assert optical_frame(tree, "camera_link", topic) == expected
    assert optical_frame(tree, "camera_color_optical_frame", topic) == "camera_color_optical_frame"


def test_frames_without_a_child_that_is_turned_as_an_optical_one_stay() -> None:
    tree = tree_of(("camera", "camera_optical", np.eye(4)), ("camera", "lens", T_BODY_OPTICAL))
    assert optical_frame(tree, "camera", "/image") == "camera"
    assert optical_frame(TransformTree(), "camera", "/image") == "camera"


def test_a_camera_that_looks_up_is_told_by_its_mounting() -> None:
    tree = tree_of(("base_link", "link", aside(0.1)), ("link", "optical", T_BODY_OPTICAL))
    assert looks_up(tree, "base_link", "link")
    assert not looks_up(tree, "base_link", "optical")
    assert not looks_up(tree, "base_link", "elsewhere")
