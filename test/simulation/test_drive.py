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

"""A drive as a bag."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from town import CAMERA

from scene_geo_loc.core.errors import SceneGeoLocError, TraversalError
from scene_geo_loc.simulation.recordings.drive import DriveSettings, simulate, simulate_drives
from scene_geo_loc.simulation.vehicle.sensors import MountedCamera, PushbroomLidar, Rig, SpinningLidar
from scene_geo_loc.traversals.opening import open_traversal

pytestmark = pytest.mark.slow

RIG = Rig(
    cameras=(MountedCamera(CAMERA),),
    camera_rate_hz=5.0,
    lidar=SpinningLidar(beams=8, columns=120),
    pushbroom=PushbroomLidar(count=91),
)
SETTINGS = DriveSettings(
    seed=7, start=252.0, length=8.0, speed=8.0, rig=RIG, compressed=False, depth=True, sight=25.0
)


def messages(path: Path) -> dict[str, list[tuple[int, bytes]]]:
    from rosbags.rosbag2 import Reader

    found: dict[str, list[tuple[int, bytes]]] = {}
    with Reader(path) as reader:
        for connection, stamp, data in reader.messages():
            found.setdefault(connection.topic, []).append((stamp, bytes(data)))
    return found


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("drive") / "overcast"
    done: list[int] = []
    summary = simulate(path, SETTINGS, workers=1, on_progress=lambda count, total: done.append(count))
    assert done == list(range(1, summary.frames + 1))
    return path


def test_a_bag_holds_every_topic_at_its_rate(bag: Path) -> None:
    counts = {topic: len(found) for topic, found in messages(bag).items()}
    seconds = (counts["/odom"] - 1) / 50.0
    assert seconds > 0.9
    assert counts["/tf_static"] == 1
    assert counts["/tf"] == counts["/odom"]
    assert counts["/camera/image_raw"] == counts["/camera/camera_info"] == counts["/camera/depth/image_raw"]
    assert counts["/camera/image_raw"] == pytest.approx(5 * seconds, abs=1.1)
    assert counts["/lidar/points"] == pytest.approx(10 * seconds, abs=1.1)
    assert counts["/lidar_front/scan"] == pytest.approx(50 * seconds, abs=1.1)
    assert counts["/gps/fix"] == pytest.approx(5 * seconds, abs=1.1)
    assert counts["/ground_truth/pose"] >= counts["/odom"]


def test_the_same_settings_give_the_same_messages_with_any_number_of_workers(
    bag: Path, tmp_path: Path
) -> None:
    simulate(tmp_path / "again", SETTINGS, workers=2)
    assert messages(tmp_path / "again") == messages(bag)


def test_the_bag_reads_back_as_a_traversal_with_true_poses_depth_and_lidar(bag: Path) -> None:
    from scene_geo_loc.simulation.recordings.drive import Drive

    traversal = open_traversal(bag)
    frames = list(traversal.frames())
    drive = Drive(SETTINGS)
    assert len(frames) == len(drive.stamps(5.0))
    for frame in frames:
        assert frame.T_map_camera is not None
        true = drive.motion.poses(drive.seconds(frame.stamp_ns))[0] @ MountedCamera().T_base_camera
        assert frame.T_map_camera == pytest.approx(true, abs=1e-6)
        assert frame.image.shape == (120, 160, 3)
    frame = frames[2]
    assert frame.T_map_camera is not None
    assert frame.depth is not None
    depth = drive.views[0].depth(frame.T_map_camera)
    both = np.isfinite(frame.depth) & np.isfinite(depth)
    assert np.abs(frame.depth[both] - depth[both]).max() < 0.01
    scans = list(traversal.scans())
    ground = np.concatenate([scan.points_map for scan in scans])
    assert np.median(np.abs(ground[ground[:, 2] < 0.3][:, 2])) < 0.15


def test_what_cannot_be_simulated_is_said_in_a_sentence() -> None:
    with pytest.raises(SceneGeoLocError, match="condition 'fog'"):
        DriveSettings(condition="fog")
    with pytest.raises(SceneGeoLocError, match="at least 5 m"):
        DriveSettings(length=0.0)
    with pytest.raises(SceneGeoLocError, match="negative"):
        DriveSettings(seed=-1)


def test_a_bag_that_exists_is_not_overwritten(bag: Path) -> None:
    with pytest.raises(TraversalError, match="exists already"):
        simulate(bag, SETTINGS)


def test_an_interrupted_drive_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path / "cut", SETTINGS, workers=2, on_progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_drives_that_are_simulated_at_once_give_the_same_messages(bag: Path, tmp_path: Path) -> None:
    night = replace(SETTINGS, condition="night", depth=False)
    done: list[tuple[int, int]] = []
    simulate_drives(
        {tmp_path / "overcast": SETTINGS, tmp_path / "night": night},
        lambda count, total: done.append((count, total)),
    )
    assert messages(tmp_path / "overcast") == messages(bag)
    frames = len(messages(tmp_path / "night")["/camera/image_raw"])
    total = frames + len(messages(bag)["/camera/image_raw"])
    assert done[-1] == (total, total)


def test_drives_that_are_interrupted_leave_nothing(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate_drives({tmp_path / name: SETTINGS for name in ("one", "other")}, interrupt)
    assert list(tmp_path.iterdir()) == []
