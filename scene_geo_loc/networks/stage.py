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

"""Stages: feature maps of a network and the position of their cells on its input."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Stage:
    """A feature map and the position of its cells on the input, the same along both sides.

    Attributes:
        channels: length of a feature.
        stride: pixels of the input between neighbouring cells.
        offset: pixel of the input, counted from 0, at the centre of the first cell.
        margin: pixels of a side that are too few for one more cell; negative if padding adds a cell.
    """

    channels: int
    stride: int
    offset: float
    margin: int = 0

    def cells(self, pixels: int) -> int:
        """Number of cells along a side of the input with this many pixels."""
        return (pixels - self.margin) // self.stride

    def enlarged(self, factor: int) -> Stage:
        """Returns the stage of an encoder that sees the input at one over `factor` of its size."""
        offset = (self.offset + 0.5) * factor - 0.5
        return replace(self, stride=self.stride * factor, offset=offset, margin=self.margin * factor)
