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

"""Covariance of a pose: it matches the scatter of repeated measurements, also for correlated matches."""

from __future__ import annotations

import cv2
import numpy as np
from seen import CAMERA, FAR_AWAY, seen_points

from scene_geo_loc.geometry.pose import Pose, inverse, make_pose, transform
from scene_geo_loc.localization.uncertainty.covariance import (
    BEST_MAP_STD,
    EXCESS,
    covariance_of,
    move_covariance,
    normal_equations,
)


def pose() -> Pose:
    return make_pose(cv2.Rodrigues(np.array([0.2, -0.5, 0.1]))[0], FAR_AWAY)


def stated(pixels: np.ndarray, points: np.ndarray, keyframe: np.ndarray | None = None) -> np.ndarray:
    """The covariance but for its excess, and for what no map is better than."""
    covariance = covariance_of(normal_equations(pose(), pixels, points, CAMERA, None, keyframe))
    assert covariance is not None
    return (covariance - np.diag(BEST_MAP_STD**2)) / np.outer(EXCESS, EXCESS)


def least_squares_pose(pixels: np.ndarray, points: np.ndarray) -> Pose:
    """The plain fit of all matches, by OpenCV, from the true pose."""
    around = inverse(make_pose(pose()[:3, :3], np.zeros(3)))
    rvec, tvec = cv2.solvePnPRefineLM(
        points - FAR_AWAY, pixels, CAMERA.K, None, cv2.Rodrigues(around[:3, :3])[0], around[:3, 3:].copy()
    )
    fitted = inverse(make_pose(cv2.Rodrigues(rvec)[0], tvec.ravel()))
    fitted[:3, 3] += FAR_AWAY
    return fitted


def middles_of_blocks() -> np.ndarray:
    grid = np.meshgrid(np.arange(20.0, 320, 40), np.arange(20.0, 240, 40))
    return np.stack(grid, axis=-1).reshape(-1, 2)


def test_but_for_the_excess_the_covariance_is_that_of_repeated_measurements() -> None:
    rng = np.random.default_rng(4)
    exact, points = seen_points(rng, pose(), np.tile(middles_of_blocks(), (3, 1)))
    errors = []
    for _ in range(400):
        fitted = least_squares_pose(exact + rng.normal(0, 0.7, exact.shape), points)
        turn = cv2.Rodrigues(fitted[:3, :3] @ pose()[:3, :3].T)[0].ravel()
        errors.append([*(fitted[:3, 3] - FAR_AWAY), *turn])
    measured = np.cov(np.array(errors).T)
    given = [stated(exact + rng.normal(0, 0.7, exact.shape), points) for _ in range(50)]
    whitener = np.linalg.inv(np.linalg.cholesky(np.mean(given, axis=0)))
    # In the stated covariance's own axes the measured one is the identity, but for chance and for what is
    # assumed to be shared.
    values = np.linalg.eigvalsh(whitener @ measured @ whitener.T)
    assert 0.4 < values.min() < values.max() < 1.3


def test_a_match_seen_again_in_other_keyframes_does_not_make_the_pose_surer() -> None:
    rng = np.random.default_rng(5)
    pixels, points = seen_points(rng, pose(), 200)
    pixels = pixels + rng.normal(0, 1, pixels.shape)
    once = stated(pixels, points)
    thrice = stated(np.tile(pixels, (3, 1)), np.tile(points, (3, 1)))
    np.testing.assert_allclose(thrice, once, rtol=0.05)


def test_matches_that_err_together_say_less_than_as_many_that_do_not() -> None:
    rng = np.random.default_rng(6)
    exact, points = seen_points(rng, pose(), np.tile(middles_of_blocks(), (10, 1)))
    alone = stated(exact + rng.normal(0, 1, exact.shape), points)
    shared = stated(exact + np.tile(rng.normal(0, 1, (48, 2)), (10, 1)), points)
    assert np.trace(shared[:3, :3]) > 3 * np.trace(alone[:3, :3])
    assert np.trace(shared[3:, 3:]) > 2 * np.trace(alone[3:, 3:])


def test_keyframes_that_do_not_agree_make_the_pose_less_sure() -> None:
    rng = np.random.default_rng(8)
    exact, points = seen_points(rng, pose(), 300)
    keyframe = rng.integers(0, 4, 300)
    seen = exact + rng.normal(0, 0.5, exact.shape)
    agreeing = stated(seen, points, keyframe)
    leaning = np.array([[2.0, 1.0], [-2.0, 1.0], [1.0, -2.0], [-1.0, 0.0]])
    apart = stated(seen + leaning[keyframe], points, keyframe)
    assert np.trace(apart[:3, :3]) > 3 * np.trace(agreeing[:3, :3])
    assert np.trace(apart) > 1.3 * np.trace(stated(seen + leaning[keyframe], points))


def test_no_pose_is_surer_than_a_map_can_be() -> None:
    pixels, points = seen_points(np.random.default_rng(9), pose(), 300)
    covariance = covariance_of(normal_equations(pose(), pixels, points, CAMERA))
    assert covariance is not None
    assert (np.sqrt(np.diag(covariance)) >= 0.99 * BEST_MAP_STD).all()


def test_points_on_one_line_fix_no_pose() -> None:
    along = np.linspace(0, 1, 40)[:, None]
    points = transform(pose(), np.array([[-2.0, 0, 6]]) + along * np.array([[4.0, 1, 2]]))
    pixels = CAMERA.project(transform(inverse(pose()), points))
    noisy = pixels + np.random.default_rng(6).normal(0, 1, pixels.shape)
    assert covariance_of(normal_equations(pose(), noisy, points, CAMERA)) is None


def test_few_matches_in_one_block_still_have_a_sound_covariance() -> None:
    rng = np.random.default_rng(7)
    exact, points = seen_points(rng, pose(), rng.uniform(121, 159, (12, 2)))
    covariance = stated(exact + rng.normal(0, 0.5, exact.shape), points)
    assert np.linalg.eigvalsh(covariance).min() > 0
    everywhere, others = seen_points(rng, pose(), 12)
    wide = stated(everywhere + rng.normal(0, 0.5, everywhere.shape), others)
    assert np.trace(covariance) > np.trace(wide)


def test_an_uncertain_turn_moves_a_frame_at_the_end_of_a_lever() -> None:
    covariance = np.diag([0, 0, 0, 0, 0, 0.01])  # about z only
    moved = move_covariance(covariance, np.array([2.0, 0, 0]))
    np.testing.assert_allclose(moved[1, 1], 4 * 0.01)  # two metres ahead it swings to the side
    np.testing.assert_allclose([moved[0, 0], moved[2, 2]], 0, atol=1e-12)
    np.testing.assert_allclose(moved[1, 5], 2 * 0.01)
