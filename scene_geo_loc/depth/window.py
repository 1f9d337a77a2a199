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

"""Windows of the lidar scans around an image, which depend on the kind of lidar.

Imports nothing heavy, because the command line's options take their defaults from here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scene_geo_loc.traversals.frame import Scan

LOOKED_AT = 20
"""Number of scans by which the kind of lidar is recognised."""

_LINE_POINTS = 2000
"""A scan with fewer points is a line: a 2D scanner has hundreds, a spinning lidar tens of thousands."""


@dataclass(frozen=True)
class ScanWindow:
    """Window of the scans around an image, and reach of the search for occluders.

    Attributes:
        before_s, after_s: limits in seconds before and after the image's stamp.
        occluder_m: distance in metres from the line of sight to a point within which other points
            indicate a surface that hides it; see `scene_geo_loc.depth.lidar.project_depth`.
    """

    before_s: float
    after_s: float
    occluder_m: float = 0.0


SPINNING = ScanWindow(1.0, 2.0)
"""For a spinning lidar, which sees all around: scans close in time see what the image shows."""

PUSHBROOM = ScanWindow(10.0, 50.0, 1.0)
"""For a push-broom lidar, whose line becomes a surface as the vehicle moves: it scans later what the camera
sees (the window of the ICRA 2019 paper), and also what the camera cannot see."""


WINDOWS = {"spinning": SPINNING, "pushbroom": PUSHBROOM}


def window_for(scans: Iterable[Scan]) -> ScanWindow:
    """Returns the window for the kind of lidar of a traversal's first scans."""
    sizes = [len(scan.points_map) for scan in islice(scans, LOOKED_AT)]
    return PUSHBROOM if sizes and median(sizes) < _LINE_POINTS else SPINNING
