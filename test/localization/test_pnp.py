"""Pose from matches: exact where the matches are, robust where they lie, honest about how sure it is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import (
    Pose,
    inverse,
    make_pose,
    position_error_m,
    rotation_error_deg,
    transform,
)
from scene_geo_loc.localization.pnp import (
    MOST_PULL,
    PULL,
    PnPSolution,
    ideal_pixels,
    move_covariance,
    pose_covariance,
    pull_covariance,
    refine_pnp,
    reprojection_errors,
    solve_pnp,
)

CAMERA = Camera(320, 240, 250.0, 260.0, 158.0, 121.0)
FAR_AWAY = np.array([620_000.0, 5_735_000.0, 60.0])  # where a map in UTM coordinates lies


def pose() -> Pose:
    return make_pose(cv2.Rodrigues(np.array([0.2, -0.5, 0.1]))[0], FAR_AWAY)


def seen_points(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and the points of the map that they see."""
    pixels = rng.uniform((0, 0), (320, 240), (count, 2))
    points = transform(pose(), CAMERA.back_project(pixels, rng.uniform(4, 30, count)))
    return pixels, points


def test_exact_matches_give_the_exact_pose_even_far_from_the_origin() -> None:
    pixels, points = seen_points(np.random.default_rng(0), 60)
    solution = solve_pnp(pixels, points, CAMERA, 4.0)
    assert solution is not None
    assert position_error_m(pose(), solution.T_map_camera) < 1e-5
    assert rotation_error_deg(pose(), solution.T_map_camera) < 1e-4
    assert solution.inlier.all()


def test_seven_of_ten_matches_may_be_wrong() -> None:
    rng = np.random.default_rng(1)
    pixels, points = seen_points(rng, 300)
    pixels[:210] = rng.uniform((0, 0), (320, 240), (210, 2))
    pixels[210:] += rng.normal(0, 0.5, (90, 2))
    solution = solve_pnp(pixels, points, CAMERA, 4.0)
    assert solution is not None
    assert position_error_m(pose(), solution.T_map_camera) < 0.1
    assert solution.inlier[210:].all()
    assert solution.inlier[:210].mean() < 0.05


@pytest.mark.parametrize("count", [0, 3])
def test_fewer_than_four_matches_give_nothing(count: int) -> None:
    pixels, points = seen_points(np.random.default_rng(2), count)
    assert solve_pnp(pixels, points, CAMERA, 4.0) is None


def test_refining_brings_a_rough_pose_to_the_least_squares_one() -> None:
    rng = np.random.default_rng(3)
    pixels, points = seen_points(rng, 200)
    rough = pose() @ make_pose(cv2.Rodrigues(np.array([0.01, 0, 0]))[0], (0.1, -0.1, 0.1))
    start = PnPSolution(rough, np.ones(200, bool))
    refined = refine_pnp(start, pixels, points, CAMERA, 4.0)
    assert position_error_m(pose(), refined.T_map_camera) < 1e-4


def test_points_behind_the_camera_are_never_inliers() -> None:
    behind = transform(pose(), np.array([[0.0, 0, -5]]))
    assert np.isinf(reprojection_errors(pose(), np.array([[158.0, 121.0]]), behind, CAMERA)).all()


def test_ideal_pixels_undo_the_lens() -> None:
    lens = Camera(320, 240, 250.0, 260.0, 158.0, 121.0, "plumb_bob", (-0.3, 0.1, 0.0, 0.0))
    point = np.array([[1.0, -0.7, 3.0]])
    np.testing.assert_allclose(ideal_pixels(lens, lens.project(point)), CAMERA.project(point), atol=1e-4)


def least_squares_pose(pixels: np.ndarray, points: np.ndarray) -> Pose:
    """The plain fit of all matches, by OpenCV, from the true pose."""
    around = inverse(make_pose(pose()[:3, :3], np.zeros(3)))
    rvec, tvec = cv2.solvePnPRefineLM(
        points - FAR_AWAY, pixels, CAMERA.K, None, cv2.Rodrigues(around[:3, :3])[0], around[:3, 3:].copy()
    )
    fitted = inverse(make_pose(cv2.Rodrigues(rvec)[0], tvec.ravel()))
    fitted[:3, 3] += FAR_AWAY
    return fitted


def test_the_covariance_is_that_of_repeated_measurements() -> None:
    rng = np.random.default_rng(4)
    middles = np.stack(np.meshgrid(np.arange(20, 320, 40), np.arange(20, 240, 40)), axis=-1).reshape(-1, 2)
    exact = middles.astype(float)  # one in each block: all are independent
    points = transform(pose(), CAMERA.back_project(exact, rng.uniform(4, 30, len(exact))))
    errors = []
    for _ in range(400):
        pixels = exact + rng.normal(0, 0.7, exact.shape)
        fitted = least_squares_pose(pixels, points)
        shift = fitted[:3, 3] - FAR_AWAY
        turn = cv2.Rodrigues(fitted[:3, :3] @ pose()[:3, :3].T)[0].ravel()
        errors.append([*shift, *turn])
    measured = np.cov(np.array(errors).T)
    stated = pose_covariance(pose(), exact + rng.normal(0, 0.7, exact.shape), points, CAMERA)
    assert stated is not None
    # In the stated covariance's own axes the measured one is the identity, but for chance.
    whitener = np.linalg.inv(np.linalg.cholesky(stated))
    np.testing.assert_allclose(np.linalg.eigvalsh(whitener @ measured @ whitener.T), 1, atol=0.6)


def test_matches_beside_each_other_do_not_make_the_pose_more_certain() -> None:
    rng = np.random.default_rng(5)
    pixels, points = seen_points(rng, 60)
    pixels += rng.normal(0, 1, pixels.shape)
    once = pose_covariance(pose(), pixels, points, CAMERA)
    thrice = pose_covariance(pose(), np.tile(pixels, (3, 1)), np.tile(points, (3, 1)), CAMERA)
    np.testing.assert_allclose(thrice, once, rtol=0.05)


def test_points_on_one_line_fix_no_pose() -> None:
    along = np.linspace(0, 1, 40)[:, None]
    points = transform(pose(), np.array([[-2.0, 0, 6]]) + along * np.array([[4.0, 1, 2]]))
    pixels = CAMERA.project(transform(inverse(pose()), points))
    noisy = pixels + np.random.default_rng(6).normal(0, 1, pixels.shape)
    assert pose_covariance(pose(), noisy, points, CAMERA) is None


def test_keyframes_draw_the_pose_towards_their_own() -> None:
    ahead = pose() @ make_pose(np.eye(3), (0, 0, 2.0))
    alone = pull_covariance(pose(), ahead[None], np.ones(1), inlier_ratio=0.5)
    forward = np.array([*pose()[:3, 2], 0, 0, 0])
    np.testing.assert_allclose(forward @ alone @ forward, (PULL * 2.0) ** 2)
    np.testing.assert_allclose(np.trace(alone), (PULL * 2.0) ** 2)  # and no other way
    far = pose() @ make_pose(np.eye(3), (0, 0, 50.0))
    both = pull_covariance(pose(), np.stack([ahead, far]), np.array([0.99, 0.01]), inlier_ratio=0.5)
    assert np.trace(both) < 1.1 * np.trace(alone)  # a few chance matches with one far away hardly count


def test_keyframes_draw_harder_the_fewer_of_the_matches_agree_and_not_beyond_a_limit() -> None:
    ahead = (pose() @ make_pose(np.eye(3), (0, 0, 2.0)))[None]
    stds = [
        np.sqrt(np.trace(pull_covariance(pose(), ahead, np.ones(1), r))) for r in (0.9, 0.5, 0.3, 0.1, 0.01)
    ]
    assert (np.diff(stds[:4]) > 0).all()
    np.testing.assert_allclose(stds[3:], MOST_PULL * 2.0)


def test_an_uncertain_turn_moves_a_frame_at_the_end_of_a_lever() -> None:
    covariance = np.diag([0, 0, 0, 0, 0, 0.01])  # about z only
    moved = move_covariance(covariance, np.array([2.0, 0, 0]))
    np.testing.assert_allclose(moved[1, 1], 4 * 0.01)  # two metres ahead it swings to the side
    np.testing.assert_allclose([moved[0, 0], moved[2, 2]], 0, atol=1e-12)
    np.testing.assert_allclose(moved[1, 5], 2 * 0.01)
