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

"""Mini-batches of triplets, drawn from an image pack in the background."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.packs.image_pack import ImagePack
from scene_geo_loc.places.triplets import Triplets
from scene_geo_loc.training.common.augmentation import draw_sample
from scene_geo_loc.training.common.batches import drawn_ahead, stacked
from scene_geo_loc.traversals.skipped import Skipped


@dataclass(frozen=True)
class BatchSettings:
    """Settings of the batches of triplets.

    Attributes:
        triplets_a_batch: T; the last batch of an epoch may have fewer.
        positives, negatives: P and N, drawn from each triplet in an epoch.
        augmentation: whether colours and light change, see `scene_geo_loc.training.common.augmentation`.
        threads: that draw ahead; they do not change what is drawn.
    """

    triplets_a_batch: int
    positives: int
    negatives: int
    augmentation: bool = False
    threads: int = 1


class TripletBatch(NamedTuple):
    """T triplets, each an anchor, then P positives, then N negatives.

    Attributes:
        numbers: T numbers of the triplets in their file.
        images: (T, 1 + P + N, 224, 224, 3) uint8 RGB.
        depth: (T, 1 + P + N, 224, 224) float32 metres, NaN where unknown.
    """

    numbers: tuple[int, ...]
    images: Tensor
    depth: Tensor


class TripletBatches:
    """Batches of triplets; a batch follows from seed, epoch and settings.

    Attributes:
        left_out: triplets whose images are not in the pack, by reason.
    """

    def __init__(self, pack: ImagePack, triplets: Triplets, settings: BatchSettings, seed: int) -> None:
        """Finds the triplets' images in the pack.

        Raises SceneGeoLocError if triplets have fewer positives or negatives than the settings need, or if no
        triplet has its images in the pack.
        """
        for kind in ("positives", "negatives"):
            available, needed = getattr(triplets.info.settings, kind), getattr(settings, kind)
            if needed > available:
                raise SceneGeoLocError(
                    f"The triplets have {available} {kind} each and the protocol needs {needed}: choose "
                    "fewer in the protocol, or make triplets with more."
                )
        self.left_out = Skipped()
        self._pack, self._settings, self._seed = pack, settings, seed
        self._triplets: dict[int, tuple[int, list[int], list[int]]] = {}
        for number, triplet in enumerate(triplets.items):
            anchor, positives, negatives = (
                [i for sample in group if (i := pack.find(sample.image)) is not None]
                for group in ([triplet.anchor], triplet.positives, triplet.negatives)
            )
            if anchor and len(positives) >= settings.positives and len(negatives) >= settings.negatives:
                self._triplets[number] = (anchor[0], positives, negatives)
            else:
                self.left_out.add("triplets with images that could not be packed")
        if not self._triplets:
            raise SceneGeoLocError(
                f"{pack.folder}: the pack has the images of none of the {len(triplets)} triplets: make the "
                "pack from the same file of triplets."
            )

    def __len__(self) -> int:
        """Batches of an epoch."""
        return -(-len(self._triplets) // self._settings.triplets_a_batch)

    def epoch(self, number: int, first: int = 0) -> Iterator[TripletBatch]:
        """Yields the batches of an epoch, from batch `first` on; the next one is drawn in the background."""
        numbers = np.array(list(self._triplets))
        order = np.random.default_rng([self._seed, number]).permutation(numbers).tolist()
        size = self._settings.triplets_a_batch
        left = order[first * size :]
        drawn = drawn_ahead(
            lambda triplet: self._draw(number, triplet), left, self._settings.threads, ahead=size
        )
        for begin in range(0, len(left), size):
            chosen = left[begin : begin + size]
            images, depth = stacked([next(drawn) for _ in chosen])
            yield TripletBatch(tuple(chosen), images, depth)

    def _draw(self, epoch: int, number: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Draws images (1 + P + N, 224, 224, 3) and depth of a triplet in an epoch."""
        rng = np.random.default_rng([self._seed, epoch, number])
        anchor, positives, negatives = self._triplets[number]
        chosen = [
            anchor,
            *rng.choice(positives, self._settings.positives, replace=False).tolist(),
            *rng.choice(negatives, self._settings.negatives, replace=False).tolist(),
        ]
        samples = [draw_sample(self._pack, i, rng, self._settings.augmentation) for i in chosen]
        return np.stack([image for image, _ in samples]), np.stack([depth for _, depth in samples])
