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

"""Recordings of a map and of the answers in it, read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from localization.test_view import AHEAD, SQUARE, estimate, street

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.pose import make_pose
from scene_geo_loc.geometry.trajectory import Trajectory
from scene_geo_loc.localization.estimate import Candidate
from scene_geo_loc.localization.session import Answer
from scene_geo_loc.localization.tracking.tracker import TrackedPose
from scene_geo_loc.localization.view.messages import LATCHED, TOPICS
from scene_geo_loc.localization.view.recording import OTHER_TOPICS, ViewRecording
from scene_geo_loc.traversals.frame import Frame
from scene_geo_loc.traversals.rosbag.bag import Bag

SECOND = 10**9
START = 1_700_000_000 * SECOND


def city() -> Any:
    """A street that has what pictures and recordings need of a map."""
    made = street(5)
    made.map_frame = "city"
    made.stamps_ns = np.arange(5) * SECOND
    made.thumbnail = lambda keyframe: np.full((10, 10, 3), 100, np.uint8)
    return made


def frame(number: int) -> Frame:
    image = np.zeros((101, 101, 3), np.uint8)
    T = make_pose(AHEAD, (number, 0.0, 1.0))
    return Frame(START + number * SECOND // 2, image, SQUARE, name=str(number), T_map_camera=T)


def answer(number: int, localized: bool = True) -> Answer:
    pose = make_pose(AHEAD, (number, 0.1, 1.0)) if localized else None
    found = estimate(pose, [[9, 0, 1], [9, 1, 1]], [True, False], [Candidate(2, 0.8, matches=2, inliers=1)])
    return Answer(TrackedPose.of(found), found)


def messages(path: Path, topic: str) -> list[Any]:
    return [message.decode() for message in Bag(path).messages([f"/{topic}"])]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("views") / "evening"
    with ViewRecording(path, city()) as view:
        for number, localized in enumerate([True, True, False, True]):
            view.add(frame(number), answer(number, localized))
    return path


def test_every_topic_has_its_type_and_only_the_map_and_the_path_are_latched(recording: Path) -> None:
    bag = Bag(recording)
    kinds = {name.removeprefix("/"): kind for name, kind in bag.topics.items()}
    known = TOPICS | OTHER_TOPICS
    assert kinds == {name: known[name] for name in kinds}
    missing = set(known) - set(kinds)
    assert missing == {
        "localization/selected_keyframe",
        "localization/keyframe_image",
        "localization/debug_image",
    }
    assert set(LATCHED) <= set(kinds)


def test_the_map_comes_once_and_the_evidence_with_each_image(recording: Path) -> None:
    counts = {name.removeprefix("/localization/"): n for name, n in Bag(recording).counts.items()}
    assert counts["keyframes"] == counts["keyframe_views"] == 1
    assert counts["candidates"] == counts["matches"] == counts["debug_image/compressed"] == 4
    assert counts["pose"] == counts["pose_with_covariance"] == counts["/tf"] == 3
    assert counts["/ground_truth/pose"] == 4
    assert [message.data for message in messages(recording, "localization/state")] == [
        "localized",
        "lost",
        "localized",
    ]


def test_the_base_is_the_camera_with_x_forward(recording: Path) -> None:
    pose = messages(recording, "localization/pose")[1]
    assert pose.header.frame_id == "city"
    assert (pose.pose.position.x, pose.pose.position.y) == (1.0, 0.1)
    assert abs(pose.pose.orientation.w) == pytest.approx(1.0)
    (transform,) = messages(recording, "tf")[1].transforms
    assert (transform.header.frame_id, transform.child_frame_id) == ("city", "base_link")
    assert transform.transform.translation.x == 1.0


def test_the_path_grows_once_a_second_and_is_whole_at_the_end(recording: Path) -> None:
    lengths = [len(path.poses) for path in messages(recording, "localization/path")]
    assert lengths == [1, 3, 3]


def test_pictures_are_jpeg(recording: Path) -> None:
    picture = messages(recording, "localization/debug_image/compressed")[0]
    assert cv2.imdecode(picture.data, cv2.IMREAD_COLOR).shape[0] == 360


def test_a_trajectory_has_poses_and_a_path_but_no_evidence(tmp_path: Path) -> None:
    stamps = START + np.arange(3) * SECOND
    poses = np.array([make_pose(AHEAD, (i, 0, 1)) for i in range(3)])
    with ViewRecording(tmp_path / "track", city()) as view:
        view.add_trajectory(Trajectory(stamps, poses))
    counts = Bag(tmp_path / "track").counts
    assert counts["/localization/pose"] == 3
    assert "/localization/matches" not in counts
    assert len(messages(tmp_path / "track", "localization/path")[-1].poses) == 3


def test_a_map_alone_is_recorded_at_the_time_of_its_first_keyframe(tmp_path: Path) -> None:
    with ViewRecording(tmp_path / "map", city()):
        pass
    (cloud,) = messages(tmp_path / "map", "localization/keyframes")
    assert cloud.width == 5


def test_an_error_leaves_no_recording_and_an_old_one_stays(tmp_path: Path, recording: Path) -> None:
    def fail_half_way() -> None:
        with ViewRecording(tmp_path / "half", city()) as view:
            view.add(frame(0), answer(0))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(TraversalError, match="exists already"), ViewRecording(recording, city()):
        pass
