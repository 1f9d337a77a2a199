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

"""State of a track: covariances on SE(3) match the scatter of random errors, and stay valid when composed."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from scene_geo_loc.geometry.lie import difference, displaced, motion_of, twist_of
from scene_geo_loc.geometry.pose import Pose, make_pose
from scene_geo_loc.localization.tracking.track_state import SHARED, TrackState

HERE = make_pose(Rotation.from_euler("zyx", [70, 10, -5], degrees=True).as_matrix(), (30.0, -4.0, 2.0))
STEP = make_pose(Rotation.from_euler("y", 8, degrees=True).as_matrix(), (0.1, -0.05, 3.0))
FIX = np.diag([0.04, 0.01, 0.02, 1e-4, 2e-4, 1e-4])

small = st.floats(-1.0, 1.0)
poses = st.builds(
    lambda turn, shift: make_pose(Rotation.from_rotvec(turn).as_matrix(), 10 * np.array(shift)),
    st.tuples(small, small, small),
    st.tuples(small, small, small),
)
roots = st.integers(0, 10_000).map(lambda seed: np.random.default_rng(seed).normal(0, 0.3, (6, 6)))


def chance(rng: np.random.Generator, covariance: np.ndarray) -> np.ndarray:
    return rng.multivariate_normal(np.zeros(6), covariance)


def test_the_order_is_position_then_rotation_about_the_axes_of_the_map() -> None:
    turned = make_pose(
        Rotation.from_rotvec([0, 0, 0.2]).as_matrix() @ HERE[:3, :3], HERE[:3, 3] + (0, 3.0, 0)
    )
    np.testing.assert_allclose(difference(HERE, turned), [0, 3.0, 0, 0, 0, 0.2], atol=1e-12)


@given(poses, poses)
def test_a_pose_displaced_by_the_difference_is_the_other(T_0: Pose, T_1: Pose) -> None:
    np.testing.assert_allclose(displaced(T_0, difference(T_0, T_1)), T_1, atol=1e-9)


@given(poses, st.floats(0.05, 2.0))
def test_a_twist_moves_as_it_was_measured(motion: Pose, seconds: float) -> None:
    np.testing.assert_allclose(motion_of(twist_of(motion, seconds), seconds), motion, atol=1e-9)


def test_after_a_measured_motion_the_covariance_is_that_of_many_tries() -> None:
    rng = np.random.default_rng(1)
    noise = np.array([0.05, 0.05, 0.05, 0.004, 0.004, 0.004])
    stated = TrackState.from_estimate(HERE, FIX).predict_odometry(STEP, noise, 0.5).covariance
    errors = [
        difference(
            HERE @ STEP,
            displaced(HERE, chance(rng, FIX)) @ STEP @ displaced(np.eye(4), chance(rng, np.diag(noise**2))),
        )
        for _ in range(800)
    ]
    whitener = np.linalg.inv(np.linalg.cholesky(stated))
    ratios = np.linalg.eigvalsh(whitener @ np.cov(np.array(errors).T) @ whitener.T)
    np.testing.assert_allclose(ratios, 1, atol=0.25)


def test_after_coasting_the_covariance_is_that_of_many_tries() -> None:
    rng = np.random.default_rng(2)
    velocity = np.diag([0.2, 0.2, 0.2, 0.02, 0.02, 0.02]) ** 2
    twist = np.array([0.3, 0.0, 8.0, 0.0, 0.4, 0.0])
    own = np.zeros((12, 12))
    own[:6, :6], own[6:, 6:] = FIX, velocity
    state = TrackState(HERE, twist, own, np.zeros((12, 6)))
    stated = state.predict(0.5, 1e-9, 1e-9).covariance
    errors = [
        difference(
            HERE @ motion_of(twist, 0.5),
            displaced(HERE, chance(rng, FIX)) @ motion_of(twist + chance(rng, velocity), 0.5),
        )
        for _ in range(800)
    ]
    whitener = np.linalg.inv(np.linalg.cholesky(stated))
    ratios = np.linalg.eigvalsh(whitener @ np.cov(np.array(errors).T) @ whitener.T)
    np.testing.assert_allclose(ratios, 1, atol=0.25)


@given(poses, st.lists(st.tuples(poses, roots, st.floats(0.05, 2.0)), min_size=1, max_size=5))
def test_whatever_is_composed_a_covariance_stays_one(
    start: Pose, steps: list[tuple[Pose, np.ndarray, float]]
) -> None:
    state = TrackState.from_estimate(start, FIX)
    for motion, root, seconds in steps:
        moved = state.predict_odometry(motion, np.full(6, 0.1), seconds)
        for after in (moved, state.predict(seconds, 2.0, 0.5)):
            np.testing.assert_allclose(after.own, after.own.T, rtol=1e-6, atol=1e-9)
            assert np.linalg.eigvalsh(after.own).min() >= -1e-6 * np.abs(after.own).max()
        state = moved.update(displaced(moved.T_map_base, 0.1 * root[0]), root @ root.T + 1e-4 * np.eye(6))
        assert np.linalg.eigvalsh(state.covariance).min() > 0


def test_the_error_that_fixes_share_is_never_averaged_away() -> None:
    state = TrackState.from_estimate(HERE, FIX)
    for _ in range(200):
        state = state.predict_odometry(np.eye(4), np.full(6, 1e-6), 0.1).update(HERE, FIX)
    np.testing.assert_allclose(state.covariance, SHARED * FIX, rtol=0.05, atol=1e-6)


def test_a_much_better_fix_wins_over_what_was_believed() -> None:
    there = displaced(HERE, np.array([0.3, -0.2, 0.1, 0.02, 0.0, -0.01]))
    fused = TrackState.from_estimate(HERE, FIX).update(there, 1e-6 * FIX)
    np.testing.assert_allclose(fused.T_map_base, there, atol=1e-3)
