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

"""Cells of a keyframe's late map in a few bytes, by which it is compared with a query."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.core.errors import CheckpointError, SceneGeoLocError
from scene_geo_loc.matchers.features import unit
from scene_geo_loc.networks.checkpoint import read_tensors
from scene_geo_loc.networks.descriptor_head import CentredNetVLADHead

MOST_CELLS = 150
"""Most cells of an image, about: a larger late map is resized.

On real images by night, in snow and in autumn, 150 and 300 cells of a 320x240 input retrieved equally well.
"""
MOST_AXES = 64
"""Principal axes of a cell's feature: a keyframe keeps the sign along each, one bit."""
_WHITENING = 0.25
"""Exponent of an axis's variance that divides the features along it: half way to whitened features."""
_NEGLIGIBLE = 1e-6
"""Fraction of the largest variance that an axis has at least."""


class PlaceCells:
    """Describes the cells of late maps along principal axes that are fitted to a map.

    A cell's feature is that of NetVLAD: its image's mean is partly subtracted, so weather, light and camera
    change it little.  A query's cells have the numbers along the axes, and those of a keyframe their signs.

    Attributes:
        positions: (P,) complex places of the cells, x + iy, in widths of the image.
    """

    def __init__(self, late_shape: tuple[int, int, int], mean: NDArray, axes: NDArray) -> None:
        """Takes the shape (rows, columns, C) of late maps, and what `fit` found: mean (C,), axes (C, A)."""
        self._mean, self._axes = np.asarray(mean, np.float32), np.asarray(axes, np.float32)
        scale = min(1.0, (MOST_CELLS / (late_shape[0] * late_shape[1])) ** 0.5)
        rows, columns = (max(1, round(side * scale)) for side in late_shape[:2])
        self._grid = (rows, columns)
        y, x = np.indices((rows, columns)) + 0.5
        self.positions = ((x + 1j * y * late_shape[0] / rows * columns / late_shape[1]) / columns).ravel()

    @classmethod
    def fit(cls, late_shape: tuple[int, int, int], late_maps: Iterable[NDArray[np.floating]]) -> PlaceCells:
        """Fits mean and axes to the late maps (rows, columns, C) of images of a place; NaN shows nothing.

        Raises SceneGeoLocError where they hold numbers that are not finite.
        """
        channels = late_shape[2]
        cells = cls(late_shape, np.zeros(channels), np.eye(channels))
        features = np.concatenate([cells._features(late) for late in late_maps])
        is_hidden = np.isnan(features).all(axis=1)
        if not is_hidden.all():
            features = features[~is_hidden]
        if not np.isfinite(features).all():
            raise SceneGeoLocError("The late maps are not finite: train their network again.")
        mean = features.mean(axis=0)
        centred = features - mean
        variances, axes = np.linalg.eigh(centred.T @ centred / len(centred))
        largest = slice(None, -min(MOST_AXES, channels // 8 * 8) - 1, -1)
        variances, axes = variances[largest], axes[:, largest]
        floor = max(_NEGLIGIBLE * variances[0], 1e-12)
        return cls(late_shape, mean, axes / np.maximum(variances, floor) ** _WHITENING)

    @classmethod
    def read(cls, path: Path, late_shape: tuple[int, int, int]) -> PlaceCells:
        """Reads what `save` wrote. Raises CheckpointError where it is damaged or of another network."""
        tensors = read_tensors(path)
        shapes = [tensors[name].shape for name in ("mean", "axes") if name in tensors]
        if len(shapes) < 2 or shapes[0] != late_shape[2:] or shapes[1][:1] != shapes[0]:
            raise CheckpointError(f"{path} has no axes of this network's late map: build the map again.")
        return cls(late_shape, tensors["mean"], tensors["axes"])

    def save(self, path: Path) -> None:
        """Writes mean and axes."""
        tensors = {"mean": self._mean, "axes": np.ascontiguousarray(self._axes)}
        write_aside(path, safetensors.numpy.save(tensors))

    @property
    def row_shape(self) -> tuple[int, int]:
        """Shape (P, A / 8) of a keyframe's bits."""
        return len(self.positions), self._axes.shape[1] // 8

    def describe(self, late_map: NDArray[np.floating]) -> NDArray[np.float32]:
        """Returns the unit features (P, A) of the cells of a late map (rows, columns, C) of any size.

        Cells that show nothing, NaN in the late map, are zero.  Their bits are all equal, so that at most one
        of them agrees with the layout of a query.
        """
        described = unit((self._features(late_map) - self._mean) @ self._axes)
        return np.nan_to_num(described) if np.isnan(described).any() else described

    def bits(self, late_map: NDArray[np.floating]) -> NDArray[np.uint8]:
        """Returns the signs of the cells' features, packed as bytes (P, A / 8)."""
        return np.packbits(self.describe(late_map) > 0, axis=1)

    def _features(self, late_map: NDArray[np.floating]) -> NDArray[np.float32]:
        """Returns the unit features (P, C) of the cells, NaN where less than half of a cell is known."""
        late = np.asarray(late_map, np.float32)
        is_hidden = np.asarray(np.isnan(late).all(axis=2))
        if not is_hidden.any() or is_hidden.all():
            return unit(CentredNetVLADHead.local_features(self._resized(late)))
        weights = self._resized((~is_hidden[..., None]).astype(np.float32))[:, 0]
        known = weights >= 0.5
        sums = self._resized(np.where(is_hidden[..., None], np.float32(0), late))
        features = np.full_like(sums, np.nan)
        features[known] = unit(CentredNetVLADHead.local_features(sums[known] / weights[known, None]))
        return features

    def _resized(self, late: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns a map (rows, columns, C) at the cells (P, C)."""
        by_row, by_column = map(_resizing, late.shape[:2], self._grid)
        rows = (by_row @ late.reshape(len(late), -1)).reshape(-1, *late.shape[1:])
        return (by_column @ rows).reshape(-1, late.shape[2])


@lru_cache
def _resizing(cells: int, size: int) -> NDArray[np.float32]:
    """Returns the matrix (size, cells) that resizes by linear interpolation and smoothing."""
    scale = cells / size
    centres = ((np.arange(size) + 0.5) * scale - 0.5).clip(0, cells - 1)
    weights = np.maximum(0, 1 - np.abs(np.arange(cells) - centres[:, None]) / max(scale, 1.0))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)
