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


"""A part of the painted room to regress scene coordinates in: a camera that walks along it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from room import Room

from scene_geo_loc.training.scene_coordinates.systems import CoordinateProtocol
from scene_geo_loc.traversals.frame import Frame, PassOver, PassOverScan, Scan, read_all
from scene_geo_loc.traversals.skipped import Skipped

NETWORK = CoordinateProtocol(
    input_width=160,
    units=96,
    blocks=1,
    copies=2,
    changes_light=False,
    pool=20_000,
    epochs=6,
    accepted_error_m=0.5,
)


def walk(count: int, shift: float = 0.0, room: Room | None = None) -> list[Frame]:
    """Frames of a walk through the middle of the room that looks ahead and to both sides."""
    room = room or Room()
    steps = np.arange(count) + shift
    return [
        room.frame(-2.5 + 3.0 * s / count, 0.4 * np.sin(s / 5), 15.0 * np.sin(s / 3), round(1e8 * s))
        for s in steps
    ]


@dataclass
class WalkTraversal:
    """Frames of a walk."""

    taken: list[Frame] = field(default_factory=lambda: walk(40))
    with_depth: bool = True
    name: str = "walk"
    map_frame: str = "map"
    skipped: Skipped = field(default_factory=Skipped)

    def __len__(self) -> int:
        return len(self.taken)

    def frames(self, pass_over: PassOver = read_all) -> Iterator[Frame]:
        for frame in self.taken:
            yield frame if self.with_depth else replace(frame, depth=None)

    def scans(self, pass_over: PassOverScan = read_all) -> Iterator[Scan]:
        return iter(())
