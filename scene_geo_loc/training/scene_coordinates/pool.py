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


"""The pool of cells that a head is trained with: features, pixels and depth, of all images, shuffled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.core.progress import ProgressCallback
from scene_geo_loc.localization.scene_coordinates.features import DenseFeatures
from scene_geo_loc.packs.posed_images import PosedImages
from scene_geo_loc.training.common.augmentation import augment
from scene_geo_loc.training.scene_coordinates.systems import CoordinateProtocol

MAX_TURN_DEG = 15.0
MAX_SCALE = 1.5
"""Copies are turned by at most this angle, and scaled by at most this factor or its inverse, as in ACE."""
MAX_BYTES = 4 * 10**9
"""More memory than this is not taken by a pool."""


class Cells(NamedTuple):
    """Cells of images.

    Attributes:
        features: (N, F) float16.
        images: (N,) number of the image.
        pixels: (N, 2) float32, in the image.
        depth: (N,) float32 metres, NaN where unknown.
    """

    features: NDArray[np.float16]
    images: NDArray[np.int32]
    pixels: NDArray[np.float32]
    depth: NDArray[np.float32]

    def where(self, chosen: NDArray) -> Cells:
        """Returns the cells that a mask (N,) or numbers choose."""
        return Cells(*(part[chosen] for part in self))


def copy_of(
    image: NDArray[np.uint8], rng: np.random.Generator, changes_light: bool
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Returns a turned and scaled copy of an image (H, W, 3) in other colours.

    Returns:
        The copy, and the affine map (2, 3) from its pixels to those of the image.
    """
    height, width = image.shape[:2]
    turn = rng.uniform(-MAX_TURN_DEG, MAX_TURN_DEG)
    scale = np.exp(rng.uniform(-np.log(MAX_SCALE), np.log(MAX_SCALE)))
    to_copy = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), turn, scale)
    warped = np.asarray(
        cv2.warpAffine(
            image, to_copy, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
        ),
        np.uint8,
    )
    if changes_light:
        warped = augment(warped, rng)
    else:
        gain, offset = rng.uniform(0.9, 1.1), rng.uniform(-12, 12)
        warped = np.clip(warped * gain + offset, 0, 255).astype(np.uint8)
    return warped, np.asarray(cv2.invertAffineTransform(to_copy))


def cells_of(
    images: PosedImages, i: int, copy: int, features: DenseFeatures, protocol: CoordinateProtocol
) -> Cells:
    """Returns the cells of a copy of an image; copy 0 is the image itself.

    Where the image has depth, cells without depth are left out: mostly they show sky or nothing.
    """
    image, to_image = np.array(images.images[i]), np.array([[1.0, 0, 0], [0, 1.0, 0]])
    if copy:
        rng = np.random.default_rng((protocol.seed, i, copy))
        image, to_image = copy_of(image, rng, protocol.changes_light)
    height, width = image.shape[:2]
    pixels = features.pixels(width, height) @ to_image[:, :2].T + to_image[:, 2]
    inside = ((pixels > -0.5) & (pixels < np.array([width, height]) - 0.5)).all(axis=1)
    depth = np.full(len(pixels), np.nan, np.float32)
    columns, rows = np.rint(pixels[inside]).astype(int).clip(0, (width - 1, height - 1)).T
    found = np.asarray(images.depth[i], np.float32)[rows, columns]
    depth[inside] = np.where(found > 0, found, np.nan)
    if np.isfinite(depth).any():
        inside &= np.isfinite(depth)
    cells = Cells(
        features.of(image).astype(np.float16),
        np.full(len(pixels), i, np.int32),
        pixels.astype(np.float32),
        depth,
    )
    return cells.where(inside)


def make_pool(
    images: PosedImages,
    numbers: NDArray[np.intp],
    features: DenseFeatures,
    protocol: CoordinateProtocol,
    on_progress: ProgressCallback,
) -> Cells:
    """Returns cells of the copies of images, as many of each and about `protocol.pool` in all.

    Raises SceneGeoLocError where they would take more memory than `MAX_BYTES`.
    """
    total = len(numbers) * protocol.copies
    each = max(1, protocol.pool // total)
    parts: list[Cells] = []
    for i in numbers:
        for copy in range(protocol.copies):
            cells = cells_of(images, int(i), copy, features, protocol)
            needed = total * min(each, len(cells.depth)) * (2 * cells.features.shape[1] + 16)
            if needed > MAX_BYTES:
                raise SceneGeoLocError(
                    f"A pool of {protocol.pool} cells takes {needed / 1e9:.1f} GB > "
                    f"{MAX_BYTES / 1e9:.1f} GB: choose a smaller pool."
                )
            rng = np.random.default_rng((protocol.seed, int(i), copy, 1))
            parts.append(cells.where(np.sort(rng.permutation(len(cells.depth))[:each])))
            on_progress(len(parts), total)
    return Cells(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


@dataclass(frozen=True)
class CellBatches:
    """Mini-batches of a pool; in each epoch every cell is drawn once.

    Attributes:
        pool: the cells.
        size: of a mini-batch.
        seed: the same seed draws the same batches.
    """

    pool: Cells
    size: int
    seed: int

    def __len__(self) -> int:
        return -(-len(self.pool.depth) // self.size)

    def epoch(self, number: int, first: int = 0) -> Iterator[Cells]:
        """Yields the batches of an epoch, from batch `first` on."""
        drawn = np.random.default_rng((self.seed, number)).permutation(len(self.pool.depth))
        for batch in range(first, len(self)):
            yield self.pool.where(drawn[batch * self.size : (batch + 1) * self.size])
