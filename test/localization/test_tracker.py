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

"""Tracking a camera: no lag, no acceptance of wrong estimates, no pose while tracks are ambiguous."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from scene_geo_loc.geometry.lie import displaced
from scene_geo_loc.geometry.pose import (
    Pose,
    inverse,
    make_pose,
    position_error_m,
    rotation_error_deg,
)
from scene_geo_loc.localization.estimate import PoseEstimate, PosePrior, Status
from scene_geo_loc.localization.tracking.tracker import TrackedPose, Tracker, TrackerSettings
from scene_geo_loc.localization.verification.rejection import Rejection, RejectionKind

TENTH = 100_000_000
FIX = np.diag([0.05**2] * 3 + [0.004**2] * 3)
NOTHING = PoseEstimate(Status.LOST, rejection=Rejection(RejectionKind.UNKNOWN_PLACE, 0.0, 0.1))
T_ODOM_MAP = make_pose(Rotation.from_euler("z", 130, degrees=True).as_matrix(), (7.0, -40.0, 0.0))


def on_a_circle(i: int, radius_m: float = 30.0, speed: float = 10.0) -> Pose:
    """The camera at image `i` of a drive around a circle, looking along it, ten images a second."""
    angle = speed * 0.1 * i / radius_m
    ahead = np.array([-np.sin(angle), np.cos(angle), 0.0])
    down = np.array([0.0, 0.0, -1.0])
    R = np.stack([np.cross(down, ahead), down, ahead], axis=1)
    return make_pose(R, radius_m * np.array([np.cos(angle), np.sin(angle), 0.0]))


def fix(T: Pose, off: Iterable[float] = (0,) * 6) -> PoseEstimate:
    return PoseEstimate(Status.LOCALIZED, displaced(T, np.array([*off], float)), FIX.copy())


def like(T: Pose) -> PoseEstimate:
    """An image that looks like a keyframe at a place, and geometry does not confirm it."""
    return PoseEstimate(Status.RETRIEVED_ONLY, T, rejection=Rejection(RejectionKind.INLIER_RATIO, 0.1, 0.13))


def far(T: Pose, metres: float = 80.0) -> Pose:
    return make_pose(T[:3, :3], T[:3, 3] + (metres, 0.0, 0.0))


class Drive:
    """A tracker fed with the images of a drive around the circle, one after the other."""

    def __init__(self, odometry: bool = True, settings: TrackerSettings | None = None) -> None:
        self.tracker, self.odometry, self.i = Tracker(settings), odometry, 0

    @property
    def here(self) -> Pose:
        return on_a_circle(self.i)

    def next(self, estimate: PoseEstimate | None = None, prior: PosePrior | None = None) -> TrackedPose:
        """The answer for the next image; a right fix where no other estimate is given."""
        self.i += 1
        T_odom_camera = T_ODOM_MAP @ self.here if self.odometry else None
        return self.tracker.update(self.i * TENTH, estimate or fix(self.here), T_odom_camera, prior)

    def followed(self, images: int = 10) -> TrackedPose:
        return [self.next() for _ in range(images)][-1]


def test_poses_are_given_from_the_third_fix_that_agrees_on() -> None:
    drive = Drive()
    first, second, third = (drive.next() for _ in range(3))
    assert [first.status, second.status, third.status] == [Status.LOST, Status.LOST, Status.LOCALIZED]
    assert first.T_map_base is None
    assert first.rejection == Rejection(RejectionKind.UNCONFIRMED, 1, 3)
    assert third.rejection is None


@pytest.mark.parametrize("odometry", [True, False])
def test_a_camera_on_a_circle_is_followed_without_lag(odometry: bool) -> None:
    drive = Drive(odometry)
    drive.followed(20)
    for _ in range(40):
        pose = drive.next()
        assert pose.T_map_base is not None
        assert position_error_m(drive.here, pose.T_map_base) < (1e-6 if odometry else 0.01)
        assert rotation_error_deg(drive.here, pose.T_map_base) < 0.05


def test_chance_errors_are_smoothed_and_stay_within_the_stated_covariance() -> None:
    rng, drive = np.random.default_rng(5), Drive()
    single, tracked, sigmas = [], [], []
    for _ in range(300):
        off = rng.multivariate_normal(np.zeros(6), FIX)
        pose = drive.next(fix(on_a_circle(drive.i + 1), off))
        if pose.T_map_base is not None and pose.covariance is not None:
            single.append(np.linalg.norm(off[:3]))
            error = pose.T_map_base[:3, 3] - drive.here[:3, 3]
            tracked.append(np.linalg.norm(error))
            sigmas.append(error @ np.linalg.solve(pose.covariance[:3, :3], error))
    assert len(tracked) == 298
    assert np.median(tracked) < 0.8 * np.median(single)
    assert np.mean(np.array(sigmas) < 7.81) > 0.93


def test_a_wrong_fix_is_refused_and_the_next_right_one_ends_the_doubt() -> None:
    drive = Drive()
    drive.followed()
    wrong = drive.next(fix(far(drive.here)))
    assert (wrong.status, wrong.T_map_base) == (Status.LOST, None)
    assert wrong.rejection.kind is RejectionKind.OFF_TRACK
    after = drive.next()
    assert after.status is Status.LOCALIZED
    assert position_error_m(drive.here, after.T_map_base) < 1e-6


def test_between_two_places_that_look_alike_there_is_no_pose_until_one_dies() -> None:
    drive = Drive()
    for _ in range(6):
        assert drive.next().status is Status.LOST
        assert drive.next(fix(far(on_a_circle(drive.i + 1)))).status is Status.LOST
    answers = [drive.next() for _ in range(4)]
    assert answers[-1].status is Status.LOCALIZED
    assert position_error_m(drive.here, answers[-1].T_map_base) < 0.01


def test_a_kidnapped_camera_is_found_again_without_a_wrong_pose() -> None:
    drive = Drive()
    drive.followed()
    answers = [drive.next(fix(far(on_a_circle(drive.i + 1)))) for _ in range(5)]
    assert [answer.status for answer in answers[:2]] == [Status.LOST] * 2
    for back in answers[2:]:
        assert back.status is Status.LOCALIZED
    assert position_error_m(far(drive.here), answers[-1].T_map_base) < 0.01


def test_over_a_gap_odometry_carries_the_pose_and_its_covariance_grows() -> None:
    drive = Drive()
    measured = drive.followed()
    stds = [np.sqrt(np.trace(measured.covariance[:3, :3]))]
    for _ in range(50):
        pose = drive.next(NOTHING)
        assert pose.status is Status.DEAD_RECKONED
        assert position_error_m(drive.here, pose.T_map_base) < 1e-6
        stds.append(np.sqrt(np.trace(pose.covariance[:3, :3])))
    assert (np.diff(stds) > 0).all()
    assert pose.rejection.kind is RejectionKind.ODOMETRY_ONLY
    assert pose.rejection.value == pytest.approx(5.0)


@pytest.mark.parametrize(("odometry", "longest_s"), [(True, (8, 40)), (False, (0.5, 2.5))])
def test_past_the_limit_a_dead_reckoned_pose_is_lost(odometry: bool, longest_s: tuple[float, float]) -> None:
    drive = Drive(odometry)
    drive.followed(20)
    last = drive.i
    while (pose := drive.next(NOTHING)).status.has_pose:
        assert np.sqrt(np.linalg.eigvalsh(pose.covariance[:3, :3])[-1]) < 1.01
    assert longest_s[0] < (drive.i - last) / 10 < longest_s[1]
    assert pose.rejection == Rejection(RejectionKind.UNCERTAIN, limit=1.0)
    assert drive.next(NOTHING).rejection == NOTHING.rejection


def test_rough_fixes_are_followed_as_well() -> None:
    """Their own uncertainty does not count as that of carrying them on."""
    drive = Drive()
    rough = PoseEstimate(Status.LOCALIZED, None, 900.0 * FIX)
    for _ in range(10):
        rough.T_map_base = on_a_circle(drive.i + 1)
        pose = drive.next(rough)
    assert pose.status is Status.LOCALIZED
    assert drive.next(NOTHING).status is Status.DEAD_RECKONED


def test_a_standing_camera_is_known_as_long_as_odometry_says_that_it_stands() -> None:
    tracker = Tracker()
    for i in range(600):
        pose = tracker.update(i * TENTH, fix(on_a_circle(0)) if i < 5 else NOTHING, T_ODOM_MAP)
    assert pose.status is Status.DEAD_RECKONED
    assert np.sqrt(np.trace(pose.covariance[:3, :3])) < 0.1


def test_images_that_look_like_other_places_end_a_dead_reckoned_pose() -> None:
    drive = Drive()
    drive.followed()
    elsewhere = [drive.next(like(far(on_a_circle(drive.i + 1)))) for _ in range(3)]
    assert [pose.status.has_pose for pose in elsewhere] == [True, True, False]
    assert elsewhere[-1].rejection.kind is RejectionKind.OTHER_PLACE
    assert drive.next(like(on_a_circle(drive.i + 1))).status.has_pose  # it looks like its own place again


def test_a_search_around_the_track_is_no_witness_of_the_place() -> None:
    drive = Drive()
    drive.followed()
    near = PosePrior(drive.here, 5.0)
    assert all(drive.next(like(far(on_a_circle(drive.i + 1))), near).status.has_pose for _ in range(6))


def test_every_other_image_is_searched_for_around_a_track_that_is_sure_and_not_confirmed() -> None:
    drive = Drive()

    def prior() -> PosePrior | None:
        return drive.tracker.prior((drive.i + 1) * TENTH)

    assert prior() is None
    drive.next(NOTHING)
    assert prior() is None
    drive.followed()
    assert prior() is None  # the whole map is searched, so that another place is noticed
    given = []
    for _ in range(4):
        drive.next(NOTHING, prior())
        given.append(prior() is not None)
    assert given == [True, False, True, False]
    drive.next(NOTHING, prior())
    around = prior()
    assert around is not None
    assert position_error_m(around.T_map_camera, on_a_circle(drive.i + 1)) < around.radius_m < 10.0
    drive.next(like(far(on_a_circle(drive.i + 1))))
    assert prior() is None


def test_the_map_s_frame_and_that_of_odometry_may_be_anything() -> None:
    """The same drive in a map that is turned and far away: the same answers, there."""
    there = make_pose(Rotation.from_euler("xyz", [20, -30, 140], degrees=True).as_matrix(), (5e5, 6e6, 80.0))
    here, moved = Tracker(), Tracker()
    rng = np.random.default_rng(8)
    for i in range(30):
        T, T_odom_camera = on_a_circle(i), T_ODOM_MAP @ on_a_circle(i)
        estimate = fix(T, rng.normal(0, 0.02, 6)) if i % 3 else NOTHING
        turned = estimate
        if estimate.T_map_base is not None:
            turned = PoseEstimate(Status.LOCALIZED, there @ estimate.T_map_base, FIX.copy())
        a = here.update(i * TENTH, estimate, T_odom_camera)
        b = moved.update(i * TENTH, turned, inverse(there) @ T_odom_camera)
        assert a.status is b.status
        if a.T_map_base is not None:
            np.testing.assert_allclose(there @ a.T_map_base, b.T_map_base, rtol=0, atol=1e-6)


def test_images_come_in_order_of_time() -> None:
    tracker = Tracker()
    tracker.update(5, NOTHING)
    with pytest.raises(ValueError, match="order of time"):
        tracker.update(5, NOTHING)
    tracker.reset()
    assert tracker.update(5, NOTHING).status is Status.LOST
