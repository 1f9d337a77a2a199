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

"""Storage of local features in a map: compact arrays, independent of detection and matching."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import DTypeLike, NDArray

from scene_geo_loc.matchers.cells import pack, unpack
from scene_geo_loc.matchers.features import LocalFeatures, unit

Rows = Mapping[str, NDArray]
"""Stored features of one keyframe: a row of each array by the array's name."""

PLACE_SCALE = 65536
"""A keypoint is stored as this multiple of its place in the image, 0 to 1 from the left and upper border."""


class FeatureStorage(ABC):
    """Base of the storages.

    Attributes:
        capacity: number of features of a keyframe that a map has room for.
        rerank_rows: rows of the few features of a keyframe that candidates are re-ranked by.
    """

    capacity: int
    rerank_rows: slice | NDArray[np.intp]

    @property
    @abstractmethod
    def arrays(self) -> dict[str, tuple[tuple[int, ...], DTypeLike]]:
        """Shape and type of a row of each array."""

    @abstractmethod
    def read(self, rows: Rows, is_subset: bool = False) -> LocalFeatures:
        """Returns the features of a keyframe, or only those of `rerank_rows`."""


class FittedStorage(FeatureStorage):
    """Base of the storages that are fitted to each map.

    While a map is built it has the rows of all features of a keyframe.  In the end the storage is fitted, and
    some of the features are stored in another form; `arrays` and `capacity` change with the fit.
    """

    @abstractmethod
    def fit(self, keyframes: Sequence[Rows]) -> None:
        """Fits to the rows of some of a map's keyframes."""

    @abstractmethod
    def fitted(self, rows: Rows) -> LocalFeatures:
        """Returns all features of a keyframe after the fit, from its rows before it."""

    @abstractmethod
    def stored_rows(
        self, rows: Rows, known: NDArray[np.bool_]
    ) -> tuple[dict[str, NDArray], NDArray[np.intp]]:
        """Returns the rows that a finished map stores of a keyframe, from its rows before the fit.

        Args:
            rows: of the keyframe while the map was built.
            known: (F,) whether the depth of each of its features is known.

        Returns also which of the features are stored, at most `capacity`, in their order.
        """


class KeypointStorage(FeatureStorage):
    """Keypoints with their descriptors: those of known depth, the strongest first.

    Args:
        capacity: most keypoints of a keyframe.
        channels: length of a descriptor.
        subset: number of keypoints that candidates are re-ranked by.
        input_size: width and height (2,) of the network's input.
        is_packed: whether a new map keeps four bits of each number of a descriptor instead of eight; maps of
            either are read.

    Attributes:
        channels: as given.
    """

    def __init__(
        self,
        capacity: int,
        channels: int,
        subset: int,
        input_size: NDArray[np.int64],
        *,
        is_packed: bool = False,
    ) -> None:
        self.capacity = capacity
        self.rerank_rows = slice(subset)
        self.channels, self._input_size, self._is_packed = channels, input_size, is_packed

    @property
    def arrays(self) -> dict[str, tuple[tuple[int, ...], DTypeLike]]:
        """See `FeatureStorage.arrays`."""
        return {
            "local_features": self._packed_row if self._is_packed else self._row,
            "keypoints": ((self.capacity, 2), np.uint16),
        }

    @property
    def _row(self) -> tuple[tuple[int, ...], DTypeLike]:
        return (self.capacity, self.channels), np.int8

    @property
    def _packed_row(self) -> tuple[tuple[int, ...], DTypeLike]:
        return (self.capacity, -(-self.channels // 2)), np.uint8

    def can_read(self, shape: tuple[int, ...], dtype: np.dtype) -> bool:
        """Returns whether rows of a shape and type are descriptors of this length.

        The number of keypoints is that of the map, which may be another one than new maps have.
        """
        rows = (self._row, self._packed_row)
        return any(shape[1:] == ours[1:] and dtype == of_type for ours, of_type in rows)

    def rows(
        self, found: LocalFeatures, known: NDArray[np.bool_]
    ) -> tuple[dict[str, NDArray], NDArray[np.float64]]:
        """Returns the rows of a keyframe and the pixels of its features; arguments as of `Matcher.rows`."""
        column, row = nearest_pixels(found.pixels, self._input_size, known)
        kept = np.flatnonzero(known[row, column])[: self.capacity]
        rows = {name: np.zeros(shape, dtype) for name, (shape, dtype) in self.arrays.items()}
        stored = pack if self._is_packed else to_int8
        rows["local_features"][: len(kept)] = stored(found.descriptors[kept])
        rows["keypoints"][: len(kept)] = self._places(found.pixels[kept])
        pixels = np.full((self.capacity, 2), np.nan)
        pixels[: len(kept)] = found.pixels[kept]
        return rows, pixels

    def moved(self, rows: Rows, pixels: NDArray[np.float64]) -> dict[str, NDArray]:
        """Returns the rows of a keyframe with its features at other pixels (F, 2); NaN for none."""
        return {**rows, "keypoints": self._places(np.nan_to_num(pixels, nan=-0.5))}

    def _places(self, pixels: NDArray[np.float64]) -> NDArray[np.uint16]:
        places = (pixels + 0.5) / self._input_size
        return np.clip(places * PLACE_SCALE, 0, PLACE_SCALE - 1).astype(np.uint16)

    def read(self, rows: Rows, is_subset: bool = False) -> LocalFeatures:
        """See `FeatureStorage.read`."""
        chosen = self.rerank_rows if is_subset else slice(None)
        pixels = (rows["keypoints"][chosen] + 0.5) * (self._input_size / PLACE_SCALE) - 0.5
        stored = rows["local_features"][chosen]
        is_packed = stored.dtype == np.uint8
        return LocalFeatures(pixels, unpack(stored, self.channels) if is_packed else unit(stored))


def to_int8(features: NDArray[np.float32]) -> NDArray[np.int8]:
    """Returns features (..., C) as integers that keep their directions; each one's largest becomes 127."""
    largest = np.abs(features).max(axis=-1, keepdims=True, initial=1e-9)
    return np.round(features * (127 / largest)).astype(np.int8)


def nearest_pixels(
    pixels: NDArray[np.float64], size: NDArray[np.int64], image: NDArray
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Returns the columns and rows (N,) of an image (H, W) at pixels (N, 2) of it resized to `size`.

    `size` is width and height.  Pixels that are NaN lie in the first column and row.
    """
    shape = np.array([image.shape[1], image.shape[0]])
    places = np.nan_to_num(np.round((pixels + 0.5) * (shape / size) - 0.5))
    x, y = np.clip(places, 0, shape - 1).astype(np.intp).T
    return x, y
