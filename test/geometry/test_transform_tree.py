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

"""The transform tree, live and over a recording, with times and poses computed by hand."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from scene_geo_loc.geometry import transform_tree
from scene_geo_loc.geometry.pose import from_quaternion, inverse, make_pose
from scene_geo_loc.geometry.transform_tree import TransformIssue, TransformTree, TransformUnavailable

SECOND = 10**9


def at(x: float, yaw_deg: float = 0.0) -> tuple[tuple[float, float, float], np.ndarray]:
    """A translation and a quaternion."""
    return (x, 0.0, 0.0), Rotation.from_euler("z", yaw_deg, degrees=True).as_quat()


def pose(x: float) -> np.ndarray:
    return make_pose(np.eye(3), (x, 0.0, 0.0))


@pytest.fixture
def tree() -> TransformTree:
    """map -> odom -> base_link -> camera, the middle one moving at 1 m/s from second 1 to second 2."""
    tree = TransformTree()
    tree.add("map", "odom", 0, *at(10.0, 90.0), static=True)
    tree.add("odom", "base_link", 1 * SECOND, *at(1.0))
    tree.add("odom", "base_link", 2 * SECOND, *at(2.0))
    tree.add("base_link", "camera", 0, *at(0.5), static=True)
    return tree


def test_a_lookup_goes_along_the_chain_and_interpolates_in_time(tree: TransformTree) -> None:
    # 1.25 m + 0.5 m along the odometry's x, which is the map's y.
    T = tree.lookup("map", "camera", 5 * SECOND // 4)
    np.testing.assert_allclose(T[:3, 3], [10.0, 1.75, 0.0], atol=1e-12)


def test_many_times_are_looked_up_at_once_and_give_the_same_poses(tree: TransformTree) -> None:
    stamps = np.array([SECOND, 5 * SECOND // 4, 3 * SECOND, 2 * SECOND])
    poses, known = tree.lookup_many("map", "camera", stamps)
    assert known.tolist() == [True, True, False, True]
    for stamp, T in zip(stamps[known], poses[known], strict=True):
        np.testing.assert_array_equal(T, tree.lookup("map", "camera", int(stamp)))


def test_a_lookup_the_other_way_is_the_inverse(tree: TransformTree) -> None:
    there, back = tree.lookup("map", "camera", SECOND), tree.lookup("camera", "map", SECOND)
    np.testing.assert_allclose(there @ back, np.eye(4), atol=1e-12)


def test_frames_on_two_branches_meet_at_their_common_parent(tree: TransformTree) -> None:
    tree.add("base_link", "lidar", 0, *at(-0.5), static=True)
    T = tree.lookup("lidar", "camera", 10**15)
    np.testing.assert_allclose(T, pose(1.0), atol=1e-12)


def test_between_static_frames_any_time_will_do(tree: TransformTree) -> None:
    np.testing.assert_allclose(tree.lookup("base_link", "camera", 0), pose(0.5))
    assert tree.is_static("base_link", "camera")
    assert not tree.is_static("map", "camera")


def test_a_vehicle_that_two_frames_move_is_found_in_both(tree: TransformTree) -> None:
    tree.add("truth", "base_link", SECOND, *at(3.0))
    np.testing.assert_allclose(tree.lookup("truth", "camera", SECOND), pose(3.5), atol=1e-12)
    np.testing.assert_allclose(tree.lookup("odom", "camera", SECOND), pose(1.5), atol=1e-12)


@pytest.mark.parametrize(
    ("target", "source", "stamp_ns", "issue", "words"),
    [
        ("map", "lidar", SECOND, TransformIssue.NOT_PUBLISHED, "nobody publishes lidar"),
        ("map", "island", SECOND, TransformIssue.NOT_CONNECTED, "different trees"),
        ("map", "base_link", 3 * SECOND, TransformIssue.AFTER_LAST, "odom to base_link on TF ends 1.000 s"),
        ("map", "base_link", 0, TransformIssue.BEFORE_FIRST, "odom to base_link on TF begins 1.000 s"),
        ("base_link", "map", 0, TransformIssue.BEFORE_FIRST, "odom to base_link on TF begins 1.000 s"),
        ("map", "late", 3 * SECOND, TransformIssue.GAP, "gap of 4.0 s"),
    ],
)
def test_what_is_not_known_has_a_reason_and_a_sentence(
    tree: TransformTree, target: str, source: str, stamp_ns: int, issue: TransformIssue, words: str
) -> None:
    tree.add("sea", "island", 0, *at(0.0), static=True)
    tree.add("map", "late", 1 * SECOND, *at(0.0))
    tree.add("map", "late", 5 * SECOND, *at(9.0))
    with pytest.raises(TransformUnavailable, match=words) as caught:
        tree.lookup(target, source, stamp_ns)
    assert caught.value.issue is issue
    assert not tree.lookup_many(target, source, np.array([stamp_ns]))[1].any()


def test_frames_in_a_loop_are_said_and_not_followed_for_ever(tree: TransformTree) -> None:
    assert tree.ancestors_of("camera")[-1] == "map"
    assert tree.ancestors_of("unheard_of") == []
    tree.add("camera", "map", 0, *at(0.0), static=True)
    for source in ("lidar_of_another_robot", "camera"):
        with pytest.raises(TransformUnavailable, match="form a loop"):
            tree.lookup("map", source, SECOND)
    assert set(tree.ancestors_of("camera")) <= {"map", "odom", "base_link"}


def test_a_stray_transform_that_closes_a_loop_counts_for_a_while_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = 100.0
    monkeypatch.setattr(transform_tree.time, "monotonic", lambda: now_s)
    tree = TransformTree(cache_s=30.0)
    tree.add("base_link", "camera", 0, *at(0.5), static=True)
    tree.add("camera", "base_link", 0, *at(0.0))
    with pytest.raises(TransformUnavailable, match="form a loop"):
        tree.lookup("base_link", "camera", 0)
    now_s += transform_tree.STRAY_S + 1.0
    np.testing.assert_allclose(tree.lookup("base_link", "camera", 0), pose(0.5))


def test_static_transforms_alone_connect_frames_whatever_moves_in_a_loop(tree: TransformTree) -> None:
    tree.add("camera", "base_link", 0, *at(0.0))
    mounting = tree.static_pose("base_link", "camera")
    assert mounting is not None
    np.testing.assert_allclose(mounting, inverse(tree.static_pose("camera", "base_link")))
    assert tree.static_pose("map", "camera") is None


def test_transforms_that_come_out_of_order_are_put_in_their_place(tree: TransformTree) -> None:
    tree.add("odom", "base_link", 3 * SECOND // 2, *at(1.9))
    np.testing.assert_allclose(tree.lookup("odom", "base_link", 3 * SECOND // 2), pose(1.9))
    np.testing.assert_allclose(tree.lookup("odom", "base_link", 7 * SECOND // 4)[0, 3], 1.95)


def test_of_two_transforms_with_one_stamp_the_last_counts(tree: TransformTree) -> None:
    tree.add("odom", "base_link", 2 * SECOND, *at(7.0))
    np.testing.assert_allclose(tree.lookup("odom", "base_link", 2 * SECOND), pose(7.0))
    tree.add("base_link", "camera", 0, *at(0.75), static=True)
    np.testing.assert_allclose(tree.lookup("base_link", "camera", 0), pose(0.75))


def test_rotations_are_interpolated_too() -> None:
    tree = TransformTree()
    tree.add("map", "base_link", 0, *at(0.0, 0.0))
    tree.add("map", "base_link", SECOND, *at(1.0, 90.0))
    expected = from_quaternion(*at(0.25, 22.5))
    np.testing.assert_allclose(tree.lookup("map", "base_link", SECOND // 4), expected, atol=1e-12)


def test_what_is_older_than_the_cache_is_forgotten() -> None:
    tree = TransformTree(cache_s=5.0)
    for second in range(20):
        tree.add("odom", "base_link", second * SECOND, *at(second))
    assert tree.lookup("odom", "base_link", 14 * SECOND)[0, 3] == 14.0
    with pytest.raises(TransformUnavailable):
        tree.lookup("odom", "base_link", 13 * SECOND)


def test_clearing_keeps_only_what_is_static(tree: TransformTree) -> None:
    tree.clear()
    np.testing.assert_allclose(tree.lookup("base_link", "camera", SECOND), pose(0.5))
    with pytest.raises(TransformUnavailable, match="different trees"):
        tree.lookup("odom", "base_link", SECOND)


@pytest.mark.parametrize(
    ("parent", "child", "numbers"),
    [
        ("map", "base_link", ((np.nan, 0, 0), (0, 0, 0, 1))),
        ("map", "base_link", ((0, 0, 0), (0, 0, 0, 0))),
        ("", "base_link", at(0.0)),
        ("base_link", "base_link", at(0.0)),
    ],
)
def test_what_is_no_transform_is_refused_and_leaves_no_trace(parent: str, child: str, numbers: Any) -> None:
    tree = TransformTree()
    assert not tree.add(parent, child, 0, *numbers)
    assert not tree.knows("base_link")
    assert not tree.connects("map", "base_link")


def test_waiting_ends_when_the_transform_comes(tree: TransformTree) -> None:
    threading.Timer(0.05, lambda: tree.add("odom", "base_link", 5 * SECOND // 2, *at(2.5))).start()
    assert tree.wait("odom", "base_link", 5 * SECOND // 2, timeout_s=10.0)[0, 3] == 2.5


def test_waiting_for_what_does_not_come_ends_with_the_reason(tree: TransformTree) -> None:
    with pytest.raises(TransformUnavailable, match=r"ends 0\.500 s before"):
        tree.wait("odom", "base_link", 5 * SECOND // 2, timeout_s=0.02)


def test_what_no_transform_can_still_bring_is_not_waited_for(tree: TransformTree) -> None:
    with pytest.raises(TransformUnavailable, match="begins"):
        tree.wait("odom", "base_link", 0, timeout_s=1e6)
    with pytest.raises(TransformUnavailable, match="ends 98"):
        tree.wait("odom", "base_link", 100 * SECOND, timeout_s=1e6)
