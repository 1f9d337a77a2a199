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

"""Sequences of images, on a street that looks the same again and again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from room import Room

from scene_geo_loc.geometry.pose import inverse, make_pose, position_error_m
from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.retrieval.image_sequence import (
    LONGEST_GAP_S,
    NEAR_M,
    EarlierImage,
    ImageSequence,
    KeyframeVotes,
    sequence_votes,
)
from scene_geo_loc.localization.session import Session
from scene_geo_loc.mapping.reference_map import ReferenceMap

SECOND = 10**9
HOUSES = "abcdabceabcf"
"""House that each keyframe shows; the keyframes are 2 m apart."""


def turned(degrees: float) -> np.ndarray:
    """Rotation about the camera's vertical axis."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def at(metres: float, aside: float = 0.0, degrees: float = 0.0) -> np.ndarray:
    return make_pose(turned(degrees), (aside, 0.0, metres))


STREET = np.array([at(2.0 * k) for k in range(len(HOUSES))])
EVERYWHERE = np.arange(len(HOUSES))


def scores(house: str) -> np.ndarray:
    """Scores of an image of a house: 0.8 for the keyframes that show one like it and 0.1 for others."""
    return np.array([0.8 if h == house else 0.1 for h in HOUSES])


def votes_for(house: str) -> KeyframeVotes:
    return KeyframeVotes.of(EVERYWHERE, scores(house))


def votes(earlier: list[EarlierImage], T_base_camera: np.ndarray | None = None) -> np.ndarray:
    return sequence_votes(EVERYWHERE, np.eye(4) if T_base_camera is None else T_base_camera, earlier, STREET)


def driven(*stops: tuple[float, str], spacing_m: float = 2.0, images: int = 5) -> ImageSequence:
    """A sequence of images, one a second, at distances driven of houses."""
    sequence = ImageSequence(images, spacing_m)
    for second, (metres, house) in enumerate(stops):
        sequence.add(second * SECOND, at(metres), [(np.eye(4), votes_for(house))])
    return sequence


def test_a_sequence_tells_apart_what_a_single_image_does_not() -> None:
    alone = scores("c")
    assert np.flatnonzero(alone == alone.max()).tolist() == [2, 6, 10]
    # Before the c came an e, four keyframes back, as before no other c.
    sequence = driven((0.0, "e"), (2.0, "a"), (4.0, "b"))
    together = alone + votes(sequence.before(3 * SECOND, at(6.0)))
    assert together.argmax() == 10
    assert together[10] == pytest.approx(0.8 + 3 * 0.7)
    assert together[6] == together[2] + 0.0 == pytest.approx(0.8 + 2 * 0.7)


def test_a_candidate_without_keyframes_behind_it_loses_nothing() -> None:
    found = votes(driven((0.0, "f"), (2.0, "e")).before(2 * SECOND, at(4.0)))
    assert found[0] == 0.0
    assert (found >= 0).all()


def test_votes_fall_off_with_distance_and_end() -> None:
    def vote(metres: float) -> float:
        image = EarlierImage(at(metres), KeyframeVotes.of(np.array([0, 1, 5]), np.array([0.1, 0.1, 0.9])))
        return float(votes([image])[5])

    assert vote(0.0) == pytest.approx(0.8)
    assert vote(NEAR_M / 2) == pytest.approx(0.4)
    assert vote(NEAR_M + 0.1) == 0.0


def test_a_sparse_map_is_voted_for_by_the_nearest_keyframe() -> None:
    sparse = STREET[::2]  # 4 m apart
    image = EarlierImage(at(-2.0), KeyframeVotes.of(np.arange(6), np.array([0.1, 0.9, 0.1, 0.1, 0.1, 0.1])))
    found = sequence_votes(np.arange(6), np.eye(4), [image], sparse)
    assert found.argmax() in (1, 2)  # both are 2 m from where the image may have been taken
    assert found[3] == 0.0


def test_a_turn_is_followed() -> None:
    """Around a corner: the keyframes before it look along z, those behind it along x."""
    corner = np.array([at(0.0), at(2.0), at(4.0), at(4.0, 2.0, 90.0), at(4.0, 4.0, 90.0)])
    looks_like = KeyframeVotes.of(np.arange(5), np.array([0.1, 0.9, 0.1, 0.1, 0.1]))
    before = EarlierImage(np.linalg.inv(corner[3]) @ corner[1], looks_like)
    found = sequence_votes(np.arange(5), np.eye(4), [before], corner)
    assert found.argmax() == 3
    assert found[3] == pytest.approx(0.8)
    assert found[4] < found[3]


def test_keyframes_that_look_the_other_way_get_no_votes() -> None:
    there_and_back = np.array([at(0.0), at(2.0), at(0.0, degrees=180.0), at(2.0, degrees=180.0)])
    image = EarlierImage(at(-2.0), KeyframeVotes.of(np.arange(4), np.array([0.1, 0.1, 0.9, 0.1])))
    found = sequence_votes(np.arange(4), np.eye(4), [image], there_and_back)
    assert found[1] == 0.0  # 2 m behind it is keyframe 2, but turned around


def test_cameras_of_a_rig_vote_from_their_own_mountings() -> None:
    rear = at(-1.0, degrees=180.0)
    street = np.concatenate([STREET, STREET @ rear])
    looks_like = KeyframeVotes.of(np.arange(24), np.where(np.arange(24) == 12 + 4, 0.9, 0.1))
    sequence = ImageSequence(5, 2.0)
    sequence.add(
        0, at(0.0), [(np.eye(4), KeyframeVotes.of(np.arange(24), np.full(24, 0.1))), (rear, looks_like)]
    )
    earlier = sequence.before(SECOND, at(4.0))
    assert len(earlier) == 2
    front = sequence_votes(np.arange(24), np.eye(4), earlier, street)
    assert front.argmax() == 6  # 4 m ahead of where the rear camera saw keyframe 4
    behind = sequence_votes(np.arange(24), rear, earlier, street)
    assert behind.argmax() == 12 + 6


def test_votes_are_the_same_far_from_the_map_s_origin() -> None:
    earlier = driven((0.0, "e"), (2.0, "a"), (4.0, "b")).before(3 * SECOND, at(6.0))
    utm = make_pose(turned(30.0), (5e5, 4e6, 100.0))
    np.testing.assert_allclose(
        sequence_votes(EVERYWHERE, np.eye(4), earlier, utm @ STREET), votes(earlier), atol=1e-6
    )


def test_standing_still_adds_nothing() -> None:
    sequence = driven((0.0, "a"), (0.0, "b"), (0.3, "c"), (0.1, "d"))
    assert sequence.before(4 * SECOND, at(0.2)) == []
    (image,) = sequence.before(4 * SECOND, at(2.5))
    assert image.votes.keyframes.tolist() == [0, 4, 8]  # of the first image, of house a


def test_turning_on_the_spot_counts_as_moving() -> None:
    sequence = driven((0.0, "a"))
    assert len(sequence.before(SECOND, at(0.0, degrees=60.0))) == 1


def test_only_the_last_images_are_kept() -> None:
    sequence = driven(*[(2.0 * i, HOUSES[i % 12]) for i in range(40)], images=4)
    earlier = sequence.before(40 * SECOND, at(80.0))
    assert [image.T_base_camera[2, 3] for image in earlier] == pytest.approx([-6.0, -4.0, -2.0])
    assert driven((0.0, "a"), (2.0, "b"), images=1).before(2 * SECOND, at(4.0)) == []


def test_it_starts_over_where_odometry_jumps() -> None:
    sequence = driven((0.0, "a"), (2.0, "b"))
    assert sequence.before(2 * SECOND, at(500.0)) == []
    assert sequence.before(2 * SECOND, at(3.0, degrees=0.0)) != []
    sequence.add(2 * SECOND, at(500.0), [(np.eye(4), votes_for("c"))])
    (image,) = sequence.before(3 * SECOND, at(502.0))
    assert image.T_base_camera[2, 3] == pytest.approx(-2.0)


def test_it_starts_over_where_time_jumps() -> None:
    sequence = driven((0.0, "a"), (2.0, "b"))
    assert sequence.before(-SECOND, at(4.0)) == []
    assert sequence.before(SECOND + int((LONGEST_GAP_S + 1) * SECOND), at(4.0)) == []
    sequence.add(-SECOND, at(4.0), [(np.eye(4), votes_for("c"))])
    assert len(sequence.before(0, at(8.0))) == 1


def test_images_without_odometry_or_votes_add_nothing() -> None:
    sequence = driven((0.0, "a"))
    sequence.add(SECOND, None, [(np.eye(4), votes_for("b"))])
    sequence.add(2 * SECOND, at(3.0), [])
    assert sequence.before(3 * SECOND, None) == []
    assert len(sequence.before(3 * SECOND, at(4.0))) == 1
    sequence.reset()
    assert sequence.before(3 * SECOND, at(4.0)) == []


@pytest.mark.slow
def test_a_session_retrieves_by_sequence_and_localizes_as_without(room: Room, room_map: Path) -> None:
    session = Session(Localizer(ReferenceMap.open(room_map), device="cpu"))
    frames = [room.frame(-2.1, 0.4, 7.0), room.frame(0.2, 0.4, 7.0)]
    first, second = (
        session.localize(i * SECOND, frame, frame.T_map_camera).estimate for i, frame in enumerate(frames)
    )
    assert {candidate.votes for candidate in first.candidates} == {0.0}
    assert max(candidate.votes for candidate in second.candidates) > 0
    alone = session.localizer.localize(frames[1])
    assert {candidate.votes for candidate in alone.candidates} == {0.0}
    for estimate in (second, alone):
        assert estimate.status is Status.LOCALIZED
        assert position_error_m(frames[1].T_map_camera, estimate.T_map_camera) < 0.1


@pytest.mark.slow
def test_votes_do_not_make_an_image_of_another_place_accepted(room: Room, room_map: Path) -> None:
    localizer = Localizer(ReferenceMap.open(room_map), device="cpu")
    frame = room.frame(-2.1, 0.4, 7.0)
    (camera,) = localizer.localize(frame).cameras
    assert camera.votes is not None
    before = EarlierImage(inverse(frame.T_map_camera) @ frame.T_map_camera, camera.votes)
    noise = np.random.default_rng(0).integers(0, 255, frame.image.shape, np.uint8)
    elsewhere = localizer.localize(replace(frame, image=noise), earlier=lambda: [before] * 20)
    assert elsewhere.status is not Status.LOCALIZED
