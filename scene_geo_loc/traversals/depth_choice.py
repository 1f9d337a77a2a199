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

"""A traversal without some of its sources of depth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from scene_geo_loc.traversals.frame import Frame, PassOver, PassOverScan, Scan, Traversal, read_all
from scene_geo_loc.traversals.skipped import Skipped


@dataclass
class DepthChoice:
    """A traversal with the depth of its frames, or its scans, or neither.

    Attributes:
        traversal: all of it.
        has_frame_depth: whether the frames keep their depth.
        has_scans: whether there are scans.
    """

    traversal: Traversal
    has_frame_depth: bool = False
    has_scans: bool = False
    name: str = field(init=False)
    map_frame: str = field(init=False)

    def __post_init__(self) -> None:
        self.name, self.map_frame = self.traversal.name, self.traversal.map_frame

    @property
    def skipped(self) -> Skipped:
        """Counts of the items that the traversal left out, by reason."""
        return self.traversal.skipped

    def __len__(self) -> int:
        return len(self.traversal)

    def frames(self, pass_over: PassOver = read_all) -> Iterator[Frame]:
        """Yields the frames, without their depth if that is not wanted."""
        for frame in self.traversal.frames(pass_over):
            yield frame if self.has_frame_depth else replace(frame, depth=None)

    def scans(self, pass_over: PassOverScan = read_all) -> Iterator[Scan]:
        """Yields the scans; none if they are not wanted."""
        return self.traversal.scans(pass_over) if self.has_scans else iter(())
