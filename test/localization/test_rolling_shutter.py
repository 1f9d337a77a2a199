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

"""Images of a rolling shutter are localized at the pose of their first row, and make right maps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rolling_room import MOTION, rolling
from room import Room

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.geometry.pose import Pose, position_error_m, rotation_error_deg
from scene_geo_loc.localization.estimate import LocalizerSettings, Status
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.query import CameraImage, image_of
from scene_geo_loc.localization.second_look.second_look import View
from scene_geo_loc.mapping.builder import BuilderSettings, MapBuilder
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.traversals.frame import Frame


@pytest.fixture(scope="module")
def localizer(room_map: Path) -> Localizer:
    return Localizer(ReferenceMap.open(room_map), LocalizerSettings(second_look_share=0), device="cpu")


def errors(localizer: Localizer, query: Frame | CameraImage, T_true: Pose) -> tuple[float, float]:
    estimate = localizer.localize(query)
    assert estimate.status is Status.LOCALIZED
    assert estimate.T_map_base is not None
    return (
        float(position_error_m(T_true, estimate.T_map_base)),
        float(rotation_error_deg(T_true, estimate.T_map_base)),
    )


def test_the_pose_is_that_of_the_first_row_where_the_motion_is_known(
    room: Room, localizer: Localizer
) -> None:
    first = room.frame(-2.2, 0.1, 3.0)
    assert first.T_map_camera is not None
    taken = rolling(room, first)
    as_global_m, as_global_deg = errors(localizer, replace(taken, readout_motion=None), first.T_map_camera)
    position_m, rotation_deg = errors(localizer, taken, first.T_map_camera)
    assert as_global_m > 0.06
    assert position_m < 0.5 * as_global_m
    assert rotation_deg < 0.5 * as_global_deg


def test_motion_by_the_true_poses_is_not_for_the_localizer(room: Room) -> None:
    taken = rolling(room, room.frame(-2.2, 0.1, 3.0))
    by_poses = replace(taken, readout_motion=replace(MOTION, by_odometry=False))
    assert image_of(taken).readout_motion() is not None
    assert image_of(by_poses).readout_motion() is None


def test_an_image_turned_for_a_second_look_keeps_the_times_of_its_pixels(room: Room) -> None:
    image = image_of(rolling(room, room.frame(-2.2, 0.1, 3.0)))
    view = View(turn_deg=30, zoom=1.6)
    motion, real = view.of(image).readout_motion(), image.readout_motion()
    assert motion is not None
    assert real is not None
    pixels = np.array([[40.0, 30.0], [80.0, 60.0], [100.0, 90.0]])
    in_view = pixels @ view.affine(image.camera)[:, :2].T + view.affine(image.camera)[:, 2]
    expected = real.rows_of(image.camera, pixels)
    assert motion.rows_of(image.camera, in_view) == pytest.approx(expected, abs=1e-6)


def test_a_map_of_a_rolling_shutter_localizes_a_global_one(
    room: Room, room_map: Path, tmp_path: Path
) -> None:
    settings = BuilderSettings(keyframe_distance_m=0.2)
    found = {}
    for name in ("corrected", "as taken"):
        builder = MapBuilder(
            tmp_path / name, settings, device="cpu", network=room_map / "network.safetensors"
        )
        for frame in room.drive(6):
            taken = rolling(room, frame)
            builder.add_frame(taken if name == "corrected" else replace(taken, readout_motion=None))
        builder.finish()
        built = ReferenceMap.open(tmp_path / name)
        assert not any(camera.readout_s for camera in built.cameras)
        localizer = Localizer(built, LocalizerSettings(second_look_share=0), device="cpu")
        seen = room.frame(-2.9, 0.0, 5.0)
        assert seen.T_map_camera is not None
        found[name] = errors(localizer, seen, seen.T_map_camera)[0]
    assert found["as taken"] > 0.06
    assert found["corrected"] < 0.5 * found["as taken"]


def test_features_of_cells_cannot_be_corrected(room: Room, cells_map: Path, tmp_path: Path) -> None:
    builder = MapBuilder(tmp_path / "map", device="cpu", network=cells_map / "network.safetensors")
    with pytest.raises(MapError, match="rolling shutter"):
        builder.add_frame(rolling(room, room.frame(-2.2, 0.1, 3.0)))


def test_the_middle_row_is_where_a_keyframe_stands(room: Room, tmp_path: Path, room_map: Path) -> None:
    builder = MapBuilder(tmp_path / "map", device="cpu", network=room_map / "network.safetensors")
    first = room.frame(-2.2, 0.1, 0.0)
    assert first.T_map_camera is not None
    builder.add_frame(rolling(room, first))
    builder.finish()
    (stored,) = ReferenceMap.open(tmp_path / "map").T_map_camera
    # Half of 4 m/s ahead and of 2 m/s to the right for 50 ms.
    assert stored == pytest.approx(first.T_map_camera @ MOTION.T_image_row(0.5), abs=1e-9)
