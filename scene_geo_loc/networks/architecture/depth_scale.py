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

"""Depth scales: metres to the decoder's 0 to 1, and back.

On the linear scale of the ICRA paper everything nearer than 20 m lies in the lowest fifth, so that the L1
loss and the colours hardly separate the road from a façade.  On the logarithmic scale a step is a fixed
ratio of depths.  Perspective-n-Learned-Point has 1 / s - 1 metres for a sigmoid s, whose steps are finest
near the camera, which suits rooms.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from torch import Tensor

MAX_DEPTH_M = 100.0
"""Depth of the linear and the logarithmic scale's 1, in metres."""

MIN_DEPTH_M = 1.0
"""Depth of the logarithmic scale's 0, in metres; nearer depths are clamped to it."""


class DepthScale(ABC):
    """Base of the depth scales.

    Attributes:
        max_m: depth of 1, in metres; farther depths are clamped to it.
        typical_m: depth that a new decoder infers before training, in metres.
    """

    max_m = MAX_DEPTH_M
    typical_m = 12.0

    @abstractmethod
    def metres(self, depth: Tensor) -> Tensor:
        """Depth in metres of normalised depth, 0 to 1."""

    def normalise(self, depth_m: Tensor) -> Tensor:
        """Normalised depth, 0 to 1, of depth in metres; beyond `max_m` and unknown (NaN) is 1."""
        return self._share(depth_m.nan_to_num(self.max_m).clamp(max=self.max_m)).clamp(0, 1)

    @abstractmethod
    def _share(self, depth_m: Tensor) -> Tensor: ...


class LinearScale(DepthScale):
    """Fractions of `MAX_DEPTH_M`, as in the ICRA paper."""

    def metres(self, depth: Tensor) -> Tensor:
        """See `DepthScale.metres`."""
        return MAX_DEPTH_M * depth

    def _share(self, depth_m: Tensor) -> Tensor:
        return depth_m / MAX_DEPTH_M


class LogarithmicScale(DepthScale):
    """Equal steps for equal ratios, from `MIN_DEPTH_M` to `MAX_DEPTH_M`."""

    _SPAN = math.log(MAX_DEPTH_M / MIN_DEPTH_M)

    def metres(self, depth: Tensor) -> Tensor:
        """See `DepthScale.metres`."""
        return (MIN_DEPTH_M * (self._SPAN * depth).exp()).clamp(max=MAX_DEPTH_M)

    def _share(self, depth_m: Tensor) -> Tensor:
        return (depth_m.clamp(min=MIN_DEPTH_M) / MIN_DEPTH_M).log() / self._SPAN


class InverseScale(DepthScale):
    """Bounded scale of Perspective-n-Learned-Point: 1 / s - 1 metres for s = 1 - depth.

    The authors bound depth that is learned without supervision, by 20 m indoors and 200 m outdoors, and leave
    depth learned from depth maps unbounded, which a large `max_m` comes close to.
    """

    def __init__(self, max_m: float, typical_m: float) -> None:
        self.max_m, self.typical_m = max_m, typical_m

    def metres(self, depth: Tensor) -> Tensor:
        """See `DepthScale.metres`."""
        return 1 / (1 - depth * self._span) - 1

    def _share(self, depth_m: Tensor) -> Tensor:
        return (1 - 1 / (1 + depth_m.clamp(min=0))) / self._span

    @property
    def _span(self) -> float:
        return 1 - 1 / (1 + self.max_m)


DEPTH_SCALES: dict[str, DepthScale] = {
    "linear": LinearScale(),
    "log": LogarithmicScale(),
    "inverse": InverseScale(1000.0, 3.0),
    "inverse_20m": InverseScale(20.0, 2.0),
    "inverse_200m": InverseScale(200.0, 12.0),
}
"""The depth scales by their names in configs."""
