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

"""Sources of pairs that show the same: one image in two perspectives, a fixed camera by day and night, and
posed images with depth.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.packs.posed_images import PosedImages
from scene_geo_loc.training.common.augmentation import augment
from scene_geo_loc.training.keypoints.homographies import (
    Homography,
    Range,
    apply,
    crop,
    moved,
    scale_at,
    translation,
    warped,
)

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png"}
MARGIN = 4
"""Pixels that a point keeps away from the border of a view."""
FIRST = Range(scales=(0.5, 1.3), turn_deg=8.0, perspective=0.15)
"""Crop of an image that becomes the first view of a pair."""
SECOND = Range(scales=(0.55, 1.8), turn_deg=35.0, perspective=0.3, shift=0.25)
"""Change from the first view to the second one."""
POSED_FIRST = Range(scales=(0.6, 1.3), turn_deg=12.0, perspective=0.1)
POSED_SECOND = Range(scales=(0.6, 1.3), turn_deg=25.0, perspective=0.1)
"""Crops of two images that already show the scene in other perspectives."""
SHARES = {"fixed camera": 0.55, "image": 0.25, "posed": 0.2}
"""Weights of the kinds of sources, of those that a training has."""
CLEAR_SCALES = (0.4, 1.6)
"""Least and largest scale of the clear view."""
NIGHT_SHARE = 0.6
"""Share of the pairs of a fixed camera of one image of the darkest third and one of the brightest."""
AUGMENTED = {"one": 0.8, "several": 0.4}
"""Share of the views whose colours and light are changed: where a pair is of one image, and of several."""
LEAST_POINTS = 60
"""Pairs with fewer points in both views are left out."""
MAX_DEPTH_M = 80.0
"""Points farther away are left out: their depth may stand for the sky."""
HIDDEN = 0.05
"""A point is hidden in the other image whose depth differs by more than this fraction."""


@dataclass(frozen=True)
class Pair:
    """Two views of the same, with points that correspond, and a clear view for the teacher.

    Attributes:
        first, second: (H, W, 3) RGB.
        clear: (H, W, 3) RGB, the same in good light, upright.
        points: (3, N, 2), pixels of N points in each of the three.
    """

    first: NDArray[np.uint8]
    second: NDArray[np.uint8]
    clear: NDArray[np.uint8]
    points: NDArray[np.float64]


class PairSource(ABC):
    """Base of the sources.

    Attributes:
        share: weight among the sources of a training.
    """

    share: float

    @abstractmethod
    def draw(self, rng: np.random.Generator, size: tuple[int, int], count: int) -> Pair | None:
        """Returns a pair of a size (width, height) with about `count` points, or None if the views share too
        little.
        """


class AlignedImages(PairSource):
    """Groups of images, those of a group taken by a camera that stands still, or of one image each.

    Raises SceneGeoLocError where a folder has no images or one that cannot be read.
    """

    def __init__(self, groups: Sequence[Sequence[Path]], share: float) -> None:
        self._groups = [_Group.of(paths) for paths in groups]
        self.share = share

    @classmethod
    def of_folders(cls, folders: Sequence[Path]) -> AlignedImages:
        """Returns the images of folders and those below, each of them a group."""
        return cls([[path] for folder in folders for path in images_below(folder)], SHARES["image"])

    @classmethod
    def of_fixed_cameras(cls, folders: Sequence[Path]) -> AlignedImages:
        """Returns a group for each folder of a camera; a folder of such folders counts as those."""
        cameras = [camera for folder in folders for camera in _cameras(folder)]
        return cls([images_below(camera) for camera in cameras], SHARES["fixed camera"])

    def __len__(self) -> int:
        return sum(len(group.paths) for group in self._groups)

    def draw(self, rng: np.random.Generator, size: tuple[int, int], count: int) -> Pair | None:
        """See `PairSource.draw`."""
        group = self._groups[rng.integers(len(self._groups))]
        one, other = group.two(rng)
        H_first = crop(rng, group.size, size, FIRST)
        H_second = moved(rng, size, SECOND) @ H_first
        if rng.random() < 0.5:
            H_first, H_second = H_second, H_first
        H_clear = _clear_view(H_first, H_second, size)
        T_first_image = np.linalg.inv(H_first)
        first = rng.uniform(MARGIN, np.array(size) - MARGIN, (4 * count, 2))
        on_image = apply(T_first_image, first)
        second = apply(H_second, on_image)
        usable = _inside(on_image, group.size) & _inside(second, size)
        if usable.sum() < LEAST_POINTS:
            return None
        T_clear_first = H_clear @ T_first_image
        share = AUGMENTED["several" if len(group.paths) > 1 else "one"]
        views = [
            _perhaps_augmented(warped(read(group.paths[k], group.size), H, size), rng, share)
            for k, H in ((one, H_first), (other, H_second))
        ]
        clear = warped(read(group.paths[group.bright(rng)], group.size), H_clear, size)
        chosen = _corners_first(clear, T_clear_first, first[usable], rng)[:count]
        points = np.stack([first[usable], second[usable], apply(T_clear_first, first[usable])])[:, chosen]
        return Pair(views[0], views[1], clear, points)


@dataclass(frozen=True)
class _Group:
    """Images of one camera that stands still.

    Attributes:
        paths: of the images.
        size: width and height of the first; the others are resized to it.
        by_brightness: numbers of the images, the darkest first.
    """

    paths: tuple[Path, ...]
    size: tuple[int, int]
    by_brightness: NDArray[np.intp]

    @classmethod
    def of(cls, paths: Sequence[Path]) -> _Group:
        first = read(paths[0], None)
        size = (first.shape[1], first.shape[0])
        brightness = [read(path, size).mean() for path in paths] if len(paths) > 1 else [0.0]
        return cls(tuple(paths), size, np.argsort(brightness, kind="stable"))

    def two(self, rng: np.random.Generator) -> tuple[int, int]:
        """Returns two images, often one by day and one by night; twice the same where there is only one."""
        count = len(self.paths)
        if count == 1:
            return 0, 0
        if rng.random() < NIGHT_SHARE:
            third = -(-count // 3)
            pair = (rng.choice(self.by_brightness[:third]), rng.choice(self.by_brightness[-third:]))
        else:
            pair = tuple(rng.choice(count, 2, replace=False))
        one, other = pair if rng.random() < 0.5 else pair[::-1]
        return int(one), int(other)

    def bright(self, rng: np.random.Generator) -> int:
        """Returns one of the brightest third."""
        return int(rng.choice(self.by_brightness[2 * len(self.paths) // 3 :]))


class PosedPairs(PairSource):
    """Pairs of posed images with depth, such as simulated drives in several conditions."""

    share = SHARES["posed"]

    def __init__(self, images: PosedImages, baseline_m: float) -> None:
        """Raises SceneGeoLocError where no image with depth has a neighbour."""
        self._images = images
        self._neighbours = {
            i: near
            for i in range(len(images))
            if len(near := images.neighbours(i, baseline_m, 12, same_source=False))
            and np.isfinite(images.depth[i]).any()
        }
        if not self._neighbours:
            raise SceneGeoLocError(
                f"{images.made_of}: no image with depth has a neighbour about {baseline_m:g} m away: name "
                "another source or another baseline."
            )

    def draw(self, rng: np.random.Generator, size: tuple[int, int], count: int) -> Pair | None:
        """See `PairSource.draw`."""
        images = self._images
        i = int(rng.choice(list(self._neighbours)))
        j = int(rng.choice(self._neighbours[i]))
        on_image, on_other = self._visible_in_both(i, j, rng, 4 * count)
        image_size = (images.images.shape[2], images.images.shape[1])
        H_first, H_second = (crop(rng, image_size, size, changes) for changes in (POSED_FIRST, POSED_SECOND))
        first, second = apply(H_first, on_image), apply(H_second, on_other)
        usable = _inside(first, size) & _inside(second, size)
        if usable.sum() < LEAST_POINTS:
            return None
        clear = warped(np.array(images.images[i]), H_first, size)
        views = [
            _perhaps_augmented(view, rng, AUGMENTED["several"])
            for view in (clear.copy(), warped(np.array(images.images[j]), H_second, size))
        ]
        chosen = _corners_first(clear, np.eye(3), first[usable], rng)[:count]
        points = np.stack([first[usable], second[usable], first[usable]])[:, chosen]
        return Pair(views[0], views[1], clear, points)

    def _visible_in_both(
        self, i: int, j: int, rng: np.random.Generator, count: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns pixels (N, 2) of image `i` whose depth is known, and where image `j` sees the same."""
        images = self._images
        height, width = images.depth.shape[1:]
        pixels = rng.integers(0, (width, height), (count, 2))
        depth = images.depth[i][pixels[:, 1], pixels[:, 0]].astype(np.float64)
        known = np.isfinite(depth) & (depth < MAX_DEPTH_M)
        pixels, depth = pixels[known], depth[known]
        f, c = images.K[i][:2], images.K[i][2:]
        points = np.c_[(pixels - c) / f, np.ones(len(pixels))] * depth[:, None]
        T = np.linalg.inv(images.T_map_camera[j]) @ images.T_map_camera[i]
        points = points @ T[:3, :3].T + T[:3, 3]
        in_front = points[:, 2] > 0
        pixels, points = pixels[in_front], points[in_front]
        other = points[:, :2] / points[:, 2:] * images.K[j][:2] + images.K[j][2:]
        seen = _inside(other, (width, height))
        pixels, points, other = pixels[seen], points[seen], other[seen]
        x, y = np.rint(other).astype(np.intp).T
        found = images.depth[j][y, x].astype(np.float64)
        visible = np.abs(found - points[:, 2]) < HIDDEN * points[:, 2]
        return pixels[visible].astype(np.float64), other[visible]


def images_below(folder: Path) -> list[Path]:
    """Returns the image files in a folder and below, sorted. Raises SceneGeoLocError where there are none."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not found:
        raise SceneGeoLocError(f"{folder} has no images: name a folder of JPEG or PNG files.")
    return found


def read(path: Path, size: tuple[int, int] | None) -> NDArray[np.uint8]:
    """Returns an RGB image, resized to a size (width, height). Raises SceneGeoLocError if unreadable."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise SceneGeoLocError(f"{path} cannot be read as an image: remove it.")
    if size is not None and (image.shape[1], image.shape[0]) != size:
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _cameras(folder: Path) -> list[Path]:
    """Returns the folder, or the folders in it where it holds no images itself."""
    below = sorted(folder.iterdir()) if folder.is_dir() else []
    folders = [path for path in below if path.is_dir()]
    has_images = any(path.suffix.lower() in IMAGE_SUFFIXES for path in below)
    return [folder] if has_images or not folders else folders


def _clear_view(H_first: Homography, H_second: Homography, size: tuple[int, int]) -> Homography:
    """Returns the upright view between two others, of a scale between theirs."""
    middle = np.array(size) / 2
    centres = [apply(np.linalg.inv(H), middle[None])[0] for H in (H_first, H_second)]
    scale = np.sqrt(scale_at(H_first, centres[0]) * scale_at(H_second, centres[0]))
    A = np.diag([*[np.clip(scale, *CLEAR_SCALES)] * 2, 1.0])
    return np.asarray(translation(middle) @ A @ translation(-np.mean(centres, axis=0)))


def _perhaps_augmented(view: NDArray[np.uint8], rng: np.random.Generator, share: float) -> NDArray[np.uint8]:
    return augment(view, rng) if rng.random() < share else view


def _inside(points: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.bool_]:
    within = (points > MARGIN) & (points < np.array(size) - 1 - MARGIN)
    return np.asarray(within.all(axis=1))


def _corners_first(
    clear: NDArray[np.uint8],
    T_clear_first: Homography,
    first: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.intp]:
    """Returns an order of points (N, 2) of the first view: those at corners of the clear view come early."""
    cornerness = cv2.cornerMinEigenVal(cv2.cvtColor(clear, cv2.COLOR_RGB2GRAY), 5)
    height, width = cornerness.shape
    x, y = np.rint(apply(T_clear_first, first)).astype(np.intp).T
    known = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    rating = np.where(known, cornerness[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)], 0.0)
    return np.argsort(-rating * rng.uniform(0.2, 1.0, len(rating)), kind="stable")
