"""Depth scales: metres to the decoder's 0 to 1, and back.

On the authors' linear scale all that is nearer than 20 m lies in the lowest fifth: the L1 loss hardly tells
the road from a façade, and nor do the colours.  On the logarithmic one a step is a share of the depth.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from torch import Tensor

MAX_DEPTH_M = 100.0
"""Depth of the decoder's 1, in metres: nothing farther is told apart."""

MIN_DEPTH_M = 1.0
"""Depth of the logarithmic scale's 0, in metres: nothing nearer is told apart."""


class DepthScale(ABC):
    """Base of the depth scales."""

    @abstractmethod
    def metres(self, depth: Tensor) -> Tensor:
        """Metres of normalised depth, 0 to 1."""

    def normalise(self, depth_m: Tensor) -> Tensor:
        """Depth in metres to 0..1; what is beyond `MAX_DEPTH_M` or unknown (NaN) is 1."""
        return self._share(depth_m.nan_to_num(MAX_DEPTH_M).clamp(max=MAX_DEPTH_M)).clamp(0, 1)

    @abstractmethod
    def _share(self, depth_m: Tensor) -> Tensor: ...


class LinearScale(DepthScale):
    """Shares of `MAX_DEPTH_M`, as the authors have it."""

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


DEPTH_SCALES: dict[str, DepthScale] = {"linear": LinearScale(), "log": LogarithmicScale()}
