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

"""Choice of some frames of a traversal: of a span of time, and every n-th."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import TraversalError

_MARGIN_NS = 60_000_000_000
"""Scans up to this long before the first and after the last frame may show what the frames see: a
push-broom lidar scans it when the vehicle gets there."""


@dataclass(frozen=True)
class Subset:
    """Frames to take: of those in a span of time, every n-th.

    Attributes:
        every, offset: frames number `offset`, `offset + every`, ... of the span.
        start, end: the span in seconds from the first frame, `end` included; None for no limit.

    Raises TraversalError where the numbers select nothing sensible.
    """

    every: int = 1
    offset: int = 0
    start: float | None = None
    end: float | None = None

    def __post_init__(self) -> None:
        if self.every < 1 or self.offset < 0:
            raise TraversalError(
                f"every {self.every} with offset {self.offset} selects no frames; "
                "take every >= 1 and offset >= 0."
            )
        if self.start is not None and self.end is not None and self.end < self.start:
            raise TraversalError(
                f"the span ends at {self.end} s, before it starts at {self.start} s; take end >= start."
            )

    def select(self, stamps_ns: NDArray[np.int64]) -> NDArray[np.intp]:
        """Returns the indices (M,) of the selected frames; stamps (N,) are those of all, in order of time."""
        if len(stamps_ns) == 0:
            return np.zeros(0, np.intp)
        first, last = self._limits(int(stamps_ns[0]))
        inside = np.flatnonzero((stamps_ns >= first) & (stamps_ns <= last))
        return inside[self.offset :: self.every]

    def span(self, stamps_ns: NDArray[np.int64]) -> tuple[int, int]:
        """Returns the first and last stamp of scans around the frames (N,), with a margin of 60 s."""
        if len(stamps_ns) == 0:
            return 0, 0
        first, last = self._limits(int(stamps_ns[0]))
        widest = np.iinfo(np.int64)
        return max(first - _MARGIN_NS, widest.min), min(last + _MARGIN_NS, widest.max)

    def _limits(self, first_ns: int) -> tuple[int, int]:
        widest = np.iinfo(np.int64)
        first = widest.min if self.start is None else first_ns + round(self.start * 1e9)
        last = widest.max if self.end is None else first_ns + round(self.end * 1e9)
        return int(first), int(last)


WHOLE = Subset()
"""The whole traversal."""
