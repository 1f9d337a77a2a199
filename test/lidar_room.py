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

"""A drive with a lidar through the room of `room`, with known depth everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from room import Room

from scene_geo_loc.geometry.pose import transform
from scene_geo_loc.traversals.frame import Frame, PassOver, PassOverScan, Scan, read_all
from scene_geo_loc.traversals.skipped import Skipped


@dataclass
class LidarRoom:
    """See `scene_geo_loc.traversals.frame.Traversal`; a scan at each frame sees a tenth of its pixels.

    Attributes:
        with_depth: whether frames have their true depth.
        blind: numbers of the frames whose pose is not known.
        scanned: numbers of the frames at which there is a scan.
        offset_y: how far to the left of the middle the drive goes.
    """

    count: int = 8
    with_depth: bool = False
    blind: tuple[int, ...] = ()
    scanned: range = range(100)
    offset_y: float = 0.0
    name: str = "a room"
    map_frame: str = "map"
    skipped: Skipped = field(default_factory=Skipped)

    def __post_init__(self) -> None:
        self._frames = Room().drive(self.count, self.offset_y)

    def __len__(self) -> int:
        return self.count

    def frames(self, pass_over: PassOver = read_all) -> Iterator[Frame]:
        self.skipped = Skipped()
        for i, frame in enumerate(self._frames):
            T_map_camera = None if i in self.blind else frame.T_map_camera
            if pass_over(frame.stamp_ns, T_map_camera):
                continue
            if T_map_camera is None:
                self.skipped.add("images without a pose")
            yield replace(
                frame,
                depth=frame.depth if self.with_depth else None,
                T_map_camera=T_map_camera,
            )

    def scans(self, pass_over: PassOverScan = read_all) -> Iterator[Scan]:
        for i, frame in enumerate(self._frames):
            if i in self.scanned:
                seen = np.random.default_rng(i).random(frame.depth.shape) < 0.1
                v, u = np.nonzero(seen)
                points = frame.camera.back_project(np.stack([u, v], axis=1), frame.depth[seen])
                yield Scan(frame.stamp_ns, transform(frame.T_map_camera, points))
