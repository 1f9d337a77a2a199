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

"""Statistics of keyframes that a node keeps while it localizes."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from camera_robot import T_BASE_CAMERA, T_MAP_BASE, FakeLocalizer, FakeMap, Robot
from counted_street import Street
from std_srvs.srv import Trigger

from scene_geo_loc.localization.estimate import CameraEstimate, Candidate, PoseEstimate, Status
from scene_geo_loc.localization.statistics.recorder import StatisticsRecorder
from scene_geo_loc.localization.statistics.statistics_file import (
    digest_of,
    journal_of,
    read_file,
    read_journal,
)

SAVE = "localization_node/save_statistics"


class CountedMap(FakeMap):
    """A map of seven keyframes that are known by their stamps."""

    info = Street(drives=(("may", 7, 0),)).info
    stamps_ns = np.arange(7)


class CountedLocalizer(FakeLocalizer):
    """Finds the pose by keyframe 3, with keyframe 5 as another candidate."""

    map = CountedMap()

    def __init__(self) -> None:
        super().__init__()
        candidates = [Candidate(3, 0.8, matches=200, inliers=90), Candidate(5, 0.5)]
        self.answer = PoseEstimate(
            Status.LOCALIZED,
            T_map_base=T_MAP_BASE @ T_BASE_CAMERA,
            covariance=np.diag([0.01] * 3 + [0.0001] * 3),
            inlier_ratio=0.6,
            inliers=90,
            cameras=[CameraEstimate(candidates=candidates)],
        )


def test_a_node_writes_its_statistics_when_asked_and_when_it_ends(
    world: Any, picture: np.ndarray, tmp_path: Path
) -> None:
    folder = tmp_path / "statistics"
    robot = Robot(world, picture, CountedLocalizer(), statistics_dir=str(folder))
    robot.mount_camera()
    stamps = [robot.send(), robot.send()]
    robot.world.wait(lambda: len(robot.poses) == 2, "two poses")
    file = folder / "street.parquet"

    def saved_images() -> int:
        response = world.call(Trigger, SAVE, Trigger.Request())
        assert response.success
        assert str(file) in response.message
        return read_file(file)[0].images if file.exists() else 0

    # The pose is published before the image is counted.
    robot.world.wait(lambda: saved_images() == 2, "both images to be counted")
    counts = read_file(file)[1].counts
    assert counts.keyframe.tolist() == [3, 5]
    assert counts.seen.tolist() == [2, 2]
    assert counts.helped.tolist() == [2, 0]
    assert counts.last_confirmed_ns[0] == stamps[1]
    robot.send()
    robot.world.wait(lambda: len(robot.poses) == 3, "a third pose")
    robot.node.trigger_deactivate()
    robot.node.trigger_cleanup()
    assert read_file(file)[0].images == 3
    assert not journal_of(file).exists()


def test_a_node_without_a_file_localizes_and_says_why_nothing_is_counted(
    world: Any, picture: np.ndarray, tmp_path: Path
) -> None:
    folder = tmp_path / "statistics"
    folder.mkdir()
    (folder / "street.parquet").write_text("notes")
    robot = Robot(world, picture, CountedLocalizer(), statistics_dir=str(folder))
    robot.mount_camera()
    robot.send()
    robot.world.wait(lambda: robot.poses, "a pose")
    response = world.call(Trigger, SAVE, Trigger.Request())
    assert not response.success
    assert "street.parquet cannot be read" in response.message
    assert (folder / "street.parquet").read_text() == "notes"


def test_a_save_that_takes_long_holds_up_neither_images_nor_requests(
    world: Any, picture: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    robot = Robot(world, picture, CountedLocalizer(), statistics_dir=str(tmp_path))
    robot.mount_camera()
    goes_on, save = threading.Event(), StatisticsRecorder.save

    def slow_save(recorder: StatisticsRecorder) -> None:
        assert goes_on.wait(60.0)
        save(recorder)

    monkeypatch.setattr(StatisticsRecorder, "save", slow_save)
    robot.send()
    file = tmp_path / "street.parquet"
    robot.world.wait(
        lambda: robot.call("save_statistics").success and read_journal(journal_of(file)), "counts"
    )
    robot.send()
    robot.world.wait(lambda: len(robot.poses) == 2, "a second pose")
    assert robot.call("suspend").success
    assert not file.exists()
    goes_on.set()
    robot.world.wait(file.exists, "the file")


def test_a_new_version_of_the_map_has_its_own_statistics(
    world: Any, picture: np.ndarray, tmp_path: Path
) -> None:
    robot = Robot(world, picture, CountedLocalizer(), statistics_dir=str(tmp_path))
    robot.mount_camera()
    robot.send()
    file = tmp_path / "street.parquet"

    def is_counted() -> bool:
        return bool(robot.call("save_statistics").success and file.exists() and read_file(file)[0].images)

    robot.world.wait(is_counted, "the image to be counted")
    later: Any = CountedMap()
    later.info = Street("second", (("may", 7, 0),)).info
    robot.pipeline._statistics.exchange_map(later)

    def is_new() -> bool:
        head = read_file(file)[0] if file.exists() else None
        return head is not None and head.map_digest == digest_of(later)

    robot.world.wait(is_new, "the statistics of the new version")
    robot.world.wait(lambda: robot.call("save_statistics").success, "the new version to be counted")
    robot.send()
    robot.node.trigger_deactivate()
    robot.node.trigger_cleanup()
    head, tally = read_file(file)
    assert head.map_digest == digest_of(later)
    assert head.images == 2
    assert tally.counts.helped.tolist() == [2, 0]
