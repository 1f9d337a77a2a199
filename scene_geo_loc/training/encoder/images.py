"""The images that an encoder learns its weights on, and the batches drawn of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scene_geo_loc.core.progress import ProgressCallback, ignore_progress
from scene_geo_loc.networks.runtime.image_descriptors import image_names
from scene_geo_loc.packs.chunks import Picture, Reader
from scene_geo_loc.packs.image_pack import SHORT_SIDE, ImagePack
from scene_geo_loc.packs.packing import make_pack
from scene_geo_loc.packs.sources import view_name
from scene_geo_loc.places.areas import Areas
from scene_geo_loc.places.places import places_of
from scene_geo_loc.places.scenarios import TRAINING_RUNS, training_runs
from scene_geo_loc.places.views import View
from scene_geo_loc.training.common.augmentation import augment
from scene_geo_loc.traversals.folder import read_image
from scene_geo_loc.traversals.skipped import Skipped

PLACE_DISTANCE_M = 2.0
"""Way between the places of a run whose views are taken; nearer ones show much the same."""
HELD_OUT = 50
"""One image in so many is kept for measuring how well the student does."""


def pack_images(source: Path, folder: Path, on_progress: ProgressCallback = ignore_progress) -> ImagePack:
    """The pack of all images of a source; made where it is not there yet.

    Args:
        source: a folder of RobotCar runs, of which the training runs' views in the training area are taken;
            or any folder, of which all images are, those of its sub-folders too.
        folder: where the pack lies.
        on_progress: receives the images done and their total.

    Raises SceneGeoLocError where there are no images or the pack cannot be written.
    """
    if (source / TRAINING_RUNS[0]).is_dir():
        return _pack_runs(source, folder, on_progress)
    paths = [source / name for name in image_names(source)]
    pictures = [Picture(path.relative_to(source).as_posix(), path) for path in paths]
    return make_pack(folder, pictures, lambda: _readers(paths), source=source.name, on_progress=on_progress)


def _pack_runs(root: Path, folder: Path, on_progress: ProgressCallback) -> ImagePack:
    area, skipped = Areas.load(root).train, Skipped()
    runs, _ = training_runs(root)
    views = [
        view
        for run, cameras in runs.items()
        for place in places_of(run, cameras, PLACE_DISTANCE_M, area, skipped)
        for view in place
    ]
    pictures = [Picture(view_name(view), view.files.image) for view in views]
    return make_pack(
        folder,
        pictures,
        lambda: _view_readers(views),
        source=f"training area of {root.name}",
        on_progress=on_progress,
    )


def _view_readers(views: Sequence[View]) -> list[Reader]:
    readers = {
        (view.run, view.camera): Reader(
            view.files.camera.height, view.files.camera.width, view.traversal.read_image
        )
        for view in views
    }
    return [readers[view.run, view.camera] for view in views]


def _readers(paths: Sequence[Path]) -> list[Reader]:
    """A reader for each image; those of one size share one."""

    @cache
    def reader(height: int, width: int) -> Reader:
        return Reader(height, width, read_image)

    return [reader(*_size(path)) for path in paths]


def _size(path: Path) -> tuple[int, int]:
    """Height and width by the header; of a file without one any, since it is not packed."""
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except (OSError, ValueError):
        return SHORT_SIDE, SHORT_SIDE


class CropBatches:
    """Random square crops of the images of several sources, changed in their colours and light.

    A source is drawn from in proportion to the root of its number of images, so that a small one shows more
    often than its size tells and yet not as often as a large one.  A batch follows from seed and number.

    Args:
        packs: the sources.
        images: of a batch.
        side: of the crops, pixels.
        seed: of all that is random.
    """

    def __init__(self, packs: Sequence[ImagePack], images: int, side: int, seed: int) -> None:
        self._packs = packs
        self._images, self._side, self._seed = images, side, seed
        self._shown = [[i for i in range(len(pack)) if i % HELD_OUT] or [0] for pack in packs]
        roots = np.sqrt([len(shown) for shown in self._shown])
        self._shares = roots / roots.sum()

    def batch(self, number: int) -> NDArray[np.uint8]:
        """The crops (N, side, side, 3), RGB, of a batch."""
        rng = np.random.default_rng((self._seed, number))
        return np.stack([self._sample(rng) for _ in range(self._images)])

    def held_out(self, count: int) -> NDArray[np.uint8]:
        """The middles (N, side, side, 3) of at most so many images that no batch shows, as they are."""
        images = [pack.image(i) for pack in self._packs for i in range(0, len(pack), HELD_OUT)]
        chosen = np.unique(np.linspace(0, len(images) - 1, count).astype(int))
        return np.stack([self._middle(images[i]) for i in chosen])

    def _sample(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        source = int(rng.choice(len(self._packs), p=self._shares))
        shown = self._shown[source]
        whole = self._packs[source].image(shown[rng.integers(len(shown))])
        # From the whole short side to the network's own scale.
        crop_side = int(rng.integers(self._side, min(whole.shape[:2]) + 1))
        top, left = (int(rng.integers(side - crop_side + 1)) for side in whole.shape[:2])
        return augment(_resized(whole[top : top + crop_side, left : left + crop_side], self._side), rng)

    def _middle(self, whole: NDArray[np.uint8]) -> NDArray[np.uint8]:
        short = min(whole.shape[:2])
        top, left = ((side - short) // 2 for side in whole.shape[:2])
        return _resized(whole[top : top + short, left : left + short], self._side)


def _resized(square: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    square = np.ascontiguousarray(square)
    return np.asarray(cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
