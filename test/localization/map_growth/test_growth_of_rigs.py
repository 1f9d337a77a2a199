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

"""A rig of rolling-shutter cameras maps while it localizes: all of its cameras get keyframes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rolling_room import MOTION, rolling
from room import Room

from scene_geo_loc.geometry.pose import inverse, make_pose, position_error_m, rotation_error_deg
from scene_geo_loc.localization.estimate import LocalizerSettings, PoseEstimate, Status
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.map_growth.building import build_waiting
from scene_geo_loc.localization.map_growth.drive import instants_of, localize_drive
from scene_geo_loc.localization.map_growth.growth import CONTEXT, Drop, MapGrowth
from scene_geo_loc.localization.map_growth.settings import GrowthSettings
from scene_geo_loc.localization.query import CameraImage, image_of
from scene_geo_loc.localization.session import Session
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.traversals.frame import Frame, PassOver, PassOverScan, Scan, read_all
from scene_geo_loc.traversals.rig import RigTraversal
from scene_geo_loc.traversals.skipped import Skipped

COVARIANCE = np.diag([0.02**2] * 3 + [0.002**2] * 3)
SECOND = 10**9
LOST = range(6, 14)
# To the left of the first camera, and 0.1 m beside it.
T_FIRST_SIDE = make_pose([[0, 0, -1], [0, 1, 0], [1, 0, 0]], (-0.1, 0.0, 0.0))
GROWTH = GrowthSettings(keyframe_distance_m=0.2, max_std_m=0.2)


def rig_at(room: Room, i: int) -> list[CameraImage]:
    """Images of the rig in the part of the room that the map does not look at."""
    first = room.frame(-4.0 + 0.25 * i, 1.0, 20.0 + 3 * i)
    assert first.T_map_camera is not None
    side = room.view(first.T_map_camera @ T_FIRST_SIDE)
    side_motion = MOTION.in_view(T_FIRST_SIDE, MOTION.row)
    return [image_of(rolling(room, first)), image_of(rolling(room, side, side_motion), T_FIRST_SIDE)]


def truth(room: Room, i: int) -> np.ndarray:
    T = room.frame(-4.0 + 0.25 * i, 1.0, 20.0 + 3 * i).T_map_camera
    assert T is not None
    return T


@pytest.fixture(scope="module")
def grown(
    room: Room, room_map: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ReferenceMap, ReferenceMap]:
    """The map before and after the rig's drive."""
    street = Path(shutil.copytree(room_map, tmp_path_factory.mktemp("rig") / "street"))
    before = ReferenceMap.open(street)
    growth = MapGrowth(before, GROWTH, source="rig")
    for i in range(20):
        T = truth(room, i)
        estimate = PoseEstimate(Status.LOST)
        if i not in LOST:
            estimate = PoseEstimate(Status.LOCALIZED, T, COVARIANCE, confidence=0.99)
        growth.add(SECOND * (i + 1), rig_at(room, i), estimate, T)
    growth.close()
    # As after a restart of the node: what waits is read from the disk.
    growth = MapGrowth(before, GROWTH)
    images = growth.placed
    build_waiting(street, images, growth.folder, "rig")
    growth.built(images)
    growth.close()
    return before, ReferenceMap.open(street)


def test_every_camera_has_keyframes_where_its_middle_row_was_exposed(
    grown: tuple[ReferenceMap, ReferenceMap], room: Room
) -> None:
    before, after = grown
    added = np.asarray(after.T_map_camera[len(before) :])
    T_middle = MOTION.T_image_row(0.5)
    expected = []
    for i in range(LOST[0] - CONTEXT, LOST[-1] + 1 + CONTEXT):
        T = truth(room, i) @ T_middle
        expected += [T, T @ T_FIRST_SIDE]
    assert len(added) == len(expected) == 2 * (len(LOST) + 2 * CONTEXT)
    for T in expected:
        assert position_error_m(added, T).min() < 1e-3
    assert not any(camera.readout_s for camera in after.cameras)


def test_views_of_every_camera_are_localized_by_what_the_rig_added(
    grown: tuple[ReferenceMap, ReferenceMap], room: Room
) -> None:
    before, after = grown
    settings = LocalizerSettings(second_look_share=0)
    side = room.view(truth(room, 9) @ T_FIRST_SIDE)
    assert Localizer(before, settings, device="cpu").localize(side).status is not Status.LOCALIZED
    localizer = Localizer(after, settings, device="cpu")
    for seen in (side, room.frame(-1.6, 0.95, 50.0)):
        found = localizer.localize(seen)
        assert found.T_map_base is not None
        # Images that are taken as of a global shutter put their points 0.1 m off.
        assert position_error_m(seen.T_map_camera, found.T_map_base) < 0.04
        assert rotation_error_deg(seen.T_map_camera, found.T_map_base) < 0.4


def test_an_image_whose_motion_is_not_known_is_dropped_and_counted(
    room: Room, room_map: Path, tmp_path: Path
) -> None:
    growth = MapGrowth(ReferenceMap.open(room_map), GROWTH, folder=tmp_path / "waiting")
    known, unknown = rig_at(room, 9)
    unknown = replace(unknown, readout_motion=lambda: None)
    growth.add(SECOND, [known, unknown], PoseEstimate(Status.LOST), truth(room, 9))
    assert growth.counts.unplaced == 1
    assert growth.counts.dropped[Drop.NO_READOUT_MOTION] == 1
    growth.close()


class Recorded:
    """A camera's frames of a recording, whose poses are in a frame of its own."""

    name, map_frame = "recorded", "odom"

    def __init__(self, frames: list[Frame]) -> None:
        self._frames, self.skipped = frames, Skipped()

    def __len__(self) -> int:
        return len(self._frames)

    def frames(self, pass_over: PassOver = read_all) -> Iterator[Frame]:
        yield from self._frames

    def scans(self, pass_over: PassOverScan = read_all) -> Iterator[Scan]:
        yield from ()


def test_a_recorded_rig_is_localized_and_added_as_one(room: Room, room_map: Path, tmp_path: Path) -> None:
    T_own_map = make_pose([[0, -1, 0], [1, 0, 0], [0, 0, 1]], (30.0, 5.0, 0.0))
    looks = [*np.linspace(-3.6, -2.4, 7), *np.linspace(-2.2, -1.4, 6)]
    headings = [0.0] * 7 + [0.0, 60.0, 110.0, 60.0, 0.0, 0.0]
    cameras: tuple[list[Frame], list[Frame]] = ([], [])
    for i, (x, heading) in enumerate(zip(looks, headings, strict=True)):
        first = room.frame(float(x), 0.1, heading, stamp_ns=SECOND * (i + 1))
        assert first.T_map_camera is not None
        side = room.view(first.T_map_camera @ T_FIRST_SIDE, stamp_ns=SECOND * (i + 1) + 1000)
        for frames, frame in zip(cameras, (first, side), strict=True):
            frames.append(replace(frame, T_map_camera=T_own_map @ frame.T_map_camera))
    rig = RigTraversal([Recorded(frames) for frames in cameras])
    before = ReferenceMap.open(room_map)
    growth = MapGrowth(before, GROWTH.model_copy(update={"explore": True}), folder=tmp_path / "waiting")
    localize_drive(Session(Localizer(before, device="cpu")), growth, rig)
    growth.settle()
    placed = growth.placed
    assert len(placed) >= 4
    truths = {
        (frame.stamp_ns // SECOND, number): inverse(T_own_map) @ frame.T_map_camera
        for number, frames in enumerate(cameras)
        for frame in frames
        if frame.T_map_camera is not None
    }
    numbers = [int(image.name.endswith("_1")) for image in placed]
    assert sum(numbers) == len(placed) / 2
    for image, number in zip(placed, numbers, strict=True):
        assert position_error_m(truths[image.stamp_ns // SECOND, number], image.T_map_camera) < 0.05
    assert instants_of(rig) == len(looks)
    growth.close()
