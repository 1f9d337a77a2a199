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

"""Batches of pairs of views."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.training.common.batches import drawn_ahead
from scene_geo_loc.training.keypoints.sources import Pair, PairSource

POINTS = 500
"""Most points of a pair."""
_TRIES = 50
"""Draws after which the sources are taken to have no pair."""


class KeypointBatch(NamedTuple):
    """B pairs; see `Pair`.

    Attributes:
        first, second, clear: (B, H, W, 3) uint8.
        points: (3, B, N, 2) float32.
        known: (B, N), whether there is such a point.
    """

    first: Tensor
    second: Tensor
    clear: Tensor
    points: Tensor
    known: Tensor


class KeypointBatches:
    """Batches of pairs, each of a source that is drawn by its share. A batch follows from seed and number.

    Args:
        sources: at least one.
        pairs: of a batch.
        size: width and height of the views.
        seed: of everything random.
        steps: batches of the whole training.
        steps_an_epoch: batches of an epoch; the last epoch may have fewer.
    """

    def __init__(
        self,
        sources: Sequence[PairSource],
        pairs: int,
        size: tuple[int, int],
        seed: int,
        steps: int,
        steps_an_epoch: int,
    ) -> None:
        self._sources, self._pairs, self._size, self._seed = sources, pairs, size, seed
        self._steps, self._steps_an_epoch = steps, steps_an_epoch
        shares = np.array([source.share for source in sources])
        self._shares = shares / shares.sum()

    def __len__(self) -> int:
        """Batches of an epoch."""
        return self._steps_an_epoch

    def epoch(self, number: int, first: int = 0) -> Iterator[KeypointBatch]:
        """Yields the batches of an epoch, from batch `first` on; the next are drawn in the background."""
        begin = (number - 1) * self._steps_an_epoch
        end = min(begin + self._steps_an_epoch, self._steps)
        return drawn_ahead(self.batch, range(begin + first, end), threads=1, ahead=4)

    def batch(self, number: int) -> KeypointBatch:
        """Returns a batch of the whole training. Raises SceneGeoLocError where the sources have no pairs."""
        rng = np.random.default_rng((self._seed, number))
        return _batch([self._pair(rng) for _ in range(self._pairs)])

    def _pair(self, rng: np.random.Generator) -> Pair:
        for _ in range(_TRIES):
            source = self._sources[rng.choice(len(self._sources), p=self._shares)]
            pair = source.draw(rng, self._size, POINTS)
            if pair is not None:
                return pair
        raise SceneGeoLocError(
            f"{_TRIES} pairs of images share too few points: use larger images, or others."
        )


def _batch(pairs: Sequence[Pair]) -> KeypointBatch:
    points = np.zeros((3, len(pairs), POINTS, 2), np.float32)
    known = np.zeros((len(pairs), POINTS), bool)
    for k, pair in enumerate(pairs):
        count = pair.points.shape[1]
        points[:, k, :count], known[k, :count] = pair.points, True
    images = [np.stack([getattr(pair, name) for pair in pairs]) for name in ("first", "second", "clear")]
    return KeypointBatch(*map(torch.from_numpy, (*images, points, known)))
