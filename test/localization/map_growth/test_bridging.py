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

"""Poses between verified fixes: both ends fit, drift is corrected, and contradictions are found."""

from __future__ import annotations

import numpy as np
import pytest

from scene_geo_loc.geometry.pose import Pose, make_pose, rotation_error_deg
from scene_geo_loc.geometry.rotation import matrix_of_vector
from scene_geo_loc.localization.map_growth.bridging import Fix, Waypoint, bridge
from scene_geo_loc.localization.tracking.tracker import TrackerSettings

SURE = np.diag([1e-4**2] * 3 + [1e-5**2] * 3)
SECOND = 10**9


def pose(x: float, y: float = 0.0, yaw_deg: float = 0.0) -> Pose:
    return make_pose(matrix_of_vector(np.array([0.0, 0.0, np.radians(yaw_deg)])), (x, y, 0.0))


def way_of(
    truth: list[Pose], odometry: list[Pose], fixed: tuple[int, ...], covariance: np.ndarray = SURE
) -> list[Waypoint]:
    """Images one second apart, of which some have a fix at the true pose."""
    return [
        Waypoint(i * SECOND, T_odom, Fix(T, covariance) if i in fixed else None)
        for i, (T, T_odom) in enumerate(zip(truth, odometry, strict=True))
    ]


def positions(way: list[Waypoint]) -> np.ndarray:
    poses = bridge(way, TrackerSettings())
    return np.stack([p.T_map_camera[:3, 3] for p in poses if p is not None and p.T_map_camera is not None])


def test_true_odometry_in_another_frame_gives_the_true_poses() -> None:
    truth = [pose(x, 0.1 * x * x, 5.0 * x) for x in range(8)]
    T_odom_map = pose(100.0, -30.0, 77.0)
    poses = bridge(way_of(truth, [T_odom_map @ T for T in truth], (0, 7)), TrackerSettings())
    for T, found in zip(truth, poses, strict=True):
        assert found is not None
        assert found.T_map_camera is not None
        np.testing.assert_allclose(found.T_map_camera, T, atol=1e-9)


def test_odometry_that_is_too_long_is_shortened_evenly_between_two_fixes() -> None:
    truth = [pose(float(x)) for x in range(11)]
    odometry = [pose(1.02 * x) for x in range(11)]  # 20 cm too long after 10 m
    found = positions(way_of(truth, odometry, (0, 10)))
    assert len(found) == 11
    np.testing.assert_allclose(found[:, 0], np.arange(11.0), atol=1e-3)


def test_a_lateral_drift_vanishes_at_both_ends() -> None:
    truth = [pose(float(x)) for x in range(21)]
    odometry = [pose(float(x), 0.0004 * x * x) for x in range(21)]  # 16 cm to the side after 20 m
    found = positions(way_of(truth, odometry, (0, 20)))
    off = found[:, 1]
    assert abs(off[0]) < 1e-3
    assert abs(off[-1]) < 1e-3
    assert abs(off).max() < 0.08 / 2  # a quarter of what odometry alone errs by


def test_an_image_before_the_first_fix_is_carried_back_to_it_and_grows_uncertain() -> None:
    truth = [pose(float(x)) for x in range(10)]
    poses = bridge(way_of(truth, truth, (9,)), TrackerSettings(odometry_std_m=0.05))
    stds = [found.position_std_m for found in poses if found is not None]
    assert len(stds) == 10
    assert stds == sorted(stds, reverse=True)
    # Nine independent metres, and the lever of nine uncertain headings.
    lever = np.radians(0.1) * np.sqrt(sum(k * k for k in range(9)))
    assert stds[0] == pytest.approx(np.hypot(0.05 * 3, lever), rel=0.01)


def test_nothing_after_the_last_fix_gets_a_pose() -> None:
    truth = [pose(float(x)) for x in range(5)]
    poses = bridge(way_of(truth, truth, (1, 2)), TrackerSettings())
    assert [found is None for found in poses] == [False, False, False, True, True]


def test_exploring_odometry_alone_carries_the_last_fix_on() -> None:
    truth = [pose(float(x)) for x in range(5)]
    poses = bridge(way_of(truth, truth, (1, 2)), TrackerSettings(), explores=True)
    assert [found.T_map_camera[0, 3] for found in poses if found and found.T_map_camera is not None] == (
        pytest.approx([0.0, 1.0, 2.0, 3.0, 4.0], abs=1e-6)
    )
    stds = [found.position_std_m for found in poses if found]
    assert stds[4] > stds[3] > stds[2]


@pytest.mark.parametrize("slip_m", [3.0, -3.0])
def test_images_between_fixes_that_odometry_contradicts_get_none(slip_m: float) -> None:
    truth = [pose(float(x)) for x in range(12)]
    odometry = [pose(x + (slip_m if x > 5 else 0.0)) for x in range(12)]  # slips between 5 and 6
    poses = bridge(way_of(truth, odometry, (0, 1, 2, 9, 10, 11)), TrackerSettings())
    rejected = [i for i, found in enumerate(poses) if found is None or found.T_map_camera is None]
    assert rejected == [3, 4, 5, 6, 7, 8]


def test_a_better_fix_counts_for_more() -> None:
    truth = [pose(float(x)) for x in range(3)]
    way = way_of(truth, truth, ())
    poor = np.diag([0.3**2] * 3 + [1e-5**2] * 3)
    way[0] = Waypoint(0, truth[0], Fix(pose(0.0, 0.4), poor))
    way[2] = Waypoint(2 * SECOND, truth[2], Fix(truth[2], SURE))
    found = bridge(way, TrackerSettings())[1]
    assert found is not None
    assert found.T_map_camera is not None
    assert abs(found.T_map_camera[1, 3]) < 0.03
    assert rotation_error_deg(found.T_map_camera, truth[1]) < 0.1
