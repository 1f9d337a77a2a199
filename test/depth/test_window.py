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

"""Choice of the scans that are gathered for each lidar."""

from __future__ import annotations

import numpy as np

from scene_geo_loc.depth.window import PUSHBROOM, SPINNING, window_for
from scene_geo_loc.traversals.frame import Scan


def scans(points: int) -> list[Scan]:
    return [Scan(i, np.zeros((points, 3))) for i in range(50)]


def test_lines_are_gathered_over_the_way_to_come_and_sweeps_around_the_image() -> None:
    assert window_for(scans(400)) == PUSHBROOM
    assert window_for(scans(25_000)) == SPINNING


def test_lines_between_which_a_sweep_comes_now_and_then_are_still_lines() -> None:
    assert window_for([*scans(400), *scans(25_000)]) == PUSHBROOM


def test_only_the_first_scans_are_read() -> None:
    read = []
    window_for(scan for scan in scans(400) if read.append(scan) is None)
    assert len(read) < 50
