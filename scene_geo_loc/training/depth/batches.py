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

"""Batches of images with depth maps.

"Learning Scene Geometry for Visual Localization in Challenging Conditions" (ICRA 2019), section IV,
fine-tunes the depth decoder for the night on about 1000 such pairs; the journal version mixes in about as
many by day, to preserve the accuracy by day.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.packs.image_pack import ImagePack
from scene_geo_loc.training.common.augmentation import draw_sample
from scene_geo_loc.training.common.batches import drawn_ahead, stacked


@dataclass(frozen=True)
class PairSettings:
    """Settings of the batches of pairs.

    Attributes:
        pairs_a_batch: B, shared by the packs as evenly as possible.
        augmentation: whether colours and light change, see `scene_geo_loc.training.common.augmentation`.
        threads: that draw ahead; they do not change what is drawn.
    """

    pairs_a_batch: int
    augmentation: bool = False
    threads: int = 1


class PairBatch(NamedTuple):
    """B pairs, those of the first pack first.

    Attributes:
        images: (B, 224, 224, 3) uint8 RGB.
        depth: (B, 224, 224) float32 metres, NaN where unknown.
    """

    images: Tensor
    depth: Tensor


class PairBatches:
    """Batches of pairs of one pack, or mixed from several, such as half night and half day.

    An epoch has each pair of the first pack once, except for a rest smaller than a batch, and as many of the
    others as go with them.  A batch follows from seed, epoch and settings.
    """

    def __init__(self, packs: Sequence[ImagePack], settings: PairSettings, seed: int) -> None:
        """Finds the images with depth maps in packs, of pairs or of triplets.

        Raises SceneGeoLocError if a pack has no depth maps, or if a batch has fewer pairs than there are
        packs.
        """
        if settings.pairs_a_batch < len(packs):
            raise SceneGeoLocError(
                f"{settings.pairs_a_batch} pairs a batch < {len(packs)} sets of pairs: choose more pairs a "
                "batch."
            )
        self._packs, self._settings, self._seed = packs, settings, seed
        self._usable = [np.flatnonzero(pack.known > 0) for pack in packs]
        for pack, usable in zip(packs, self._usable, strict=True):
            if not len(usable):
                raise SceneGeoLocError(f"{pack.folder}: the pack has no depth maps.")
        each, more = divmod(settings.pairs_a_batch, len(packs))
        self._shares = [each + (k < more) for k in range(len(packs))]

    def __len__(self) -> int:
        """Batches of an epoch, at least one."""
        return max(1, len(self._usable[0]) // self._shares[0])

    def epoch(self, number: int, first: int = 0) -> Iterator[PairBatch]:
        """Yields the batches of an epoch, from batch `first` on; the next one is drawn in the background."""
        rng = np.random.default_rng([self._seed, number])
        orders = [
            _shuffled(rng, usable, share * len(self)).reshape(-1, share)
            for usable, share in zip(self._usable, self._shares, strict=True)
        ]
        jobs = [
            (batch, place, k, int(i))
            for batch in range(first, len(self))
            for k, order in enumerate(orders)
            for place, i in enumerate(order[batch])
        ]

        def draw(job: tuple[int, int, int, int]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
            batch, place, k, i = job
            sample_rng = np.random.default_rng([self._seed, number, batch, place, k])
            return draw_sample(self._packs[k], i, sample_rng, self._settings.augmentation)

        size = self._settings.pairs_a_batch
        drawn = drawn_ahead(draw, jobs, self._settings.threads, ahead=size)
        for _ in range(first, len(self)):
            yield PairBatch(*stacked([next(drawn) for _ in range(size)]))


def _shuffled(rng: np.random.Generator, numbers: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """Returns `count` of the numbers in random order; none repeats before all others were taken."""
    turns = -(-count // len(numbers))
    return np.concatenate([rng.permutation(numbers) for _ in range(turns)])[:count]
