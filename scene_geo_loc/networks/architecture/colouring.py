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

"""Colourings: a depth map of one channel to the three channels that an encoder of images reads."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

COLOURS = 256
"""Number of entries of the colour table."""


def smooth_jet(depth: Tensor) -> Tensor:
    """Colours (B, 3, H, W) in 0..1 of depth maps (B, 1, H, W) in 0..1, dark blue (near) to dark red (far).

    Each channel is a trapezium of slope 4 around its own depth (1/4 for blue, 1/2 for green, 3/4 for red).
    At every depth at least one channel rises or falls, so the gradient vanishes nowhere.
    """
    return torch.cat([(1.5 - (4 * depth - peak).abs()).clamp(0, 1) for peak in (3, 2, 1)], dim=1)


@torch.no_grad()
def jet(depth: Tensor) -> Tensor:
    """Colours (B, 3, H, W) in 0..1 of depth maps (B, 1, H, W) in 0..1, by a table of 256, without gradient.

    The table is `smooth_jet` at 256 depths: the two differ only in the steps and the gradient.
    """
    return smooth_jet((depth * (COLOURS - 1)).round() / (COLOURS - 1))


COLOURINGS: dict[str, Callable[[Tensor], Tensor]] = {"jet": jet, "smooth": smooth_jet}
"""The colourings by their names in configs."""
