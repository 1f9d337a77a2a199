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
"""Depth as a picture, the second stream of a pose regressor that takes depth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def depth_picture(depth: NDArray[np.floating], scale_m: float) -> NDArray[np.uint8]:
    """Returns a grey picture (H, W, 3) of depth (H, W) in metres: near is bright, unknown black.

    Args:
        depth: NaN where unknown.
        scale_m: depth that is half as bright as the nearest.
    """
    metres = np.asarray(depth, np.float32)
    known = np.isfinite(metres) & (metres > 0)
    grey = np.where(known, 255.0 / (1.0 + np.where(known, metres, 0.0) / scale_m), 0.0)
    return np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, axis=2)
