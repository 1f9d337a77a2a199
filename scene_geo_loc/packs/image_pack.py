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

"""Image packs: images and depth maps for training, decoded and resized once, in memory-mapped arrays.

A pack is a folder with `pack.json` and, for each image size, a stack of images `images_<H>x<W>.npy` (uint8
RGB) and, if there are depth maps, `depth_<H>x<W>.npy` (uint16 centimetres, 0 for unknown).  For training, the
short side of an image is 280 pixels; for tests, an image is squashed to 224 x 224, as by the authors of
"Learning Scene Geometry for Visual Localization in Challenging Conditions" (ICRA 2019).
`scene_geo_loc.packs.packing` makes packs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from scene_geo_loc.core.errors import SceneGeoLocError, reason_of
from scene_geo_loc.core.regular_file import regular
from scene_geo_loc.core.versioned import FileFormat

KIND = "image pack"
FORMAT = FileFormat("scene_geo_loc image pack", 1, again="remove the folder, and it is made again")
INFO = "pack.json"

SHORT_SIDE = 280
"""Pixels of the short side of an image in a pack for training."""

INPUT_SIZE = 224
"""Pixels of the sides of the images that networks are trained and tested with."""


class Stack(BaseModel):
    """Images of one size, stored in one array."""

    model_config = ConfigDict(frozen=True)

    height: int
    width: int
    rows: int

    @property
    def images_file(self) -> str:
        """Name of the file of the images."""
        return f"images_{self.height}x{self.width}.npy"

    @property
    def depth_file(self) -> str:
        """Name of the file of the depth maps."""
        return f"depth_{self.height}x{self.width}.npy"


class PackedImage(BaseModel):
    """Place of an image in a pack.

    Attributes:
        name: of the image.
        stack, row: number of the stack, and row in it.
        known: share of its pixels with a known depth; 0 without a depth map.
    """

    name: str
    stack: int
    row: int
    known: float


class PackInfo(BaseModel):
    """Description of a pack, `pack.json`.

    Attributes:
        source: description of its source.
        digest: SHA-256 of the settings, and of the names, sizes and times of the packed files.
        squashed: whether images are 224 x 224; else their short side is 280.
        with_depth: whether there are stacks of depth maps.
        left_out: counts of the items that were not packed, by reason.
    """

    format: str = FORMAT.name
    format_version: int = FORMAT.version
    source: str
    digest: str
    squashed: bool
    with_depth: bool
    stacks: list[Stack]
    images: list[PackedImage]
    left_out: dict[str, int]


class ImagePack:
    """A pack; images are numbered from 0 to len(pack) - 1.

    Attributes:
        folder: of the pack.
        info: the content of `pack.json`.
    """

    def __init__(self, folder: Path, info: PackInfo) -> None:
        self.folder = folder
        self.info = info
        self._images = [self._array(stack.images_file, stack, np.uint8, (3,)) for stack in info.stacks]
        self._depth = (
            [self._array(stack.depth_file, stack, np.uint16, ()) for stack in info.stacks]
            if info.with_depth
            else None
        )

    @classmethod
    def open(cls, folder: Path) -> ImagePack:
        """Opens a pack in milliseconds, independent of its size.

        Raises SceneGeoLocError if it is missing, damaged or of another format.
        """
        path = Path(folder) / INFO
        try:
            info = PackInfo.model_validate_json(regular(path).read_bytes())
        except FileNotFoundError as error:
            raise SceneGeoLocError(f"{folder} holds no image pack ({INFO} is missing).") from error
        except (OSError, ValidationError) as error:
            reason = reason_of(error)
            raise SceneGeoLocError(
                f"{path} is damaged ({reason}): remove the folder, and it is made again."
            ) from error
        FORMAT.check(info.model_dump(include={"format", "format_version"}), path)
        return cls(Path(folder), info)

    def __len__(self) -> int:
        return len(self.info.images)

    @property
    def names(self) -> list[str]:
        """Names of the images."""
        return [image.name for image in self.info.images]

    def find(self, name: str) -> int | None:
        """Returns the number of the image with this name, or None."""
        return self._numbers.get(name)

    @property
    def known(self) -> NDArray[np.float32]:
        """Share (N,) of the pixels of each image with a known depth."""
        return np.array([image.known for image in self.info.images], np.float32)

    @property
    def nbytes(self) -> int:
        """Size of all images and depth maps, bytes."""
        return sum(array.nbytes for array in (*self._images, *(self._depth or ())))

    def image(self, i: int) -> NDArray[np.uint8]:
        """Returns an RGB image (H, W, 3), read from the disk as it is accessed."""
        packed = self.info.images[i]
        return self._images[packed.stack][packed.row]

    def depth_centimetres(self, i: int) -> NDArray[np.uint16] | None:
        """Returns the depth map (H, W) of an image in centimetres, 0 where unknown; None if it has none."""
        packed = self.info.images[i]
        return None if self._depth is None or packed.known == 0 else self._depth[packed.stack][packed.row]

    def images(self, numbers: Sequence[int]) -> NDArray[np.uint8]:
        """Returns images (N, H, W, 3) of one size, such as those of a squashed pack."""
        return np.stack([self.image(i) for i in numbers])

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {image.name: i for i, image in enumerate(self.info.images)}

    def _array(self, name: str, stack: Stack, kind: type, channels: tuple[int, ...]) -> NDArray:
        path = self.folder / name
        try:
            array = np.load(regular(path), mmap_mode="r")
        except (OSError, ValueError, EOFError, OverflowError) as error:
            raise SceneGeoLocError(
                f"{path} is missing or damaged: remove the folder, and it is made again."
            ) from error
        if array.dtype != kind or array.shape != (stack.rows, stack.height, stack.width, *channels):
            raise SceneGeoLocError(f"{path} is not as {INFO} says: remove the folder, and it is made again.")
        return array


def metres(centimetres: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Converts centimetres, 0 for unknown, to metres, NaN for unknown, of any shape."""
    return np.where(centimetres > 0, centimetres / np.float32(100), np.float32(np.nan)).astype(np.float32)


def packed_size(height: int, width: int, squashed: bool) -> tuple[int, int]:
    """Returns height and width in a pack of an image of this size."""
    if squashed:
        return INPUT_SIZE, INPUT_SIZE
    short = min(height, width)
    return round(SHORT_SIDE * height / short), round(SHORT_SIDE * width / short)


def squash(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Resizes an RGB image (H, W, 3) of any aspect to the input of network tests, (224, 224, 3)."""
    # By averaging over areas, as in feature extraction.
    return np.asarray(cv2.resize(image, (INPUT_SIZE, INPUT_SIZE), interpolation=cv2.INTER_AREA), np.uint8)


def resize_image(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resizes an RGB image, without aliasing if it gets smaller."""
    interpolation = cv2.INTER_AREA if height < image.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), np.uint8)


def resize_depth(depth: NDArray[np.float32], height: int, width: int) -> NDArray[np.uint16]:
    """Resizes a depth map (H, W) in metres, NaN for unknown, to centimetres, 0 for unknown.

    Each pixel takes the nearest depth: a mean across an edge would be a depth without a surface, and a mean
    of known and unknown pixels is undefined.
    """
    centimetres = np.nan_to_num(np.rint(depth * np.float32(100)), nan=0.0, posinf=0.0, neginf=0.0)
    whole = np.clip(centimetres, 0, np.iinfo(np.uint16).max).astype(np.uint16)
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_NEAREST_EXACT), np.uint16)
