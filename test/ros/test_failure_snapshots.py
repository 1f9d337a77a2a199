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

"""Snapshots of images that were not localized."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from camera_robot import CAMERA, T_MAP_BASE, FakeMap, Robot

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.localization.estimate import PoseEstimate, PosePrior, Status
from scene_geo_loc.localization.query import CameraImage
from scene_geo_loc.localization.session import Answer
from scene_geo_loc.localization.tracking.tracker import TrackedPose
from scene_geo_loc.localization.verification.rejection import Rejection, RejectionKind
from scene_geo_loc.ros.localization.outputs import failure_snapshots
from scene_geo_loc.ros.localization.outputs.failure_snapshots import FailureSnapshots

LOST = PoseEstimate(Status.LOST, rejection=Rejection(RejectionKind.UNKNOWN_PLACE, 0.05, 0.1))
ANSWER = Answer(TrackedPose.of(LOST), LOST)
PRIOR = PosePrior(T_MAP_BASE, 5.0, is_height_known=False)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def unthrottled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failure_snapshots, "PERIOD_S", 0.0)


def add(snapshots: FailureSnapshots, stamp_ns: int, picture: np.ndarray) -> None:
    snapshots.add(stamp_ns, "camera", [CameraImage(picture, CAMERA)], ANSWER, PRIOR)


def test_a_node_writes_what_it_saw_and_why_it_has_no_pose(
    world: Any, picture: np.ndarray, tmp_path: Path
) -> None:
    robot = Robot(world, picture, debug_dir=str(tmp_path / "debug"))
    robot.mount_camera()
    robot.send()
    robot.localizer.answer = LOST
    stamp_ns = robot.send()
    robot.send()
    folder = tmp_path / "debug" / f"{stamp_ns}_unknown_place"
    robot.world.wait(folder.exists, "the snapshot")
    assert names(tmp_path / "debug") == [folder.name]
    np.testing.assert_array_equal(cv2.imread(str(folder / "image.png"))[..., ::-1], picture)
    facts = json.loads((folder / "snapshot.json").read_text())
    assert "0.05 < 0.10" in facts["reason"]
    assert facts["cameras"][0]["fx"] == CAMERA.fx
    assert facts["map"] == "street"


def test_the_oldest_are_removed_beyond_the_size_and_other_files_stay(
    unthrottled: None, picture: np.ndarray, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "100_day").mkdir()
    (tmp_path / ".7_unknown_place.partial").mkdir()
    first = FailureSnapshots(tmp_path, 10**9, FakeMap())  # type: ignore[arg-type]
    add(first, 8, picture)
    limit = 4 * sum(path.stat().st_size for path in (tmp_path / "8_unknown_place").iterdir()) + 4000
    snapshots = FailureSnapshots(tmp_path, limit, FakeMap())  # type: ignore[arg-type]
    for stamp_ns in range(9, 16):
        add(snapshots, stamp_ns, picture)
    kept = [name for name in names(tmp_path) if name.endswith("unknown_place")]
    assert kept == ["12_unknown_place", "13_unknown_place", "14_unknown_place", "15_unknown_place"]
    assert {"notes.txt", "100_day"} <= set(names(tmp_path))
    assert len(names(tmp_path)) == len(kept) + 2
    # A new start counts what is there.
    again = FailureSnapshots(tmp_path, limit, FakeMap())  # type: ignore[arg-type]
    add(again, 16, picture)
    assert len(names(tmp_path)) == len(kept) + 2
    facts = json.loads((tmp_path / "16_unknown_place" / "snapshot.json").read_text())
    assert facts["prior"]["is_height_known"] is False


def test_the_number_of_snapshots_is_limited(
    unthrottled: None, monkeypatch: pytest.MonkeyPatch, picture: np.ndarray, tmp_path: Path
) -> None:
    monkeypatch.setattr(failure_snapshots, "MOST", 2)
    snapshots = FailureSnapshots(tmp_path, 10**9, FakeMap())  # type: ignore[arg-type]
    for stamp_ns in (1, 2, 3):
        add(snapshots, stamp_ns, picture)
    assert names(tmp_path) == ["2_unknown_place", "3_unknown_place"]


def test_a_folder_that_cannot_be_made_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SceneGeoLocError, match="debug_dir"):
        FailureSnapshots(tmp_path / "file" / "debug", 1, FakeMap())  # type: ignore[arg-type]
