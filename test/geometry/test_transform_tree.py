"""Transforms over a recording."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from scene_geo_loc.geometry.pose import from_quaternion, inverse
from scene_geo_loc.geometry.transform_tree import PoseSeries, TransformTree

TURN = Rotation.from_euler("z", 90, degrees=True).as_quat()
NONE = (0.0, 0.0, 0.0, 1.0)


@pytest.fixture
def tree() -> TransformTree:
    """A map -> odom -> base_link -> camera, where the base moves 1 m in 1 s and the camera is turned."""
    tree = TransformTree()
    for second in range(3):
        tree.add(second * 10**9, "map", "odom", (10, 0, 0), NONE, fixed=False)
        tree.add(second * 10**9, "odom", "base_link", (second, 0, 0), NONE, fixed=False)
    tree.add(0, "base_link", "camera", (0, 0, 1), TURN, fixed=True)
    return tree


def test_transforms_compose_along_the_tree_and_interpolate_in_time(tree):
    poses, known = tree.lookup("map", "camera", np.array([0, 500_000_000, 2_000_000_000]))
    assert known.all()
    np.testing.assert_allclose(poses[:, :3, 3], [[10, 0, 1], [10.5, 0, 1], [12, 0, 1]])
    np.testing.assert_allclose(poses[1], from_quaternion((10.5, 0, 1), TURN), atol=1e-12)


def test_the_way_back_is_the_inverse(tree):
    stamps = np.array([300_000_000])
    there, back = tree.lookup("map", "camera", stamps)[0], tree.lookup("camera", "map", stamps)[0]
    np.testing.assert_allclose(back, inverse(there), atol=1e-12)


def test_outside_the_recording_only_fixed_transforms_are_known(tree):
    late = np.array([9 * 10**9])
    assert not tree.lookup("map", "camera", late)[1].any()
    assert tree.lookup("base_link", "camera", late)[1].all()


def test_frames_that_nothing_connects_are_not_known(tree):
    assert tree.path("map", "lidar") is None
    assert tree.path("map", "camera", fixed_only=True) is None
    assert tree.path("base_link", "camera", fixed_only=True) == ["base_link", "camera"]
    assert not tree.lookup("map", "lidar", np.array([0]))[1].any()


def test_the_root_is_found_even_where_parents_form_a_ring(tree):
    assert tree.root_of("camera") == "map"
    assert tree.root_of("unheard_of") == "unheard_of"
    tree.add(0, "camera", "map", (0, 0, 0), NONE, fixed=True)
    assert tree.root_of("camera") in ("map", "odom", "base_link", "camera")


@pytest.mark.parametrize("numbers", [((np.nan, 0, 0), NONE), ((0, 0, 0), (0, 0, 0, 0))])
def test_what_is_no_pose_is_refused_and_leaves_no_trace(numbers):
    tree = TransformTree()
    assert not tree.add(0, "map", "base_link", *numbers, fixed=False)
    assert tree.path("map", "base_link") is None


def test_a_series_is_sorted_and_of_one_stamp_the_last_pose_counts():
    series = PoseSeries()
    for stamp, x in ((30, 3.0), (10, 1.0), (30, 4.0), (20, 2.0)):
        assert series.add(stamp, (x, 0, 0), NONE)
    trajectory = series.trajectory()
    assert trajectory.stamps_ns.tolist() == [10, 20, 30]
    assert trajectory.poses[:, 0, 3].tolist() == [1.0, 2.0, 4.0]
    assert len(PoseSeries().trajectory()) == 0
