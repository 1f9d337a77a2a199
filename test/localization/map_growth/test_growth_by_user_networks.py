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

"""Maps with a user's networks grow by the copies that they keep."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from room import Room
from small_graphs import write_corners, write_descriptor, write_pairs

from scene_geo_loc.geometry.pose import position_error_m
from scene_geo_loc.localization.estimate import PoseEstimate, Status
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.map_growth.building import build_waiting
from scene_geo_loc.localization.map_growth.growth import CONTEXT, MapGrowth
from scene_geo_loc.localization.map_growth.settings import GrowthSettings
from scene_geo_loc.mapping.builder import MapBuilder
from scene_geo_loc.mapping.map_info import USER_NETWORKS
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.mapping.settings import BuilderSettings

COVARIANCE = np.diag([0.02**2] * 3 + [0.002**2] * 3)
SECOND = 10**9


@pytest.fixture
def street(room: Room, tmp_path: Path) -> Path:
    """A map whose descriptors, keypoints and matches are by networks of a user, whose files are gone."""
    given = tmp_path / "given"
    given.mkdir()
    settings = BuilderSettings(
        keyframe_distance_m=0.2,
        descriptor=str(write_descriptor(given)),
        local_features=str(write_corners(given)),
        matcher=str(write_pairs(given)),
    )
    builder = MapBuilder(tmp_path / "street", settings, device="cpu")
    for frame in room.drive(6):
        builder.add_frame(frame)
    path = builder.finish()
    shutil.rmtree(given)
    return path


def grow(street: Path, room: Room) -> None:
    growth = MapGrowth(ReferenceMap.open(street), GrowthSettings(keyframe_distance_m=0.2, max_std_m=0.2))
    for i in range(14):
        frame = room.frame(-3.0 + 0.25 * i, 1.0, 20.0 + 5 * i, stamp_ns=SECOND * (i + 1))
        estimate = PoseEstimate(Status.LOST)
        if not 4 <= i < 9:
            estimate = PoseEstimate(Status.LOCALIZED, frame.T_map_camera, COVARIANCE, confidence=0.99)
        growth.add(frame.stamp_ns, frame, estimate, frame.T_map_camera)
    try:
        build_waiting(street, growth.placed, growth.folder, "second")
    finally:
        growth.close()


def test_new_keyframes_are_described_by_the_copies_in_the_map(street: Path, room: Room) -> None:
    before = ReferenceMap.open(street)
    grow(street, room)
    after = ReferenceMap.open(street)
    assert len(after) == len(before) + 5 + 2 * CONTEXT
    assert after.info.user_networks == before.info.user_networks
    for name in (*USER_NETWORKS, "matcher.safetensors"):
        assert after.info.files[name] == before.info.files[name]
    query = room.frame(-1.4, 0.95, 52.0)
    assert Localizer(before, device="cpu").localize(query).status is not Status.LOCALIZED
    found = Localizer(after, device="cpu").localize(query)
    assert found.T_map_base is not None
    assert position_error_m(query.T_map_camera, found.T_map_base) < 0.1
