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

"""Several cameras read together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.traversals.frame import Frame, PassOver, PassOverScan, Scan, read_all
from scene_geo_loc.traversals.rig import RigTraversal
from scene_geo_loc.traversals.skipped import Skipped

MS = 1_000_000


class Clock:
    """A camera with images at given milliseconds, and a scan."""

    def __init__(self, name: str, times_ms: list[int]) -> None:
        self.name, self.map_frame, self.times_ms = name, "map", times_ms
        self.skipped = Skipped({"blurred": 1})

    def __len__(self) -> int:
        return len(self.times_ms)

    def frames(self, pass_over: PassOver = read_all) -> Iterator[Frame]:
        for ms in self.times_ms:
            image = np.zeros((4, 6, 3), np.uint8)
            yield Frame(ms * MS, image, Camera(6, 4, 5.0, 5.0, 2.5, 1.5), name=f"{self.name} {ms}")

    def scans(self, pass_over: PassOverScan = read_all) -> Iterator[Scan]:
        yield Scan(0, np.zeros((1, 3)))


def names(frames: list[Frame]) -> list[str]:
    return [frame.name for frame in frames]


def test_images_taken_within_a_twentieth_of_a_second_belong_together() -> None:
    rig = RigTraversal([Clock("ahead", [100, 200, 300]), Clock("left", [70, 130, 210, 290, 310])])
    assert [names(instant) for instant in rig.instants()] == [
        ["ahead 100", "left 70"],
        ["ahead 200", "left 210"],
        ["ahead 300", "left 290"],
    ]


def test_a_camera_that_missed_an_instant_is_left_out_of_it() -> None:
    rig = RigTraversal([Clock("ahead", [100, 200, 300]), Clock("left", [307]), Clock("rear", [111, 205])])
    assert [names(instant) for instant in rig.instants()] == [
        ["ahead 100", "rear 111"],
        ["ahead 200", "rear 205"],
        ["ahead 300", "left 307"],
    ]


def test_all_frames_come_in_order_of_time_and_the_scans_once() -> None:
    rig = RigTraversal([Clock("ahead", [100, 200]), Clock("left", [110, 190])])
    assert names(list(rig.frames())) == ["ahead 100", "left 110", "left 190", "ahead 200"]
    assert (len(rig), len(list(rig.scans())), str(rig.skipped)) == (4, 1, "2 blurred")
