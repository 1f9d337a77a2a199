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

"""Leaves out scans of a dense lidar, whose many points would take time and add nothing."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from scene_geo_loc.depth.window import LOOKED_AT, SPINNING, window_for
from scene_geo_loc.traversals.frame import Scan, Traversal

MAX_POINTS = 400_000
"""About the most points in the window of an image, all around the lidar: five for each pixel of a depth map
of 320 x 240 pixels."""


class ScanThinning:
    """Passes over scans of a spinning lidar, evenly: about `MAX_POINTS` remain in the window of an image.

    The first scans decide, which are all kept.  The lines of a push-broom are all needed: each is elsewhere.
    """

    def __init__(self, is_spinning: bool | None = None) -> None:
        """Starts a recording; whether the lidar is a spinning one, or None to choose by the first scans."""
        self._is_spinning = is_spinning
        self._first: list[Scan] = []
        self._every = 1 if is_spinning is False else 0
        self._count = 0

    def pass_over(self) -> bool:
        """Returns whether the next scan is not needed, before it is decoded."""
        self._count += 1
        return self._every > 1 and self._count % self._every != 0

    def look_at(self, scan: Scan) -> None:
        """Takes note of a scan that was not passed over."""
        if self._every:
            return
        self._first.append(scan)
        if len(self._first) < LOOKED_AT:
            return
        self._every = 1
        period_s = (self._first[-1].stamp_ns - self._first[0].stamp_ns) / 1e9 / (LOOKED_AT - 1)
        if period_s > 0 and (self._is_spinning or window_for(self._first) == SPINNING):
            scans = (SPINNING.before_s + SPINNING.after_s) / period_s
            points = scans * median(len(scan.points_map) for scan in self._first)
            self._every = max(1, int(points / MAX_POINTS))
        self._first = []

    def scans(self, traversal: Traversal) -> Iterator[Scan]:
        """Yields the scans of a traversal that are needed; the others are not decoded."""
        for scan in traversal.scans(lambda stamp_ns: self.pass_over()):
            self.look_at(scan)
            yield scan
