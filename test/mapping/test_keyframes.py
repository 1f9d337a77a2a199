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

"""Selection of keyframes."""

from __future__ import annotations

import cv2
import numpy as np

from scene_geo_loc.geometry.pose import make_pose
from scene_geo_loc.mapping.keyframes import KeyframeSelector


def pose(x: float, angle_deg: float = 0.0) -> np.ndarray:
    return make_pose(cv2.Rodrigues(np.radians([0, 0, angle_deg]))[0], (x, 0, 0))


def test_the_first_frame_is_a_keyframe() -> None:
    assert KeyframeSelector(1, 10).accept(pose(0))


def test_the_next_is_one_metre_on_not_before() -> None:
    selector = KeyframeSelector(1, 10)
    assert [x for x in (0, 0.4, 0.9, 1.1, 1.9, 2.2) if selector.accept(pose(x))] == [0, 1.1, 2.2]


def test_turning_on_the_spot_gives_keyframes() -> None:
    selector = KeyframeSelector(1, 10)
    assert [a for a in (0, 5, 11, 15, 22) if selector.accept(pose(0, a))] == [0, 11, 22]


def test_standing_still_gives_one() -> None:
    selector = KeyframeSelector(1, 10)
    assert sum(selector.accept(pose(3)) for _ in range(50)) == 1


def test_distance_zero_takes_every_frame() -> None:
    selector = KeyframeSelector(0, 180)
    assert all(selector.accept(pose(3)) for _ in range(5))


def test_asking_whether_a_pose_is_near_changes_nothing() -> None:
    selector = KeyframeSelector(1, 10)
    assert not selector.is_near(pose(0))
    assert selector.accept(pose(0))
    assert [selector.is_near(pose(x)) for x in (0.5, 1.5, 0.9)] == [True, False, True]


def test_cameras_that_look_in_several_directions_are_each_measured_from_their_own_keyframes() -> None:
    selector = KeyframeSelector(1, 10)
    frames = [(x / 10, angle) for x in range(25) for angle in (0, 90, 180)]
    taken = [frame for frame in frames if selector.accept(pose(*frame))]
    assert taken == [(x, angle) for x in (0, 1, 2) for angle in (0, 90, 180)]


def test_going_on_measures_from_the_keyframes_that_are_there() -> None:
    selector = KeyframeSelector(1, 10, [pose(0), pose(0, 90)])
    assert [angle for angle in (0, 90, 180) if selector.accept(pose(0.5, angle))] == [180]
