"""Images with depth maps and without a place, to train depth with.

"Learning Scene Geometry for Visual Localization in Challenging Conditions" (ICRA 2019), section IV,
fine-tunes the depth decoder for the night with about 1000 such pairs; the journal version of the paper
mixes in about as many by day, so that the day is not forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.core.progress import ProgressCallback, ignore_progress
from scene_geo_loc.depth.depth_maps import INDEX, DepthMap, DepthMaps
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.packs.chunks import Picture, Reader
from scene_geo_loc.packs.image_pack import ImagePack
from scene_geo_loc.packs.packing import make_pack
from scene_geo_loc.training.common.augmentation import draw_sample
from scene_geo_loc.training.descriptor.batches import drawn_ahead, stacked
from scene_geo_loc.traversals.folder import FolderTraversal
from scene_geo_loc.traversals.opening import open_traversal
from scene_geo_loc.traversals.robotcar.traversal import is_robotcar
from scene_geo_loc.traversals.rosbag.bag import is_bag

DEPTH_FOLDER = "depth"
"""Beside runs, the folder of their depth maps, in <run>/<camera>, as `triplets --make-depth` makes them."""


def pack_pairs(
    sources: Sequence[Path],
    folder: Path,
    *,
    count: int = 1000,
    seed: int = 0,
    squashed: bool = False,
    workers: int | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> ImagePack:
    """The pack of images that have depth maps.

    Args:
        sources: folders of depth maps, folders of such folders, or RobotCar runs beside whose folder
            there are some in depth/<run>/<camera>.
        folder: of the pack.
        count: most pairs to take, chosen from all of them at random.
        seed: decides which.
        squashed, workers, on_progress: see `make_pack`.

    Raises:
        SceneGeoLocError: a source has no depth maps, or its images are not where they were; see
            `make_pack` for more.
    """
    pairs = [pair for source in sources for pair in _pairs_of(Path(source))]
    rng = np.random.default_rng(seed)
    chosen = [pairs[i] for i in np.sort(rng.permutation(len(pairs))[:count]).tolist()]
    return make_pack(
        folder,
        [pair.picture for pair in chosen],
        lambda: _readers(chosen),
        source=f"image and depth pairs of {', '.join(str(source) for source in sources)}",
        squashed=squashed,
        workers=workers,
        on_progress=on_progress,
    )


def distinct_names(paths: Sequence[Path]) -> dict[str, Path]:
    """Returns the paths by their last part, or by as many last parts as make all names distinct."""
    for parts in range(1, 1 + max((len(path.parts) for path in paths), default=1)):
        names = ["/".join(path.parts[-parts:]) for path in paths]
        if len(set(names)) == len(names):
            break
    return dict(zip(names, paths, strict=True))


@dataclass(frozen=True)
class PairSettings:
    """What a batch of pairs is made of.

    Attributes:
        pairs_a_batch: B, shared by the packs as evenly as may be.
        augmentation: whether colours and light change, see `scene_geo_loc.training.common.augmentation`.
        threads: that draw ahead; they change nothing of what is drawn.
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


class DepthPairs:
    """Batches of pairs of one pack, or mixed of several, half night and half day, say.

    An epoch takes each pair of the first pack once, but for a rest too small for a batch, and of the
    others as many as go with them; each follows from seed, epoch and settings alone.
    """

    def __init__(self, packs: Sequence[ImagePack], settings: PairSettings, seed: int) -> None:
        """Finds the images with depth maps in packs, of pairs or of triplets.

        Raises SceneGeoLocError where a pack has no depth maps, or where a batch has fewer pairs than
        there are packs.
        """
        if settings.pairs_a_batch < len(packs):
            raise SceneGeoLocError(
                f"{settings.pairs_a_batch} pairs a batch cannot be shared by {len(packs)} sets of pairs: ask "
                "for more a batch."
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
        """The batches of an epoch, from batch `first` on; one is drawn ahead in the background."""
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
            of_its_own = np.random.default_rng([self._seed, number, batch, place, k])
            return draw_sample(self._packs[k], i, of_its_own, self._settings.augmentation)

        size = self._settings.pairs_a_batch
        drawn = drawn_ahead(draw, jobs, self._settings.threads, ahead=size)
        for _ in range(first, len(self)):
            yield PairBatch(*stacked([next(drawn) for _ in range(size)]))


def _shuffled(rng: np.random.Generator, numbers: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """So many of the numbers in random order, none of them again before all others had their turn."""
    turns = -(-count // len(numbers))
    return np.concatenate([rng.permutation(numbers) for _ in range(turns)])[:count]


@dataclass(frozen=True)
class _Pair:
    """A depth map, and where its image is.

    Attributes:
        folder: of the depth map.
        source: the traversal that the image is of.
        camera: that of a RobotCar run; None of other sources.
    """

    folder: Path
    source: Path
    camera: str | None
    depth_map: DepthMap

    @property
    def picture(self) -> Picture:
        name = f"{self.source.name}/{self.depth_map.image}"
        return Picture(name, self.source / self.depth_map.image, self.folder / self.depth_map.png)


def _pairs_of(source: Path) -> list[_Pair]:
    beside = source.parent / DEPTH_FOLDER / source.name
    run = source if is_robotcar(source) and beside.is_dir() else None
    root = beside if run else source
    folders = sorted(index.parent for index in root.rglob(INDEX))
    if not folders:
        raise SceneGeoLocError(
            f"{source}: there are no depth maps in {root}; make them with `depth make`, or name their folder."
        )
    return [pair for folder in folders for pair in _pairs_in(folder, run)]


def _pairs_in(folder: Path, run: Path | None) -> list[_Pair]:
    maps = DepthMaps.load(folder)
    source = run or maps.source
    if not source.exists():
        raise SceneGeoLocError(
            f"{folder}: the depth maps are of images in {source}, which is not there (any more): call this "
            "from where they were made, or make them again."
        )
    if is_bag(source):
        raise SceneGeoLocError(
            f"{folder}: the depth maps are of images in the bag {source}, and only those of folders of image "
            "files can be taken: name other depth maps."
        )
    has_cameras = is_robotcar(source)
    return [
        _Pair(folder, source, Path(each.image).parent.as_posix() if has_cameras else None, each)
        for each in maps.maps
    ]


def _readers(pairs: Sequence[_Pair]) -> list[Reader]:
    """The reader of each pair's image, one for each camera."""
    readers: dict[tuple[Path, str | None, Camera], Reader] = {}
    keys = [(pair.source, pair.camera, pair.depth_map.camera) for pair in pairs]
    for source, name, camera in dict.fromkeys(keys):
        traversal = open_traversal(source, camera=name)
        assert isinstance(traversal, FolderTraversal)
        readers[source, name, camera] = Reader(camera.height, camera.width, traversal.read_image)
    return [readers[key] for key in keys]
