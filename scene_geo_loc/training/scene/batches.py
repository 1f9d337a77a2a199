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

"""Batches of posed images, each with the views it is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.packs.posed_images import PosedImages
from scene_geo_loc.training.common.augmentation import augment
from scene_geo_loc.training.common.batches import drawn_ahead

NEIGHBOURS = 3
"""Number of views that an image is warped to, as in the paper."""
_PARTNERS = 12
"""Number of views that show the same, from which the partner of an image is drawn."""


class SceneBatch(NamedTuple):
    """B images and the views they are compared with; poses are float32, since the cameras are near each
    other.

    Attributes:
        images: (B, H, W, 3) uint8 RGB, the input of the network.
        depth: (B, H, W) metres, NaN where unknown.
        K: (B, 4) fx, fy, cx, cy.
        plain: (B, H, W, 3) uint8, the images without augmentation.
        neighbours: (B, M, H, W, 3) uint8, views of the same traversal without augmentation.
        K_neighbours: (B, M, 4).
        T_neighbour_image: (B, M, 4, 4).
        partners: (B, H, W, 3) uint8, views of any traversal, input of the network.
        partner_depth: (B, H, W).
        K_partners: (B, 4).
        T_partner_image: (B, 4, 4).
        apart_m: (B, B) distance between the cameras of each image and each partner, metres.
    """

    images: Tensor
    depth: Tensor
    K: Tensor
    plain: Tensor
    neighbours: Tensor
    K_neighbours: Tensor
    T_neighbour_image: Tensor
    partners: Tensor
    partner_depth: Tensor
    K_partners: Tensor
    T_partner_image: Tensor
    apart_m: Tensor


@dataclass(frozen=True)
class _Draw:
    """One image with its views, in the order of `SceneBatch`, its position and that of its partner."""

    arrays: tuple[NDArray, ...]
    position: NDArray[np.float64]
    partner_position: NDArray[np.float64]


class SceneBatches:
    """Batches of posed images; an epoch has each image that has neighbouring views once."""

    def __init__(
        self,
        images: PosedImages,
        images_a_batch: int,
        baseline_m: float,
        augmentation: bool,
        seed: int,
        threads: int = 1,
    ) -> None:
        """Finds the neighbours of each image.

        Args:
            images: to draw from.
            images_a_batch: B.
            baseline_m: approximate distance of an image to the views it is compared with.
            augmentation: whether colours and light change, independently for an image and its partner.
            seed: of everything random.
            threads: that draw ahead; they do not change what is drawn.

        Raises SceneGeoLocError if fewer images have neighbours than a batch has images.
        """
        self._images, self._size, self._baseline_m = images, images_a_batch, baseline_m
        self._augmentation, self._seed, self._threads = augmentation, seed, threads
        self._neighbours = [
            images.neighbours(i, baseline_m, NEIGHBOURS, same_source=True) for i in range(len(images))
        ]
        self._usable = np.flatnonzero([len(near) > 0 for near in self._neighbours])
        if len(self._usable) < images_a_batch:
            raise SceneGeoLocError(
                f"{images.made_of}: {len(self._usable)} images with a neighbour about {baseline_m:g} m away "
                f"< {images_a_batch} images a batch: use more images, another baseline or smaller batches."
            )

    def __len__(self) -> int:
        """Batches of an epoch."""
        return len(self._usable) // self._size

    def epoch(self, number: int, first: int = 0) -> Iterator[SceneBatch]:
        """Yields the batches of an epoch, from batch `first` on; the next one is drawn in the background."""
        order = np.random.default_rng([self._seed, number]).permutation(self._usable)
        chosen = order[: len(self) * self._size]
        jobs = [(number, place, int(i)) for place, i in enumerate(chosen)][first * self._size :]
        drawn = drawn_ahead(self._draw, jobs, self._threads, ahead=self._size)
        for _ in range(first, len(self)):
            yield _batch([next(drawn) for _ in range(self._size)])

    def _draw(self, job: tuple[int, int, int]) -> _Draw:
        epoch, place, i = job
        images, rng = self._images, np.random.default_rng([self._seed, epoch, place])
        near = np.resize(self._neighbours[i], NEIGHBOURS)
        # Views of any traversal: there may be none of another one.
        partners = images.neighbours(i, self._baseline_m, _PARTNERS, same_source=False)
        partner = int(rng.choice(partners))
        from_image = images.T_map_camera[i]

        def network_input(k: int) -> NDArray[np.uint8]:
            image = np.array(images.images[k])
            return augment(image, rng.spawn(1)[0]) if self._augmentation else image

        arrays = (
            network_input(i),
            images.depth[i].astype(np.float32),
            images.K[i],
            images.images[i],
            images.images[near],
            images.K[near],
            np.linalg.inv(images.T_map_camera[near]) @ from_image,
            network_input(partner),
            images.depth[partner].astype(np.float32),
            images.K[partner],
            np.linalg.inv(images.T_map_camera[partner]) @ from_image,
        )
        return _Draw(arrays, from_image[:3, 3], images.T_map_camera[partner][:3, 3])


def _batch(drawn: list[_Draw]) -> SceneBatch:
    stacked = [np.stack(column) for column in zip(*(draw.arrays for draw in drawn), strict=True)]
    positions = np.stack([draw.position for draw in drawn])
    partners = np.stack([draw.partner_position for draw in drawn])
    arrays = [*stacked, np.linalg.norm(positions[:, None] - partners, axis=2)]
    return SceneBatch._make(
        torch.from_numpy(array if array.dtype == np.uint8 else array.astype(np.float32)) for array in arrays
    )
