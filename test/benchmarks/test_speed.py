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

"""The maps and numbers of the speed benchmark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lidar_room import LidarRoom
from room import Room

from scene_geo_loc.benchmarks.speed.measurements import (
    Times,
    bytes_a_keyframe,
    enlarge_map,
    time_depth,
    time_panoramas,
    time_queries,
    time_systems,
)
from scene_geo_loc.geometry.pose import position_error_m
from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.traversals.streetview.index import CSV_NAME, IndexRow, write_index
from scene_geo_loc.traversals.streetview.writer import write_depth_png, write_panorama

pytestmark = pytest.mark.slow


def test_an_enlarged_map_is_whole_and_localizes_as_before(room: Room, room_map: Path, tmp_path: Path) -> None:
    enlarge_map(room_map, 500, tmp_path / "map")
    enlarged = ReferenceMap.open(tmp_path / "map")
    enlarged.verify()
    assert len(enlarged) == 500
    query = room.frame(-2.1, 0.4, 7.0)
    before_map = ReferenceMap.open(room_map)
    before = Localizer(before_map, device="cpu").localize(query)
    after = Localizer(enlarged, device="cpu").localize(query)
    assert after.status is Status.LOCALIZED
    assert position_error_m(after.T_map_base, before.T_map_base) < 0.02
    # The best of the added keyframes is none of those that are matched.
    assert all(candidate.keyframe < len(before_map) for candidate in after.candidates[:3])


def test_a_map_cannot_be_enlarged_to_fewer_keyframes(room_map: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="more than 3"):
        enlarge_map(room_map, 3, tmp_path / "map")


def test_every_step_of_a_query_is_timed(room: Room, room_map: Path) -> None:
    times = time_queries(Localizer(ReferenceMap.open(room_map), device="cpu"), room.drive(3))
    assert set(times) == {"describe", "retrieve", "detect", "rerank", "match", "solve", "total"}
    assert all(0 <= step.p50_ms <= step.p95_ms and step.count == 3 for step in times.values())


def test_forward_passes_of_systems_are_timed_beside_the_default_s() -> None:
    times = time_systems(["rgbtd_alexnet_mac", "rgb_efficientnet_lite0_netvlad"], passes=3)
    assert list(times) == [
        "shipped default",
        "RGBtD, AlexNet, MAC",
        "RGB, EfficientNet-Lite0, NetVLAD, projected to 512",
    ]
    assert all(0 < system.p50_ms <= system.p95_ms and system.count == 3 for system in times.values())


def test_the_costs_of_a_panorama_are_those_of_its_views(tmp_path: Path) -> None:
    texture = np.random.default_rng(0).integers(0, 256, (64, 128, 3), np.uint8)
    write_panorama(tmp_path / "a.jpg", np.kron(texture, np.ones((8, 8, 1), np.uint8)))
    write_depth_png(tmp_path / "a.png", np.full((32, 64), 8.0))
    write_index(tmp_path / CSV_NAME, [IndexRow("a.jpg", 52.0, 5.0, 40.0, heading=10.0, depth="a.png")])
    costs = time_panoramas(tmp_path, tmp_path / "map", views=2)
    assert (costs.panoramas, costs.views) == (1, 2)
    assert 0 < costs.views_s < costs.build_s
    assert 0.001 < costs.megabytes < 1


def test_dense_depth_is_timed_with_the_points_it_takes() -> None:
    drive = LidarRoom(4)
    times, points = time_depth(drive, drive.frames())
    assert times.count == 4
    assert times.p50_ms > 0
    assert points == sum(len(scan.points_map) for scan in drive.scans())  # all four lie within the window


def test_percentiles_of_times() -> None:
    assert Times.of(list(np.arange(101.0))) == Times(50.0, 95.0, 101)


def test_the_network_is_not_counted_to_a_keyframe(room_map: Path) -> None:
    parts = bytes_a_keyframe(room_map)
    assert min(parts.values()) > 0
    assert sum(parts.values()) < 27_000
