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

"""Replay of a recording to a localization_node, and the records of its answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from room import Room

from scene_geo_loc.benchmarks.localization.live import live_records
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import OPTICAL_FROM_BODY, inverse, make_pose
from scene_geo_loc.localization.estimate import LocalizerSettings, Status
from scene_geo_loc.metrics.pose_error import summarize
from scene_geo_loc.ros.harness.replay import ReplayAnswers, describe_pace, replay
from scene_geo_loc.traversals.frame import Frame, PassOver, PassOverScan, Scan, read_all
from scene_geo_loc.traversals.opening import open_traversal
from scene_geo_loc.traversals.rosbag.writer import BagWriter
from scene_geo_loc.traversals.skipped import Skipped

pytestmark = pytest.mark.slow

FRAMES = 24
T_BASE_CAMERA = make_pose(np.eye(3), (1.0, 0.0, 0.5))


def record(path: Path, room: Room) -> Path:
    """A bag of compressed images of the room, with odometry that drifts by nothing."""
    T_base_camera = make_pose(OPTICAL_FROM_BODY.T, (0.3, 0.0, 0.5))
    frames = room.drive(FRAMES, offset_y=0.15)
    with BagWriter(path) as bag:
        bag.static_transforms(frames[0].stamp_ns, {("base_link", "camera_optical_frame"): T_base_camera})
        for frame in frames:
            assert frame.T_map_camera is not None
            T_map_base = frame.T_map_camera @ inverse(T_base_camera)
            bag.transform(frame.stamp_ns, "odom", "base_link", T_map_base)
            bag.pose("/ground_truth/pose", frame.stamp_ns, "map", T_map_base)
            bag.camera_info("/camera/camera_info", frame.stamp_ns, "camera_optical_frame", frame.camera)
            topic = "/camera/image_raw/compressed"
            bag.compressed_image(topic, frame.stamp_ns, "camera_optical_frame", frame.image)
    return path


class Recording:
    """Six frames a tenth of a second and a metre apart; the truth of the last is unknown."""

    name, map_frame = "recording", "map"
    skipped = Skipped()

    def __len__(self) -> int:
        return 6

    def frames(self, pass_over: PassOver = read_all) -> Iterator[Frame]:
        for i in range(6):
            truth = make_pose(np.eye(3), (i + 1.0, 0.0, 0.5)) if i < 5 else None
            image = np.zeros((2, 2, 3), np.uint8)
            yield Frame(i * 10**8, image, Camera(2, 2, 1.0, 1.0, 0.5, 0.5), truth)

    def scans(self, pass_over: PassOverScan = read_all) -> Iterator[Scan]:
        return iter(())


@pytest.fixture
def answers() -> ReplayAnswers:
    """Frame 0 and 4 localized, 1 lost, 2 only retrieved, 3 dropped, 5 after the end."""
    return ReplayAnswers(
        sent_s={i * 10**8: 50.0 + 0.1 * i for i in range(6)},
        processed_s={i * 10**8: 50.04 + 0.1 * i for i in (0, 1, 2, 4)},
        poses={
            0: (make_pose(np.eye(3), (0.0, 0.0, 0.0)), 50.03),
            4 * 10**8: (make_pose(np.eye(3), (4.5, 0.0, 0.0)), 50.46),
        },
        states=[
            (49.0, "initializing"),
            (50.03, "localized"),
            (50.13, "lost"),
            (50.23, "retrieved_only"),
            (50.46, "localized"),
        ],
        base_T_camera=T_BASE_CAMERA,
    )


def test_a_pose_counts_for_the_image_with_its_stamp(answers: ReplayAnswers) -> None:
    records = live_records(answers, Recording())
    assert [record.stamp_ns for record in records] == [i * 10**8 for i in range(6)]
    assert [record.status for record in records] == [
        Status.LOCALIZED,
        Status.LOST,
        Status.RETRIEVED_ONLY,
        Status.UNANSWERED,
        Status.LOCALIZED,
        Status.UNANSWERED,
    ]


def test_the_robots_pose_is_compared_at_its_camera(answers: ReplayAnswers) -> None:
    first, fifth = (live_records(answers, Recording())[i] for i in (0, 4))
    assert first.T_estimated is not None
    assert fifth.T_estimated is not None
    np.testing.assert_allclose(first.T_estimated, first.T_true)
    np.testing.assert_allclose(fifth.T_estimated[:3, 3], (5.5, 0.0, 0.5))


def test_latency_is_from_sending_the_image_to_receiving_its_pose(answers: ReplayAnswers) -> None:
    records = live_records(answers, Recording())
    assert records[0].latency_ms == pytest.approx(30.0)
    assert records[4].latency_ms == pytest.approx(60.0)
    assert records[1].latency_ms is None


def test_an_image_of_unknown_truth_is_kept_without_one(answers: ReplayAnswers) -> None:
    assert live_records(answers, Recording())[5].T_true is None


def test_the_slowdown_is_the_time_of_the_replay_over_that_of_the_recording(answers: ReplayAnswers) -> None:
    assert answers.slowdown == pytest.approx(1.0)
    answers.sent_s = {stamp_ns: 50 + 3 * (sent_s - 50) for stamp_ns, sent_s in answers.sent_s.items()}
    assert answers.slowdown == pytest.approx(3.0)
    assert "3.0 times" in describe_pace(answers.slowdown)
    assert "real time" in describe_pace(1.01)


def test_a_recording_is_localized_by_a_node_of_its_own(room: Room, room_map: Path, tmp_path: Path) -> None:
    bag = record(tmp_path / "evening", room)
    progress: list[tuple[int, int]] = []
    answers = replay(bag, room_map, tmp_path / "node.log", lambda done, total: progress.append((done, total)))
    records = live_records(answers, open_traversal(bag))
    assert progress == [(done, FRAMES) for done in range(1, FRAMES + 1)]
    assert len(records) == FRAMES
    assert set(answers.processed_s) == set(answers.sent_s)
    assert Status.UNANSWERED not in {record.status for record in records}
    summary = summarize(records)
    assert summary.localized > 0
    assert summary.wrong_fixes == 0
    assert summary.position_median_m is not None
    assert summary.position_median_m < 0.3
    assert summary.latency_p50_ms is not None


def test_a_pose_in_the_state_dead_reckoned_counts_as_such(answers: ReplayAnswers) -> None:
    answers.states.append((50.465, "dead_reckoned"))
    assert [record.status for record in live_records(answers, Recording())][4] is Status.DEAD_RECKONED


def test_a_tracking_node_does_not_publish_its_first_estimate(
    room: Room, room_map: Path, tmp_path: Path
) -> None:
    bag = record(tmp_path / "evening", room)
    answers = replay(bag, room_map, tmp_path / "node.log", lambda done, total: None, tracking=True)
    states = [state for _, state in answers.states if state != "initializing"]
    assert states[0] == "lost"  # alone, the first image would be localized
    assert summarize(live_records(answers, open_traversal(bag))).wrong_fixes == 0


def test_a_node_gets_the_settings_that_differ_from_its_own(
    room: Room, room_map: Path, tmp_path: Path
) -> None:
    bag = record(tmp_path / "evening", room)
    strict = LocalizerSettings(min_inliers=100_000, sequence_images=3, second_look_share=1)
    answers = replay(bag, room_map, tmp_path / "node.log", lambda done, total: None, localizer=strict)
    assert answers.poses == {}
    assert len(answers.processed_s) == FRAMES


def test_a_node_that_does_not_start_gives_the_reason(room: Room, tmp_path: Path) -> None:
    bag = record(tmp_path / "evening", room)
    with pytest.raises(SceneGeoLocError, match="localization_node ended with status") as error:
        replay(bag, tmp_path / "no_map", tmp_path / "node.log", lambda done, total: None)
    assert "There is no reference map at" in str(error.value)


def test_a_recording_without_images_is_refused_before_a_node_starts(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "blind") as bag:
        bag.transform(0, "odom", "base_link", np.eye(4))
    with pytest.raises(SceneGeoLocError, match="has no images on /camera/image_raw"):
        replay(tmp_path / "blind", tmp_path, tmp_path / "node.log", lambda done, total: None)
    assert not (tmp_path / "node.log").exists()
