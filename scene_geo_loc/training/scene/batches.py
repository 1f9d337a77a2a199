"""Batches of posed images, each with the views that it is compared with."""

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
from scene_geo_loc.training.descriptor.batches import drawn_ahead

NEIGHBOURS = 3
"""Views that an image is warped to, as in the paper."""
_PARTNERS = 12
"""An image's partner is drawn from so many that see the same."""


class SceneBatch(NamedTuple):
    """B images and what they are compared with; poses are float32, for they are between near cameras.

    Attributes:
        images: (B, H, W, 3) uint8 RGB, as the network is given them.
        depth: (B, H, W) metres, NaN where unknown.
        K: (B, 4) fx, fy, cx, cy.
        plain: (B, H, W, 3) uint8, the images as they were taken.
        neighbours: (B, M, H, W, 3) uint8, views of the same traversal, as they were taken.
        K_neighbours: (B, M, 4).
        T_neighbour_image: (B, M, 4, 4).
        partners: (B, H, W, 3) uint8, views of any traversal, as the network is given them.
        partner_depth: (B, H, W).
        K_partners: (B, 4).
        T_partner_image: (B, 4, 4).
        apart_m: (B, B) from the camera of each image to that of each partner.
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
    """One image with its views, in the order of `SceneBatch`, and its position and its partner's."""

    arrays: tuple[NDArray, ...]
    position: NDArray[np.float64]
    partner_position: NDArray[np.float64]


class SceneBatches:
    """Batches of posed images; an epoch takes each image once that has a view to be compared with."""

    def __init__(
        self,
        images: PosedImages,
        images_a_batch: int,
        baseline_m: float,
        augmentation: bool,
        seed: int,
        threads: int = 1,
    ) -> None:
        """Finds what can be compared.

        Args:
            images: to draw from.
            images_a_batch: B.
            baseline_m: about how far from an image those are that it is compared with.
            augmentation: whether colours and light change, of an image and of its partner each in its way.
            seed: decides about everything random.
            threads: that draw ahead; they change nothing of what is drawn.

        Raises SceneGeoLocError where too few images for a batch have others beside them.
        """
        self._images, self._size, self._baseline_m = images, images_a_batch, baseline_m
        self._augmentation, self._seed, self._threads = augmentation, seed, threads
        self._neighbours = [
            images.neighbours(i, baseline_m, NEIGHBOURS, same_source=True) for i in range(len(images))
        ]
        self._usable = np.flatnonzero([len(near) > 0 for near in self._neighbours])
        if len(self._usable) < images_a_batch:
            raise SceneGeoLocError(
                f"{images.made_of}: only {len(self._usable)} images have another one about {baseline_m:g} m "
                f"beside them, and a batch takes {images_a_batch}: give more images, or another baseline."
            )

    def __len__(self) -> int:
        """Batches of an epoch."""
        return len(self._usable) // self._size

    def epoch(self, number: int) -> Iterator[SceneBatch]:
        """The batches of an epoch, the same ones each time."""
        order = np.random.default_rng([self._seed, number]).permutation(self._usable)
        chosen = order[: len(self) * self._size]
        jobs = [(number, place, int(i)) for place, i in enumerate(chosen)]
        drawn = drawn_ahead(self._draw, jobs, self._threads, ahead=self._size)
        for _ in range(len(self)):
            yield _batch([next(drawn) for _ in range(self._size)])

    def _draw(self, job: tuple[int, int, int]) -> _Draw:
        epoch, place, i = job
        images, rng = self._images, np.random.default_rng([self._seed, epoch, place])
        near = np.resize(self._neighbours[i], NEIGHBOURS)
        # Rarely is there none of another traversal; the image's own neighbours are of any.
        partners = images.neighbours(i, self._baseline_m, _PARTNERS, same_source=False)
        partner = int(rng.choice(partners))
        from_image = images.T_map_camera[i]

        def given(k: int) -> NDArray[np.uint8]:
            image = np.array(images.images[k])
            return augment(image, rng.spawn(1)[0]) if self._augmentation else image

        arrays = (
            given(i),
            images.depth[i].astype(np.float32),
            images.K[i],
            images.images[i],
            images.images[near],
            images.K[near],
            np.linalg.inv(images.T_map_camera[near]) @ from_image,
            given(partner),
            images.depth[partner].astype(np.float32),
            images.K[partner],
            np.linalg.inv(images.T_map_camera[partner]) @ from_image,
        )
        return _Draw(arrays, from_image[:3, 3], images.T_map_camera[partner][:3, 3])


def _batch(drawn: list[_Draw]) -> SceneBatch:
    stacked = [np.stack(of) for of in zip(*(one.arrays for one in drawn), strict=True)]
    here, there = np.stack([d.position for d in drawn]), np.stack([d.partner_position for d in drawn])
    arrays = [*stacked, np.linalg.norm(here[:, None] - there, axis=2)]
    return SceneBatch._make(
        torch.from_numpy(one if one.dtype == np.uint8 else one.astype(np.float32)) for one in arrays
    )
