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

"""Packs of the sources of training data: triplets, views of known place, pairs of image and depth map, any
images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.core.progress import ProgressCallback, ignore_progress
from scene_geo_loc.depth.depth_maps import INDEX, DepthMap, DepthMaps
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.networks.runtime.image_descriptors import image_names
from scene_geo_loc.packs.chunks import Picture, Reader
from scene_geo_loc.packs.image_pack import SHORT_SIDE, ImagePack
from scene_geo_loc.packs.packing import make_pack
from scene_geo_loc.places.areas import Areas
from scene_geo_loc.places.places import places_of
from scene_geo_loc.places.scenarios import TRAINING_RUNS, training_runs
from scene_geo_loc.places.triplets import Triplets
from scene_geo_loc.places.views import View, open_cameras
from scene_geo_loc.traversals.folder import FolderTraversal, read_image
from scene_geo_loc.traversals.opening import open_traversal
from scene_geo_loc.traversals.robotcar.traversal import is_robotcar
from scene_geo_loc.traversals.rosbag.bag import is_bag
from scene_geo_loc.traversals.skipped import Skipped

DEPTH_FOLDER = "depth"
"""Folder beside runs with their depth maps, in <run>/<camera>."""
PLACE_DISTANCE_M = 2.0
"""Distance along a run between the places whose views `pack_images` takes; nearer views are much the same."""


def pack_triplets(
    triplets: Triplets,
    folder: Path,
    *,
    workers: int | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> ImagePack:
    """Returns the pack of all images of triplets and their depth maps, named as `Sample.image`.

    See `make_pack` for arguments and errors.
    """
    samples = list(triplets.images.values())
    root = triplets.root
    pictures = [Picture(s.image, root / s.image, root / s.depth if s.depth else None) for s in samples]

    def readers() -> list[Reader]:
        readers = {}
        for run in {sample.run for sample in samples}:
            for name, traversal in open_cameras(root, run).items():
                camera = traversal.frame_files[0].camera
                readers[run, name] = Reader(camera.height, camera.width, traversal.read_image)
        return [readers[sample.run, sample.camera] for sample in samples]

    return make_pack(
        folder,
        pictures,
        readers,
        source=f"triplets of {root.name}",
        workers=workers,
        on_progress=on_progress,
    )


def pack_views(
    views: Sequence[View],
    folder: Path,
    *,
    workers: int | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> ImagePack:
    """Returns the pack of views to test with, squashed, named as `view_name` says.

    See `make_pack` for arguments and errors.
    """
    readers = _view_readers(views)
    return make_pack(
        folder,
        [Picture(view_name(view), view.files.image) for view in views],
        lambda: readers,
        source=f"views of {', '.join(sorted({view.run for view in views}))}",
        squashed=True,
        workers=workers,
        on_progress=on_progress,
    )


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
    """Returns the pack of images that have depth maps.

    Args:
        sources: folders of depth maps, folders of such folders, or RobotCar runs with depth maps in
            depth/<run>/<camera> beside them.
        folder: of the pack.
        count: largest number of pairs, drawn at random from all of them.
        seed: of the draw.
        squashed, workers, on_progress: see `make_pack`.

    Raises:
        SceneGeoLocError: a source has no depth maps, or its images are missing; see `make_pack` for more.
    """
    pairs = [pair for source in sources for pair in _pairs_of(Path(source))]
    rng = np.random.default_rng(seed)
    chosen = [pairs[i] for i in np.sort(rng.permutation(len(pairs))[:count]).tolist()]
    return make_pack(
        folder,
        [pair.picture for pair in chosen],
        lambda: _pair_readers(chosen),
        source=f"image and depth pairs of {', '.join(str(source) for source in sources)}",
        squashed=squashed,
        workers=workers,
        on_progress=on_progress,
    )


def pack_images(source: Path, folder: Path, on_progress: ProgressCallback = ignore_progress) -> ImagePack:
    """Returns the pack of all images of a source, made if needed.

    Args:
        source: a folder of RobotCar runs, of which the views of the training runs in the training area are
            taken; or any folder, of which all images are taken, also those of its sub-folders.
        folder: of the pack.
        on_progress: receives the images done and their total.

    Raises SceneGeoLocError if there are no images or the pack cannot be written.
    """
    if (source / TRAINING_RUNS[0]).is_dir():
        return _pack_runs(source, folder, on_progress)
    paths = [source / name for name in image_names(source)]
    pictures = [Picture(path.relative_to(source).as_posix(), path) for path in paths]
    return make_pack(
        folder, pictures, lambda: _image_readers(paths), source=source.name, on_progress=on_progress
    )


def distinct_names(paths: Sequence[Path]) -> dict[str, Path]:
    """Returns the paths by their last part, or by as many last parts as make all names distinct."""
    for parts in range(1, 1 + max((len(path.parts) for path in paths), default=1)):
        names = ["/".join(path.parts[-parts:]) for path in paths]
        if len(set(names)) == len(names):
            break
    return dict(zip(names, paths, strict=True))


def view_name(view: View) -> str:
    """Returns the name of a view in a pack."""
    return f"{view.run}/{view.camera}/{view.files.stamp_ns}"


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
    """Returns the reader of each view, one for each camera of a run."""
    readers: dict[tuple[str, str], Reader] = {}
    for view in views:
        camera = view.files.camera
        readers.setdefault(
            (view.run, view.camera), Reader(camera.height, camera.width, view.traversal.read_image)
        )
    return [readers[view.run, view.camera] for view in views]


def _image_readers(paths: Sequence[Path]) -> list[Reader]:
    """Returns the reader of each image, one for each size."""

    @cache
    def reader(height: int, width: int) -> Reader:
        return Reader(height, width, read_image)

    return [reader(*_size(path)) for path in paths]


def _size(path: Path) -> tuple[int, int]:
    """Returns height and width by the header; without one any size, since the file is not packed then."""
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except (OSError, ValueError):
        return SHORT_SIDE, SHORT_SIDE


@dataclass(frozen=True)
class _Pair:
    """A depth map and its image.

    Attributes:
        folder: of the depth map.
        source: the traversal of the image.
        camera: of a RobotCar run; None for other sources.
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
            f"{source}: there are no depth maps in {root}; make them, or name their folder."
        )
    return [pair for folder in folders for pair in _pairs_in(folder, run)]


def _pairs_in(folder: Path, run: Path | None) -> list[_Pair]:
    maps = DepthMaps.load(folder)
    source = run or maps.source
    if not source.exists():
        raise SceneGeoLocError(
            f"{folder}: the images of the depth maps are in {source}, which does not exist: work in the "
            "folder where they were made, or make them again."
        )
    if is_bag(source):
        raise SceneGeoLocError(
            f"{folder}: the images of the depth maps are in the bag {source}, and only folders of image "
            "files are supported: name other depth maps."
        )
    has_cameras = is_robotcar(source)
    return [
        _Pair(folder, source, Path(each.image).parent.as_posix() if has_cameras else None, each)
        for each in maps.maps
    ]


def _pair_readers(pairs: Sequence[_Pair]) -> list[Reader]:
    """Returns the reader of the image of each pair, one for each camera."""
    readers: dict[tuple[Path, str | None, Camera], Reader] = {}
    keys = [(pair.source, pair.camera, pair.depth_map.camera) for pair in pairs]
    for source, name, camera in dict.fromkeys(keys):
        traversal = open_traversal(source, camera=name)
        assert isinstance(traversal, FolderTraversal)
        readers[source, name, camera] = Reader(camera.height, camera.width, traversal.read_image)
    return [readers[key] for key in keys]
