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

"""Global descriptors of a folder of images, and their archive, which other programs can read and write."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.atomic import written_aside
from scene_geo_loc.core.errors import SceneGeoLocError, TraversalError
from scene_geo_loc.core.regular_file import regular
from scene_geo_loc.networks.image_descriptor import ImageDescriptor
from scene_geo_loc.networks.inference_network import InferenceNetwork
from scene_geo_loc.networks.runtime.extractor import Extractor
from scene_geo_loc.traversals.folder import read_image
from scene_geo_loc.traversals.skipped import Skipped

IMAGE_SUFFIXES = frozenset(
    (".bmp", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp")
)
UNREADABLE = "images that cannot be read"
UNDESCRIBED = "images that show nothing which can be described"
_NO_IMAGE = "None of the images can be read: name a folder with whole image files."
_NO_ARCHIVE = (OSError, ValueError, TypeError, KeyError, AttributeError, EOFError, zipfile.BadZipFile)
"""Exceptions of NumPy for files that are damaged or of another kind."""


@dataclass(frozen=True)
class Descriptors:
    """Descriptors of named images.

    Attributes:
        names: (N,) unicode, the images.
        descriptors: (N, D) float32 of unit length.
        network: digest of the network that made them; empty if another program did.
        input_size: size that the images were resized to, such as "320x240"; empty if unknown.
    """

    names: NDArray[np.str_]
    descriptors: NDArray[np.float32]
    network: str = ""
    input_size: str = ""

    def save(self, path: Path) -> None:
        """Writes a NumPy archive of these four arrays. Raises SceneGeoLocError if it cannot be written."""
        with written_aside(path) as aside, aside.open("wb") as file:
            np.savez(
                file,
                names=self.names,
                descriptors=self.descriptors,
                network=np.array(self.network),
                input_size=np.array(self.input_size),
            )

    @classmethod
    def load(cls, path: Path) -> Descriptors:
        """Reads an archive with the arrays `names` and `descriptors`, which are normalised to unit length.

        Raises SceneGeoLocError if it is missing or damaged, or if a descriptor is zero or not finite.
        """
        try:
            with np.load(regular(path), allow_pickle=False) as archive:
                names, descriptors = archive["names"].astype(str), archive["descriptors"].astype(np.float32)
                texts = {key: str(archive[key]) for key in ("network", "input_size") if key in archive}
        except FileNotFoundError:
            raise SceneGeoLocError(f"There are no descriptors at {path}: name an existing file.") from None
        except _NO_ARCHIVE as error:
            raise SceneGeoLocError(
                f"{path} is not an archive with the arrays `names` and `descriptors`: describe the images "
                "again."
            ) from error
        if names.ndim != 1 or descriptors.ndim != 2 or len(names) != len(descriptors):
            raise SceneGeoLocError(
                f"{path} has `names` of shape {names.shape} and `descriptors` of shape {descriptors.shape}: "
                "they should be (N,) and (N, D)."
            )
        lengths = np.linalg.norm(descriptors, axis=1, keepdims=True)
        if not (np.isfinite(lengths).all() and (lengths > 0).all()):
            raise SceneGeoLocError(f"{path} has descriptors that are zero or not finite: make it again.")
        return cls(names, descriptors / lengths, **texts)


def image_names(folder: Path) -> list[str]:
    """Returns the image files below a folder, as sorted relative names with forward slashes.

    Raises SceneGeoLocError if there are none.
    """
    if not folder.is_dir():
        raise SceneGeoLocError(f"{folder} is not a folder: name one with images.")
    names = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()
    )
    if not names:
        raise SceneGeoLocError(
            f"{folder} has no image files ({', '.join(sorted(IMAGE_SUFFIXES))}): name a folder that has."
        )
    return names


def read_images(
    folder: Path, names: Iterable[str], skipped: Skipped
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yields names and RGB images (H, W, 3), one at a time; images that cannot be read are counted."""
    for name in names:
        try:
            image = read_image(folder / name)
        except TraversalError:
            skipped.add(UNREADABLE)
            continue
        yield name, image


def fit_extractor(
    images: Iterable[NDArray[np.uint8]],
    network_for: Callable[[int, int], InferenceNetwork],
    device: str = "auto",
) -> Extractor:
    """Returns an extractor with a fitted network, fitted to the images if it is not fitted already.

    A fitted network needs only the first image.  Otherwise the pooled maps of all images are kept until the
    end, with the default network 200 kB for each image.

    Args:
        images: RGB, each (H, W, 3).
        network_for: makes the network for images of a width and height, those of the first image.
        device: "auto", "cpu" or "cuda", see `Extractor`.

    Raises SceneGeoLocError if there is no image.
    """
    extractor: Extractor | None = None
    pooled = []
    for image in images:
        if extractor is None:
            extractor = Extractor(network_for(image.shape[1], image.shape[0]), device)
            if extractor.network.is_fitted:
                return extractor
        pooled.append(extractor.extract(image).pooled)
    if extractor is None:
        raise SceneGeoLocError(_NO_IMAGE)
    extractor.fit(pooled)
    return extractor


def describe_images(extractor: Extractor, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Returns unit descriptors (N, D) of images in memory; the network must be fitted."""
    descriptors = np.zeros((len(images), extractor.network.global_size), np.float32)
    for i, image in enumerate(images):
        descriptors[i] = extractor.extract(image).global_descriptor
    return descriptors


def describe_folder(extractor: Extractor, images: Iterable[tuple[str, NDArray[np.uint8]]]) -> Descriptors:
    """Returns the descriptors of named images, which are read one at a time.

    Args:
        extractor: with a fitted network.
        images: names and RGB images.

    Raises SceneGeoLocError if there is no image.
    """
    names, rows = [], []
    for name, image in images:
        names.append(name)
        rows.append(describe_images(extractor, [image])[0])
    if not names:
        raise SceneGeoLocError(_NO_IMAGE)
    network = extractor.network
    size = f"{network.input_width}x{network.input_height}"
    return Descriptors(np.array(names), np.stack(rows), network.digest, size)


def describe_folder_by(
    descriptor: ImageDescriptor,
    digest: str,
    images: Iterable[tuple[str, NDArray[np.uint8]]],
    skipped: Skipped,
) -> Descriptors:
    """Returns the descriptors of named images by what describes images without a network.

    Args:
        descriptor: describes them; images that it gives zeros for are counted in `skipped`.
        digest: of the descriptor.
        images: names and RGB images, which are read one at a time.
        skipped: counts images that are left out.

    Raises SceneGeoLocError if there is no image left.
    """
    names, rows = [], []
    for name, image in images:
        row = descriptor.describe(image)
        if row.any():
            names.append(name)
            rows.append(row)
        else:
            skipped.add(UNDESCRIBED)
    if not names:
        raise SceneGeoLocError(_NO_IMAGE)
    return Descriptors(np.array(names), np.stack(rows), digest)
