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

"""Small real-looking images for the benchmark on real sets."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray


def textured(seed: int, size: tuple[int, int] = (160, 120)) -> NDArray[np.uint8]:
    """An image (H, W, 3) of random shapes, the same for the same seed."""
    rng = np.random.default_rng(seed)
    image = np.full((size[1], size[0], 3), 128, np.uint8)
    for _ in range(60):
        x, y = (int(value) for value in rng.integers(0, size[0], 2))
        colour = tuple(int(value) for value in rng.integers(0, 256, 3))
        cv2.rectangle(image, (x, y), (x + int(rng.integers(4, 30)), y + int(rng.integers(4, 30))), colour, -1)
    return image


def write(path: Path, image: NDArray[np.uint8]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
    return path
