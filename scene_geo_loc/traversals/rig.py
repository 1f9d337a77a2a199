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

"""Reads several cameras of one source together: in order of time, or by instants."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scene_geo_loc.geometry.datum import Georeference
from scene_geo_loc.traversals.frame import Frame, PassOver, PassOverScan, Scan, Traversal, read_all
from scene_geo_loc.traversals.satellite import HasFixes, SatelliteFixes, georeference_of
from scene_geo_loc.traversals.skipped import Skipped
from scene_geo_loc.traversals.sources import SensorSource, sources_of

SAME_INSTANT_NS = 50_000_000
"""Largest difference of the stamps of images that belong together: cameras are often not synchronized."""


@dataclass
class RigTraversal:
    """The cameras of a rig; the first is the reference.

    Attributes:
        cameras: one traversal for each camera, all of one source and in one map frame.
    """

    cameras: Sequence[Traversal]

    def __post_init__(self) -> None:
        self.name, self.map_frame = self.cameras[0].name, self.cameras[0].map_frame

    @property
    def skipped(self) -> Skipped:
        """Counts of the items that the cameras left out; those of scans are the first camera's."""
        total = Skipped()
        for camera in self.cameras:
            total.add_all(camera.skipped)
        return total

    @property
    def sources(self) -> list[SensorSource]:
        """Sources of the cameras, those that they share once."""
        found = [source for camera in self.cameras for source in sources_of(camera)]
        return [source for i, source in enumerate(found) if source not in found[:i]]

    @property
    def fixes(self) -> SatelliteFixes | None:
        """Satellite positions, with the antenna in the first camera's frame."""
        first = self.cameras[0]
        return first.fixes if isinstance(first, HasFixes) else None

    @property
    def georeference(self) -> Georeference | None:
        """Datum of the map."""
        return georeference_of(self.cameras[0])

    def __len__(self) -> int:
        return sum(len(camera) for camera in self.cameras)

    def frames(self, pass_over: PassOver = read_all) -> Iterator[Frame]:
        """Yields the frames of all cameras in order of time.

        `pass_over` may be called while one earlier frame of each other camera is still to be yielded.
        """
        return heapq.merge(*(camera.frames(pass_over) for camera in self.cameras), key=_stamp)

    def scans(self, pass_over: PassOverScan = read_all) -> Iterator[Scan]:
        """Yields the lidar's scans once."""
        return self.cameras[0].scans(pass_over)

    def instants(self) -> Iterator[list[Frame]]:
        """Yields each frame of the first camera followed by the simultaneous frames of the others.

        A camera without a frame within `SAME_INSTANT_NS` is left out.
        """
        first, *others = (camera.frames() for camera in self.cameras)
        streams = [_Stream(frames) for frames in others]
        for frame in first:
            found = (stream.nearest(frame.stamp_ns) for stream in streams)
            yield [frame, *(other for other in found if other is not None)]


def one_or_rig(cameras: Sequence[Traversal]) -> Traversal:
    """Returns the traversal of a single camera, or the rig of several."""
    return cameras[0] if len(cameras) == 1 else RigTraversal(cameras)


class _Stream:
    """Frames of a camera, looked up by increasing stamps."""

    def __init__(self, frames: Iterator[Frame]) -> None:
        self._frames = frames
        self._near: deque[Frame] = deque()

    def nearest(self, stamp_ns: int) -> Frame | None:
        while not self._near or self._near[-1].stamp_ns <= stamp_ns + SAME_INSTANT_NS:
            following = next(self._frames, None)
            if following is None:
                break
            self._near.append(following)
        while self._near and self._near[0].stamp_ns < stamp_ns - SAME_INSTANT_NS:
            self._near.popleft()
        within = [frame for frame in self._near if frame.stamp_ns <= stamp_ns + SAME_INSTANT_NS]
        return min(within, key=lambda frame: abs(frame.stamp_ns - stamp_ns), default=None)


def _stamp(frame: Frame) -> int:
    return frame.stamp_ns
