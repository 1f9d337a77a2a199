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

"""A session: prior, localizer and tracker in one place, for one camera and for a rig."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from room import Room

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.geometry.pose import make_pose
from scene_geo_loc.localization.estimate import (
    CameraEstimate,
    LocalizerSettings,
    PoseEstimate,
    PosePrior,
    Status,
)
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.query import CameraImage
from scene_geo_loc.localization.retrieval.image_sequence import EarlierImages, KeyframeVotes, no_images
from scene_geo_loc.localization.session import Session
from scene_geo_loc.localization.tracking.tracker import Tracker
from scene_geo_loc.localization.verification.rejection import Rejection, RejectionKind
from scene_geo_loc.mapping.reference_map import ReferenceMap

HERE = make_pose(np.eye(3), (1.0, 2.0, 0.0))
FOUND = PoseEstimate(Status.LOCALIZED, HERE, np.diag([0.1**2] * 3 + [0.01**2] * 3))
LOST = PoseEstimate(Status.LOST, rejection=Rejection(RejectionKind.UNKNOWN_PLACE, 0.0, 0.1))
SECOND = 10**9


class Scripted:
    """A localizer that answers what it is given, and keeps the priors and the images before."""

    settings = LocalizerSettings()

    def __init__(self, *answers: PoseEstimate | SceneGeoLocError) -> None:
        self.answers, self.priors = list(answers), list[PosePrior | None]()
        self.earlier: list[Any] = []

    def localize(
        self, query: Any, prior: PosePrior | None = None, earlier: EarlierImages = no_images
    ) -> PoseEstimate:
        self.priors.append(prior)
        self.earlier.append(earlier())
        answer = self.answers.pop(0)
        if isinstance(answer, SceneGeoLocError):
            raise answer
        return answer


def session_of(*answers: PoseEstimate | SceneGeoLocError, tracker: Tracker | None = None) -> Session:
    return Session(Scripted(*answers), tracker)  # type: ignore[arg-type]


def test_without_a_tracker_each_image_has_its_own_pose() -> None:
    session = session_of(FOUND, LOST)
    found = session.localize(0, [])
    assert found.pose.status is Status.LOCALIZED
    np.testing.assert_array_equal(found.pose.T_map_base, HERE)
    lost = session.localize(0, [])  # of the same stamp: nothing is fused
    assert (lost.pose.status, lost.pose.rejection) == (Status.LOST, LOST.rejection)


def test_a_tracker_confirms_bridges_and_searches_near_the_track() -> None:
    session = session_of(FOUND, FOUND, FOUND, LOST, LOST, tracker=Tracker())
    answers = [session.localize(i * SECOND, [], np.eye(4)) for i in range(5)]
    assert [answer.pose.status for answer in answers] == [
        Status.LOST,
        Status.LOST,
        Status.LOCALIZED,
        Status.DEAD_RECKONED,
        Status.DEAD_RECKONED,
    ]
    assert answers[3].estimate is LOST
    priors = session.localizer.priors  # type: ignore[attr-defined]
    assert [prior is None for prior in priors] == [True, True, True, True, False]


def test_a_given_prior_comes_before_the_tracker_s() -> None:
    session = session_of(LOST, tracker=Tracker())
    prior = PosePrior(HERE, 3.0)
    assert session.measure(0, [], prior).prior is prior
    assert session.localizer.priors == [prior]  # type: ignore[attr-defined]


def test_the_region_of_an_independent_sensor_is_searched_where_there_is_no_prior() -> None:
    session, prior, region = session_of(LOST, LOST), PosePrior(HERE, 3.0), PosePrior(HERE, 30.0)
    by_sensor = session.measure(0, [], region=region)
    # It does not follow from earlier poses, so that the estimate counts as one in the whole map.
    assert (by_sensor.prior, by_sensor.region) == (None, region)
    by_prior = session.measure(0, [], prior, region=region)
    assert (by_prior.prior, by_prior.region) == (prior, None)
    assert session.localizer.priors == [region, prior]  # type: ignore[attr-defined]


def test_a_measurement_changes_nothing_until_it_is_taken_in() -> None:
    session = session_of(*[FOUND] * 7, tracker=Tracker())
    for i in range(3):
        session.localize(i * SECOND, [])
    dropped = session.measure(3 * SECOND, [])
    session.reset()
    answer = session.update(session.measure(0, []))  # an earlier stamp, after the reset
    assert answer.pose.kind is RejectionKind.UNCONFIRMED
    assert dropped.estimate is FOUND


def test_an_image_that_is_not_taken_is_lost_offline_and_an_error_where_measured() -> None:
    error = SceneGeoLocError("The image is 3x4 and its camera 5x6.")
    answer = session_of(error).localize(0, [])
    assert (answer.pose.status, answer.estimate.kind) == (Status.LOST, RejectionKind.INVALID_IMAGE)
    assert "3x4" in answer.pose.reason
    with pytest.raises(SceneGeoLocError, match="3x4"):
        session_of(error).measure(0, [])


def seen_at(T_base_camera: np.ndarray) -> PoseEstimate:
    """Returns the estimate of an image that looks like three keyframes and is not localized."""
    votes = KeyframeVotes.of(np.arange(3), np.array([0.2, 0.9, 0.1]))
    rejection = Rejection(RejectionKind.INLIER_RATIO, 0.05, 0.1)
    cameras = [CameraEstimate(T_base_camera, votes=votes)]
    return PoseEstimate(Status.RETRIEVED_ONLY, HERE, rejection=rejection, cameras=cameras)


def driven(metres: float) -> np.ndarray:
    return make_pose(np.eye(3), (0.0, 0.0, metres))


def test_images_before_are_where_odometry_says_and_are_forgotten_with_the_track() -> None:
    aside = make_pose(np.eye(3), (0.5, 0.0, 0.0))
    session = session_of(*[seen_at(aside)] * 4)
    for i in range(2):
        session.localize(i * SECOND, [], driven(2.5 * i))
    session.measure(2 * SECOND, [], odometry=lambda: driven(5.0))
    session.reset()
    session.measure(2 * SECOND, [], odometry=lambda: driven(5.0))
    alone, one, two, forgotten = session.localizer.earlier  # type: ignore[attr-defined]
    assert (alone, forgotten) == ([], [])
    np.testing.assert_allclose([image.T_base_camera for image in one], [driven(-2.5) @ aside])
    np.testing.assert_allclose(
        [image.T_base_camera for image in two], [driven(-5.0) @ aside, driven(-2.5) @ aside]
    )


def test_without_odometry_each_image_is_alone_and_one_sought_near_a_prior_is_not_kept() -> None:
    session = session_of(*[seen_at(np.eye(4))] * 4)
    session.localize(0, [])
    session.localize(SECOND, [], driven(0.0), PosePrior(HERE, 3.0))
    session.localize(2 * SECOND, [], driven(3.0))
    session.localize(3 * SECOND, [])
    assert session.localizer.earlier == [[], [], [], []]  # type: ignore[attr-defined]


@pytest.mark.slow
def test_a_frame_and_a_rig_of_one_camera_are_the_same_session(room: Room, room_map: Path) -> None:
    localizer = Localizer(ReferenceMap.open(room_map), device="cpu")
    frame = room.frame(-2.1, 0.4, 7.0)
    alone = Session(localizer).localize(frame.stamp_ns, frame)
    rig = Session(localizer).localize(frame.stamp_ns, [CameraImage(frame.image, frame.camera)])
    np.testing.assert_array_equal(alone.pose.T_map_base, rig.pose.T_map_base)
    np.testing.assert_array_equal(alone.pose.covariance, rig.pose.covariance)
