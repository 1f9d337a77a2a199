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

"""Batches of image crops that an encoder is trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.packs.image_pack import ImagePack
from scene_geo_loc.training.common.augmentation import augment
from scene_geo_loc.training.common.batches import drawn_ahead

HELD_OUT = 50
"""Every n-th image is held out to measure the student's error."""


class CropBatches:
    """Random square crops of the images of several packs, with changed colours and light.

    A pack is drawn from in proportion to the root of its number of images: small packs more often than in
    proportion to their size, but less often than large ones.  A batch follows from seed and number.

    Args:
        packs: of images.
        images: of a batch.
        side: of the crops, pixels.
        seed: of everything random.
        steps: batches of the whole training.
        steps_an_epoch: batches of an epoch; the last epoch may have fewer.
    """

    def __init__(
        self,
        packs: Sequence[ImagePack],
        images: int,
        side: int,
        seed: int,
        steps: int = 1,
        steps_an_epoch: int = 1,
    ) -> None:
        self._packs = packs
        self._images, self._side, self._seed = images, side, seed
        self._steps, self._steps_an_epoch = steps, steps_an_epoch
        self._trained = [[i for i in range(len(pack)) if i % HELD_OUT] or [0] for pack in packs]
        roots = np.sqrt([len(trained) for trained in self._trained])
        self._shares = roots / roots.sum()

    def __len__(self) -> int:
        """Batches of an epoch."""
        return self._steps_an_epoch

    def epoch(self, number: int, first: int = 0) -> Iterator[NDArray[np.uint8]]:
        """Yields the batches of an epoch, from batch `first` on; the next one is drawn in the background."""
        begin = (number - 1) * self._steps_an_epoch
        end = min(begin + self._steps_an_epoch, self._steps)
        return drawn_ahead(self.batch, range(begin + first, end), threads=1, ahead=2)

    def batch(self, number: int) -> NDArray[np.uint8]:
        """Returns the RGB crops (N, side, side, 3) of a batch of the whole training."""
        rng = np.random.default_rng((self._seed, number))
        return np.stack([self._sample(rng) for _ in range(self._images)])

    def held_out(self, count: int) -> NDArray[np.uint8]:
        """Returns the unchanged centres (N, side, side, 3) of at most `count` images that no batch
        contains.
        """
        images = [pack.image(i) for pack in self._packs for i in range(0, len(pack), HELD_OUT)]
        chosen = np.unique(np.linspace(0, len(images) - 1, count).astype(int))
        return np.stack([self._centre(images[i]) for i in chosen])

    def _sample(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        source = int(rng.choice(len(self._packs), p=self._shares))
        trained = self._trained[source]
        whole = self._packs[source].image(trained[rng.integers(len(trained))])
        # From the network's own scale to the whole short side.
        crop_side = int(rng.integers(self._side, min(whole.shape[:2]) + 1))
        top, left = (int(rng.integers(side - crop_side + 1)) for side in whole.shape[:2])
        return augment(_resized(whole[top : top + crop_side, left : left + crop_side], self._side), rng)

    def _centre(self, whole: NDArray[np.uint8]) -> NDArray[np.uint8]:
        short = min(whole.shape[:2])
        top, left = ((side - short) // 2 for side in whole.shape[:2])
        return _resized(whole[top : top + short, left : left + short], self._side)


def _resized(square: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    square = np.ascontiguousarray(square)
    return np.asarray(cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
