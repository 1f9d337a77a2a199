"""Colourings: a one-channel depth map to three channels, so that an encoder of images can read it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

COLOURS = 256
"""Entries of the colour table."""


def smooth_jet(depth: Tensor) -> Tensor:
    """Colours (B, 3, H, W) in 0..1 of depth maps (B, 1, H, W) in 0..1: dark blue (near) to dark red (far).

    Each channel is a trapezium of slope 4 around its own depth (1/4 for blue, 1/2 for green, 3/4 for red).
    Between their corners one of them always rises or falls: no range of depths is without a gradient.
    """
    return torch.cat([(1.5 - (4 * depth - peak).abs()).clamp(0, 1) for peak in (3, 2, 1)], dim=1)


@torch.no_grad()
def jet(depth: Tensor) -> Tensor:
    """Colours (B, 3, H, W) in 0..1 of depth maps (B, 1, H, W) in 0..1, by a table of 256; no gradient.

    The table is `smooth_jet` at 256 depths, so that the two differ by the steps and by the gradient alone.
    """
    return smooth_jet((depth * (COLOURS - 1)).round() / (COLOURS - 1))


COLOURINGS: dict[str, Callable[[Tensor], Tensor]] = {"jet": jet, "smooth": smooth_jet}
