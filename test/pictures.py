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

"""Images whose pixels encode their position, with depth maps that encode the same, as files to pack."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.depth.depth_maps import encode_depth
from scene_geo_loc.packs.chunks import Picture, Reader
from scene_geo_loc.traversals.folder import read_image


def graded(height: int, width: int, blue: int = 0) -> NDArray[np.uint8]:
    """An RGB image whose red grows to the right and whose green grows downwards; its blue is its own."""
    y, x = np.mgrid[:height, :width]
    red, green = 255 * x / (width - 1), 255 * y / (height - 1)
    return np.dstack([red, green, np.full((height, width), blue)]).astype(np.uint8)


def depth_of(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The depth map that goes with it: a metre, and 0.1 m for each grey value of red; unknown at the top."""
    depth = 1.0 + 0.1 * image[..., 0].astype(np.float32)
    depth[image[..., 1] < 40] = np.nan
    return depth


def write_picture(
    folder: Path, name: str, image: NDArray[np.uint8], depth: NDArray[np.float32] | None
) -> Picture:
    """Writes <name>.png and, where there is a depth map, <name>.depth.png."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if depth is None:
        return Picture(name, path)
    (folder / f"{name}.depth.png").write_bytes(encode_depth(depth))
    return Picture(name, path, folder / f"{name}.depth.png")


def write_pictures(folder: Path, count: int, height: int = 60, width: int = 80) -> list[Picture]:
    """Writes graded images with their depth maps; the blue of each is its number."""
    images = [graded(height, width, blue) for blue in range(count)]
    return [write_picture(folder, f"{i:04d}", image, depth_of(image)) for i, image in enumerate(images)]


def readers_for(pictures: list[Picture], height: int = 60, width: int = 80) -> list[Reader]:
    """One reader for all of them."""
    return [Reader(height, width, read_image)] * len(pictures)
