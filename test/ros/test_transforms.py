"""The transform buffer, with times and poses that can be worked out by hand."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from scene_geo_loc.geometry.pose import make_pose
from scene_geo_loc.ros.common.transforms import TransformBuffer, TransformUnavailable

SECOND = 10**9


def at(x: float, yaw_deg: float = 0.0) -> np.ndarray:
    return make_pose(Rotation.from_euler("z", yaw_deg, degrees=True).as_matrix(), (x, 0.0, 0.0))


@pytest.fixture
def buffer() -> TransformBuffer:
    """map -> odom -> base_link -> camera, the middle one moving at 1 m/s from second 1 to second 2."""
    buffer = TransformBuffer()
    buffer.add("map", "odom", 0, at(10.0, 90.0), static=True)
    buffer.add("odom", "base_link", 1 * SECOND, at(1.0))
    buffer.add("odom", "base_link", 2 * SECOND, at(2.0))
    buffer.add("base_link", "camera", 0, at(0.5), static=True)
    return buffer


def test_a_lookup_goes_along_the_chain_and_interpolates_in_time(buffer: TransformBuffer) -> None:
    # 1.25 m + 0.5 m along the odometry's x, which is the map's y.
    T = buffer.lookup("map", "camera", 5 * SECOND // 4)
    np.testing.assert_allclose(T[:3, 3], [10.0, 1.75, 0.0], atol=1e-12)


def test_a_lookup_the_other_way_is_the_inverse(buffer: TransformBuffer) -> None:
    there, back = buffer.lookup("map", "camera", SECOND), buffer.lookup("camera", "map", SECOND)
    np.testing.assert_allclose(there @ back, np.eye(4), atol=1e-12)


def test_frames_on_two_branches_meet_at_their_common_parent(buffer: TransformBuffer) -> None:
    buffer.add("base_link", "lidar", 0, at(-0.5), static=True)
    T = buffer.lookup("lidar", "camera", 10**15)
    np.testing.assert_allclose(T, at(1.0), atol=1e-12)


def test_between_static_frames_any_time_will_do(buffer: TransformBuffer) -> None:
    np.testing.assert_allclose(buffer.lookup("base_link", "camera", 0), at(0.5))


@pytest.mark.parametrize(
    ("target", "source", "stamp_ns", "sentence"),
    [
        ("map", "lidar", SECOND, "nobody publishes lidar"),
        ("map", "island", SECOND, "different trees"),
        ("map", "base_link", 3 * SECOND, "ends 1.000 s before"),
        ("map", "base_link", 0, "begins 1.000 s after"),
        ("map", "late", 3 * SECOND, "gap of 4.0 s"),
    ],
)
def test_what_is_not_known_is_said_in_a_sentence(
    buffer: TransformBuffer, target: str, source: str, stamp_ns: int, sentence: str
) -> None:
    buffer.add("sea", "island", 0, at(0.0), static=True)
    buffer.add("map", "late", 1 * SECOND, at(0.0))
    buffer.add("map", "late", 5 * SECOND, at(0.0))
    with pytest.raises(TransformUnavailable, match=sentence):
        buffer.lookup(target, source, stamp_ns)


def test_frames_in_a_loop_are_said_and_not_followed_for_ever(buffer: TransformBuffer) -> None:
    buffer.add("camera", "map", 0, at(0.0), static=True)
    with pytest.raises(TransformUnavailable, match="form a loop"):
        buffer.lookup("map", "lidar_of_another_robot", SECOND)


def test_transforms_that_come_out_of_order_are_put_in_their_place(buffer: TransformBuffer) -> None:
    buffer.add("odom", "base_link", 3 * SECOND // 2, at(1.9))
    np.testing.assert_allclose(buffer.lookup("odom", "base_link", 3 * SECOND // 2), at(1.9))
    np.testing.assert_allclose(buffer.lookup("odom", "base_link", 7 * SECOND // 4)[0, 3], 1.95)


def test_of_two_transforms_with_one_stamp_the_last_counts(buffer: TransformBuffer) -> None:
    buffer.add("odom", "base_link", 2 * SECOND, at(7.0))
    np.testing.assert_allclose(buffer.lookup("odom", "base_link", 2 * SECOND), at(7.0))


def test_what_is_older_than_the_cache_is_forgotten() -> None:
    buffer = TransformBuffer(cache_s=5.0)
    for second in range(20):
        buffer.add("odom", "base_link", second * SECOND, at(second))
    assert buffer.lookup("odom", "base_link", 14 * SECOND)[0, 3] == 14.0
    with pytest.raises(TransformUnavailable):
        buffer.lookup("odom", "base_link", 13 * SECOND)


def test_clearing_keeps_only_what_is_static(buffer: TransformBuffer) -> None:
    buffer.clear()
    np.testing.assert_allclose(buffer.lookup("base_link", "camera", SECOND), at(0.5))
    with pytest.raises(TransformUnavailable, match="different trees"):
        buffer.lookup("odom", "base_link", SECOND)


def test_waiting_ends_when_the_transform_comes(buffer: TransformBuffer) -> None:
    threading.Timer(0.05, lambda: buffer.add("odom", "base_link", 5 * SECOND // 2, at(2.5))).start()
    assert buffer.wait("odom", "base_link", 5 * SECOND // 2, timeout_s=10.0)[0, 3] == 2.5


def test_waiting_for_what_does_not_come_ends_with_the_reason(buffer: TransformBuffer) -> None:
    with pytest.raises(TransformUnavailable, match=r"ends 0\.500 s before"):
        buffer.wait("odom", "base_link", 5 * SECOND // 2, timeout_s=0.02)


def test_what_no_transform_can_still_bring_is_not_waited_for(buffer: TransformBuffer) -> None:
    with pytest.raises(TransformUnavailable, match="begins"):
        buffer.wait("odom", "base_link", 0, timeout_s=1e6)
    with pytest.raises(TransformUnavailable, match="ends 98"):
        buffer.wait("odom", "base_link", 100 * SECOND, timeout_s=1e6)
