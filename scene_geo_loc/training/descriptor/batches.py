"""Mini-batches of triplets, drawn from an image pack while the one before is trained with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.core.parallel import in_order
from scene_geo_loc.packs.image_pack import ImagePack
from scene_geo_loc.places.triplets import Triplets
from scene_geo_loc.training.common.augmentation import draw_sample
from scene_geo_loc.traversals.skipped import Skipped

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True)
class BatchSettings:
    """What a batch is made of.

    Attributes:
        triplets_a_batch: T; the last batch of an epoch may have fewer.
        positives, negatives: P and N, how many of a triplet's are drawn in an epoch.
        augmentation: whether colours and light change, see `scene_geo_loc.training.common.augmentation`.
        threads: that draw ahead; they change nothing of what is drawn.
    """

    triplets_a_batch: int
    positives: int
    negatives: int
    augmentation: bool = False
    threads: int = 1


class Batch(NamedTuple):
    """T triplets, each an anchor, then P positives, then N negatives.

    Attributes:
        numbers: of the triplets in their file, T of them.
        images: (T, 1 + P + N, 224, 224, 3) uint8 RGB.
        depth: (T, 1 + P + N, 224, 224) float32 metres, NaN where unknown.
    """

    numbers: tuple[int, ...]
    images: Tensor
    depth: Tensor


class TripletBatches:
    """The batches of triplets, epoch by epoch; each follows from seed, epoch and settings alone.

    Attributes:
        left_out: triplets whose images the pack lacks, by reason.
    """

    def __init__(self, pack: ImagePack, triplets: Triplets, settings: BatchSettings, seed: int) -> None:
        """Finds the triplets' images in the pack.

        Raises SceneGeoLocError where triplets have fewer positives or negatives than settings ask for,
        or where the pack has the images of none of them.
        """
        for kind in ("positives", "negatives"):
            there, asked = getattr(triplets.info.settings, kind), getattr(settings, kind)
            if asked > there:
                raise SceneGeoLocError(
                    f"{asked} {kind} of each triplet are asked for, and the file has {there}: ask for "
                    "fewer, or make triplets with more."
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
                f"{pack.folder}: the pack has the images of not one of {len(triplets)} triplets: make "
                "it of the same file of triplets."
            )

    def __len__(self) -> int:
        """Batches of an epoch."""
        return -(-len(self._triplets) // self._settings.triplets_a_batch)

    def epoch(self, number: int, first: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from batch `first` on; one is drawn ahead in the background."""
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
            yield Batch(tuple(chosen), images, depth)

    def _draw(self, epoch: int, number: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Images (1 + P + N, 224, 224, 3) and depth of a triplet in an epoch."""
        rng = np.random.default_rng([self._seed, epoch, number])
        anchor, positives, negatives = self._triplets[number]
        chosen = [
            anchor,
            *rng.choice(positives, self._settings.positives, replace=False).tolist(),
            *rng.choice(negatives, self._settings.negatives, replace=False).tolist(),
        ]
        samples = [draw_sample(self._pack, i, rng, self._settings.augmentation) for i in chosen]
        return np.stack([image for image, _ in samples]), np.stack([depth for _, depth in samples])


def drawn_ahead(
    draw: Callable[[Job], Result], jobs: Iterable[Job], threads: int, ahead: int
) -> Iterator[Result]:
    """What is drawn for each job, in order, while threads draw what comes next.

    Threads are enough: OpenCV and NumPy's large operations do not hold Python's lock.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="draw")
    try:
        yield from in_order(pool, draw, jobs, ahead)
    finally:
        pool.shutdown(cancel_futures=True)


def stacked(samples: Sequence[tuple[NDArray[np.uint8], NDArray[np.float32]]]) -> tuple[Tensor, Tensor]:
    """Images and depth maps of samples, each along a new first axis, as tensors."""
    images, depth = zip(*samples, strict=True)
    return torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(depth))
