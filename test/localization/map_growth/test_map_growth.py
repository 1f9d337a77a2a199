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

"""Mapping while localizing: only images between verified fixes enter the map, and a kill loses none."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from room import Room

from scene_geo_loc.core.errors import MapError, SceneGeoLocError
from scene_geo_loc.core.folder_lock import FolderLock
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose, make_pose
from scene_geo_loc.localization.estimate import PoseEstimate, Status
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.map_growth import waiting
from scene_geo_loc.localization.map_growth.building import build_waiting
from scene_geo_loc.localization.map_growth.growth import CONTEXT, Drop, MapGrowth
from scene_geo_loc.localization.map_growth.process import BuildProcess
from scene_geo_loc.localization.map_growth.settings import GrowthSettings
from scene_geo_loc.localization.map_growth.waiting import WaitingImages
from scene_geo_loc.localization.query import CameraImage
from scene_geo_loc.localization.statistics.counts import KeyframeCounts
from scene_geo_loc.localization.statistics.statistics_file import StatisticsHead, Tally, add_to_file
from scene_geo_loc.mapping.editing.pruning import keyframes_in_bytes
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.traversals.frame import Frame

COVARIANCE = np.diag([0.02**2] * 3 + [0.002**2] * 3)
SECOND = 10**9
DRIFT_M = 0.01
"""Error of odometry to the side for each metre."""
LOST = "lost"
CAMERA = Camera(160, 120, 120.0, 120.0, 79.5, 59.5)


@pytest.fixture
def street(room_map: Path, tmp_path: Path) -> Path:
    """A map that may be changed."""
    return Path(shutil.copytree(room_map, tmp_path / "street"))


class Drive:
    """A robot that drives along x and localizes, or not, as a test says."""

    def __init__(self, growth: MapGrowth, first: int = 0) -> None:
        self.growth, self.at = growth, first
        self.image = np.random.default_rng(0).integers(0, 255, (120, 160, 3)).astype(np.uint8)

    def metres(
        self, count: int, what: str | float = 0.0, confidence: float = 0.99, odom_x: float = 0.0
    ) -> None:
        """Drives on: lost, or localized with an error in metres."""
        for _ in range(count):
            self.at += 1
            T = self.truth(self.at)
            if isinstance(what, str):
                estimate = PoseEstimate(Status.LOST)
            else:
                T_wrong = T.copy()
                T_wrong[0, 3] += what
                estimate = PoseEstimate(Status.LOCALIZED, T_wrong, COVARIANCE, confidence=confidence)
            T_odom = T.copy()
            T_odom[:3, 3] += (odom_x, DRIFT_M * self.at, 0.0)
            self.growth.add(self.at * SECOND, CameraImage(self.image, CAMERA), estimate, T_odom)

    @staticmethod
    def truth(metres: int) -> Pose:
        return make_pose(np.eye(3), (float(metres), 0.0, 0.0))


@pytest.fixture
def growth(street: Path) -> Iterator[MapGrowth]:
    growth = MapGrowth(ReferenceMap.open(street))
    yield growth
    growth.close()


def test_images_of_a_gap_enter_with_corrected_poses_and_their_neighbours(growth: MapGrowth) -> None:
    drive = Drive(growth)
    drive.metres(8)
    drive.metres(5, LOST)
    assert growth.counts.waiting == 0
    drive.metres(8)
    stamps = [image.stamp_ns // SECOND for image in growth.placed]
    assert stamps == list(range(9 - CONTEXT, 14 + CONTEXT))
    for image in growth.placed:
        assert image.T_map_camera is not None
        off_m = np.linalg.norm(image.T_map_camera[:3, 3] - drive.truth(image.stamp_ns // SECOND)[:3, 3])
        assert off_m < 0.02  # odometry alone is 5 cm off over the gap, and 15 cm in its own frame


def test_nothing_enters_before_fixes_agree(growth: MapGrowth) -> None:
    drive = Drive(growth)
    drive.metres(6, LOST)
    drive.metres(1, 0.0)
    drive.metres(1, LOST)
    drive.metres(1, 3.0)  # contradicts the fix before it
    drive.metres(3, LOST)
    drive.metres(1, -2.0)
    assert growth.placed == []
    assert growth.counts.unplaced > 0


def test_confident_fixes_alone_verify_a_pose(growth: MapGrowth) -> None:
    drive = Drive(growth)
    drive.metres(4, LOST)
    drive.metres(12, 0.0, confidence=0.7)
    assert growth.placed == []
    drive.metres(8, 0.0, confidence=0.99)
    assert {image.stamp_ns // SECOND for image in growth.placed} >= set(range(1, 17))


def test_images_are_dropped_and_counted_where_odometry_and_fixes_disagree(growth: MapGrowth) -> None:
    drive = Drive(growth)
    drive.metres(8)
    drive.metres(5, LOST)
    drive.metres(8, 4.0)  # all agree with each other, 4 m from where odometry came
    assert growth.counts.dropped[Drop.DISAGREES] >= 5
    assert not {9, 10, 11, 12, 13} & {image.stamp_ns // SECOND for image in growth.placed}


def test_images_far_from_any_fix_are_too_uncertain(street: Path) -> None:
    growth = MapGrowth(ReferenceMap.open(street), GrowthSettings(max_std_m=0.1))
    drive = Drive(growth)
    drive.metres(40, LOST)
    drive.metres(8)
    stamps = [image.stamp_ns // SECOND for image in growth.placed]
    assert growth.counts.dropped[Drop.UNCERTAIN] > 20
    assert min(stamps) > 30
    growth.close()


def test_a_map_that_explores_grows_beyond_its_edge_as_far_as_odometry_is_certain(street: Path) -> None:
    growth = MapGrowth(ReferenceMap.open(street), GrowthSettings(explore=True, max_std_m=0.15))
    drive = Drive(growth)
    drive.metres(8)
    drive.metres(4, LOST)
    assert growth.placed == []
    growth.settle()
    assert {image.stamp_ns // SECOND for image in growth.placed} == set(range(9 - CONTEXT, 13))
    drive.metres(25, LOST)
    growth.settle()
    stamps = {image.stamp_ns // SECOND for image in growth.placed}
    assert 13 in stamps
    assert growth.counts.dropped[Drop.UNCERTAIN] == 37 - max(stamps) > 5
    growth.close()


def test_without_odometry_nothing_waits_and_it_is_counted(growth: MapGrowth) -> None:
    image = np.zeros((120, 160, 3), np.uint8)
    for stamp in range(5):
        growth.add(stamp, CameraImage(image, CAMERA), PoseEstimate(Status.LOST), None)
    assert growth.counts.dropped[Drop.NO_ODOMETRY] == 5
    assert growth.counts.unplaced == 0


def test_a_reset_of_odometry_drops_what_has_no_fix_after_it(growth: MapGrowth) -> None:
    drive = Drive(growth)
    drive.metres(8)
    drive.metres(5, LOST)
    growth.interrupt()
    drive.metres(8)
    assert growth.counts.dropped[Drop.INTERRUPTED] == 5 + CONTEXT
    assert growth.placed == []


KILLED = """
import os, signal, sys
from pathlib import Path
import test_map_growth as t
from scene_geo_loc.localization.map_growth.growth import MapGrowth
from scene_geo_loc.mapping.reference_map import ReferenceMap
growth = MapGrowth(ReferenceMap.open(Path(sys.argv[1])))
drive = t.Drive(growth)
drive.metres(8)
drive.metres(4, t.LOST)
drive.metres(8)
drive.metres(4, t.LOST)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_its_images_and_its_way_to_the_next(street: Path) -> None:
    code = subprocess.run(
        [sys.executable, "-c", KILLED, str(street)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
        check=False,
    ).returncode
    assert code == -signal.SIGKILL
    growth = MapGrowth(ReferenceMap.open(street))
    placed, unplaced = growth.counts.waiting, growth.counts.unplaced
    assert placed == 4 + 2 * CONTEXT
    assert unplaced == 4 + CONTEXT
    Drive(growth, first=24).metres(8)  # odometry went on
    assert growth.counts.waiting == placed + unplaced + CONTEXT
    growth.close()


def test_after_a_restart_of_odometry_only_images_with_poses_are_left(street: Path) -> None:
    growth = MapGrowth(ReferenceMap.open(street))
    drive = Drive(growth)
    drive.metres(8)
    drive.metres(4, LOST)
    drive.metres(8)
    drive.metres(4, LOST)
    growth.close()
    growth = MapGrowth(ReferenceMap.open(street))
    Drive(growth, first=24).metres(8, odom_x=-500.0)
    assert growth.counts.waiting == 4 + 2 * CONTEXT
    assert growth.counts.dropped[Drop.INTERRUPTED] == 4 + CONTEXT
    growth.close()


def test_a_torn_last_line_loses_only_what_it_says(street: Path) -> None:
    growth = MapGrowth(ReferenceMap.open(street))
    drive = Drive(growth)
    drive.metres(8)
    drive.metres(4, LOST)
    drive.metres(8)
    growth.close()
    journal = street.with_name("street.waiting") / "journal.jsonl"
    journal.write_bytes(journal.read_bytes() + b'{"event": "image", "na')
    growth = MapGrowth(ReferenceMap.open(street))
    assert growth.counts.waiting == 4 + 2 * CONTEXT
    growth.close()


def test_images_that_wait_for_another_map_are_refused(street: Path, growth: MapGrowth) -> None:
    drive = Drive(growth)
    drive.metres(8)
    drive.metres(4, LOST)
    growth.close()
    journal = street.with_name("street.waiting") / "journal.jsonl"
    journal.write_text(journal.read_text().replace('"drive": "', '"drive": "another '))
    with pytest.raises(MapError, match="another map"):
        MapGrowth(ReferenceMap.open(street))


def test_on_a_full_disk_images_are_counted_and_what_waits_stays(growth: MapGrowth) -> None:
    drive = Drive(growth)
    drive.metres(8)
    drive.metres(4, LOST)
    drive.metres(8)
    before = growth.counts.waiting
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        drive.metres(4, LOST)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert growth.counts.dropped[Drop.NOT_WRITTEN] == 4
    assert growth.counts.waiting == before
    drive.metres(4, LOST)
    drive.metres(8)
    assert growth.counts.waiting >= before + 4


def test_a_journal_that_cannot_be_written_anew_is_written_once_there_is_room(
    street: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    growth = MapGrowth(ReferenceMap.open(street))
    drive = Drive(growth)
    drive.metres(8)
    drive.metres(4, LOST)
    monkeypatch.setattr(waiting, "_LINES", 5)
    with monkeypatch.context() as full:
        full.setattr("scene_geo_loc.core.journal.write_aside", _no_room)
        drive.metres(4, LOST)
    assert growth.counts.dropped[Drop.NOT_WRITTEN] == 4
    drive.metres(2, LOST)
    drive.metres(8)
    growth.close()
    again = MapGrowth(ReferenceMap.open(street))
    assert {9, 10, 11, 12, 17, 18} <= {image.stamp_ns // SECOND for image in again.placed}
    again.close()


def _no_room(path: Path, data: bytes) -> None:
    raise SceneGeoLocError("no room") from OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(scope="module")
def grown(room: Room, room_map: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A map of the room with images that wait: a drive in its unmapped half, back and forth."""
    street = Path(shutil.copytree(room_map, tmp_path_factory.mktemp("grown") / "street"))
    growth = MapGrowth(
        ReferenceMap.open(street),
        GrowthSettings(keyframe_distance_m=0.2, max_std_m=0.2),
        source="second drive",
    )
    for i in range(24):
        x = -4.0 + 0.25 * i
        frame = room.frame(x, 1.0, 20.0 + 3 * i, stamp_ns=SECOND * (i + 1))
        assert frame.T_map_camera is not None
        is_known = i < 6 or i > 15
        estimate = PoseEstimate(Status.LOST)
        if is_known:
            estimate = PoseEstimate(Status.LOCALIZED, frame.T_map_camera, COVARIANCE, confidence=0.99)
        growth.add(frame.stamp_ns, frame, estimate, frame.T_map_camera)
    assert growth.counts.waiting == 10 + 2 * CONTEXT
    growth.close()
    return street


def keyframes_fit(reference_map: ReferenceMap, size_bytes: int) -> int:
    """How many keyframes of a map fit a size; 0 where its networks do not."""
    try:
        return keyframes_in_bytes(reference_map, size_bytes)
    except MapError:
        return 0


def test_waiting_images_become_keyframes_by_a_process_that_holds_the_lock(grown: Path, room: Room) -> None:
    before = ReferenceMap.open(grown)
    growth = MapGrowth(before, source="third drive")
    lock = FolderLock.acquire(grown, "test")
    images = growth.placed
    # Room for all but two.
    wanted = len(before) + len(images) - 2
    budget_bytes = next(b for b in range(0, 10**9, 20_000) if keyframes_fit(before, b) >= wanted)
    # Of the map's own keyframes all but the third helped; of the new ones nothing is known.
    rows = np.arange(len(before))
    helped = np.where(rows == 2, 0, 5)
    seen, none = np.full(len(rows), 9), np.zeros(len(rows), int)
    counts = KeyframeCounts(rows, none, before.stamps_ns, seen, seen, helped, none, none, none)
    statistics = grown.with_name("street.parquet")
    add_to_file(statistics, StatisticsHead.of(before), Tally(9, 9, counts))
    process = BuildProcess(grown, images, growth.folder, "second drive", lock, budget_bytes / 1e6, statistics)
    result = process.result()
    growth.built(images)
    growth.close()
    lock.release()
    after = ReferenceMap.open(grown)
    assert result.added == len(images)
    assert result.keyframes == len(after)
    assert 1 <= result.left_out == len(before) + len(images) - len(after) <= 10
    assert sum(record.bytes for record in after.info.files.values()) < 1.05 * budget_bytes
    assert after.info.all_drives[-1].source == "second drive"
    assert not set(before.stamps_ns[[2]].tolist()) & set(after.stamps_ns.tolist())
    statistics.unlink()
    assert sorted(path.name for path in grown.parent.iterdir()) == ["street"]
    frame = room.frame(-0.5, 0.9, 62.0)
    assert Localizer(before, device="cpu").localize(frame).status is not Status.LOCALIZED
    found = Localizer(after, device="cpu").localize(frame)
    assert found.status is Status.LOCALIZED
    assert found.T_map_base is not None
    assert frame.T_map_camera is not None
    assert np.linalg.norm(found.T_map_base[:3, 3] - frame.T_map_camera[:3, 3]) < 0.1


def test_images_that_are_in_the_map_already_are_not_added_again(grown: Path) -> None:
    """As after a kill between the new version of the map and the journal."""
    reference_map = ReferenceMap.open(grown)
    waiting = WaitingImages(grown, reference_map.info)
    for name in reference_map.names.to_pylist()[-2:]:
        waiting.add_image(Frame(1, np.zeros((120, 160, 3), np.uint8), CAMERA, name=name))
        waiting.place(waiting.images[name], np.eye(4))
    waiting.close()
    growth = MapGrowth(ReferenceMap.open(grown))
    assert growth.counts.waiting == 0
    growth.close()


def test_a_build_that_fails_leaves_the_map_and_what_waits(street: Path, growth: MapGrowth) -> None:
    drive = Drive(growth)
    drive.metres(8)
    drive.metres(4, LOST)
    drive.metres(8)
    before = (street / "map.json").read_bytes()
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
        with pytest.raises(SceneGeoLocError, match="cannot be written"):
            build_waiting(street, growth.placed, growth.folder, "drive")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert (street / "map.json").read_bytes() == before
    ReferenceMap.open(street).verify()
    assert growth.counts.waiting == 4 + 2 * CONTEXT
    assert all(image.read(growth.folder) for image in growth.placed)
