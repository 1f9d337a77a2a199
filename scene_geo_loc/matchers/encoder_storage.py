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

"""Storage of the encoder's features in a map: of some cells, along their principal axes, in four bits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.typing import DTypeLike, NDArray

from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.matchers.cells import choose_cells, pack, unpack
from scene_geo_loc.matchers.features import LocalFeatures, unit
from scene_geo_loc.matchers.storage import FittedStorage, Rows, to_int8
from scene_geo_loc.networks.checkpoint import read_tensors
from scene_geo_loc.networks.inference_network import InferenceNetwork
from scene_geo_loc.networks.runtime.extractor import SceneFeatures

COARSE_WEIGHT = 0.5
"""Weight of the late map's cosine relative to the early map's.

Of 0.3, 0.5, 1 and 2 this value gave the best results: with a larger weight more matches agree, but they are
less precise.
"""
STORED_SHARE = 0.45
"""Share of the cells of a keyframe that a map keeps.

On simulated drives in sun, snow and night 0.45 and all of the cells gave the same poses within the 95 %
confidence interval; with 0.4, positions in snow were 10 % worse and fewer queries at night had a pose.
"""
RERANK_CELLS = 100
"""Stored cells that candidates are re-ranked by, the most distinct of the image."""
RERANK_STRIDE = 2
"""In maps with all cells, candidates are re-ranked by every n-th cell along both sides."""
NO_CELL = np.iinfo(np.uint16).max
"""Marks the room for a cell that a keyframe does not use."""
CAPACITY = "capacity"
"""Array in the file of the axes: the number of cells that the map keeps of a keyframe."""
AXES, COARSE_AXES = 40, 32
"""Principal axes of the local features that a map keeps, and of the late map's where it is stored."""


class EncoderStorage(FittedStorage):
    """Features of the cells of the early map, and of the late map where the network's do not contain it.

    A map keeps the principal axes of both, fitted to its keyframes, and of each keyframe the most distinct
    cells with depth.  Maps of formats 1 and 2 have all cells, and those of format 1 no late map.

    Attributes:
        cells: (cells, 2) centres of the cells in pixels of the network's input.
        is_sparse: whether a map has some of the cells only.
    """

    def __init__(self, network: InferenceNetwork, weights_path: Path | None = None) -> None:
        early, late = network.signature.local_features, network.signature.parts[0].stage
        grid = network.grid
        self.cells = network.cell_centres()
        self._grid = grid
        self._use_all_cells()
        self._channels = (early.channels, late.channels)
        self._has_coarse = not network.signature.sees_around
        self._most_axes = (COARSE_AXES if self._has_coarse else AXES, COARSE_AXES)
        sizes = (network.input_height, network.input_width)
        self._coarse_grid = (late.cells(sizes[0]), late.cells(sizes[1]))
        self._from_coarse = [
            _interpolation(
                (np.arange(fine) * early.stride + early.offset - late.offset) / late.stride, coarse
            )
            for fine, coarse in zip(grid, self._coarse_grid, strict=True)
        ]
        self._axes: dict[str, NDArray] | None = None
        if weights_path is not None:
            self._axes = read_tensors(weights_path)
            if CAPACITY in self._axes:
                self._use_some_cells(int(self._axes[CAPACITY][0]))

    def _use_all_cells(self) -> None:
        self.is_sparse, self.capacity = False, len(self.cells)
        self.rerank_rows = (
            np.arange(self.capacity).reshape(self._grid)[::RERANK_STRIDE, ::RERANK_STRIDE].ravel()
        )

    def _use_some_cells(self, capacity: int) -> None:
        self.is_sparse, self.capacity = True, capacity
        self.rerank_rows = slice(RERANK_CELLS)

    def project(self, features: SceneFeatures) -> NDArray[np.float32]:
        """Returns descriptors (cells, C) of an image along the stored axes; raw ones before the fit."""
        fine = features.local_features.reshape(len(self.cells), -1)
        if self._axes is None:
            return fine
        if not self._has_coarse:
            return unit(fine @ self._axes["fine"])
        coarse = features.coarse_features.reshape(-1, self._channels[1])
        return _joined(fine @ self._axes["fine"], self._spread(self._coarse(coarse)))

    @property
    def arrays(self) -> dict[str, tuple[tuple[int, ...], DTypeLike]]:
        """See `FeatureStorage.arrays`."""
        fine, coarse = self._channels
        if self._axes is not None:
            fine = self._axes["fine"].shape[1]
            coarse = min(self._most_axes[1], coarse)
        arrays: dict[str, tuple[tuple[int, ...], DTypeLike]] = {
            "local_features": ((self.capacity, fine), np.int8)
        }
        if self.is_sparse:
            arrays["local_features"] = ((self.capacity, -(-fine // 2)), np.uint8)
            arrays["cells"] = ((self.capacity,), np.uint16)
        if self._has_coarse:
            arrays["coarse_features"] = ((int(np.prod(self._coarse_grid)), coarse), np.int8)
        return arrays

    def rows(self, features: SceneFeatures) -> dict[str, NDArray]:
        """Returns the rows of a keyframe before the fit."""
        fine = features.local_features.reshape(len(self.cells), -1)
        rows = {"local_features": to_int8(fine)}
        if self._has_coarse:
            rows["coarse_features"] = to_int8(features.coarse_features.reshape(-1, self._channels[1]))
        return rows

    def read(self, rows: Rows, is_subset: bool = False) -> LocalFeatures:
        """See `FeatureStorage.read`."""
        if self.is_sparse:
            return self._read_sparse(rows, self.rerank_rows if is_subset else slice(None))
        chosen = self.rerank_rows if is_subset else slice(None)
        fine = rows["local_features"][chosen]
        if "coarse_features" not in rows:
            return LocalFeatures(self.cells[chosen], unit(fine))
        spread = self._spread(rows["coarse_features"], RERANK_STRIDE if is_subset else 1)
        return LocalFeatures(self.cells[chosen], _joined(fine, spread))

    def _read_sparse(self, rows: Rows, chosen: slice | NDArray[np.intp]) -> LocalFeatures:
        assert self._axes is not None, "a map of some cells is fitted"
        used = rows["cells"][chosen] != NO_CELL
        # A number beyond the last cell is damaged data, like one that points to a wrong cell.
        cells = np.minimum(rows["cells"][chosen][used], len(self.cells) - 1)
        fine = unpack(rows["local_features"][chosen][used], self._axes["fine"].shape[1])
        if "coarse_features" in rows:
            fine = _joined(fine, self._spread(rows["coarse_features"])[cells])
        return LocalFeatures(self.cells[cells], fine)

    def fit(self, keyframes: Sequence[Rows]) -> None:
        """Fits the axes of the features, and of the late map and its mean, to those of keyframes."""
        fine = np.concatenate([unit(rows["local_features"]) for rows in keyframes])
        self._axes = {"fine": _principal_axes(fine, self._most_axes[0])}
        self._use_some_cells(round(STORED_SHARE * len(self.cells)))
        self._axes[CAPACITY] = np.array([self.capacity], np.int32)
        if not self._has_coarse:
            return
        coarse = np.concatenate([unit(rows["coarse_features"]) for rows in keyframes])
        mean = coarse.mean(axis=0)
        axes = _principal_axes(unit(coarse - mean), self._most_axes[1])
        self._axes |= {"coarse": axes, "coarse_mean": mean}

    def fitted(self, rows: Rows) -> LocalFeatures:
        """See `FittedStorage.fitted`."""
        fine = self._fine(rows)
        if self._has_coarse:
            fine = _joined(fine, self._spread(self._coarse(rows["coarse_features"])))
        return LocalFeatures(self.cells, fine)

    def stored_rows(
        self, rows: Rows, known: NDArray[np.bool_]
    ) -> tuple[dict[str, NDArray], NDArray[np.intp]]:
        """See `FittedStorage.stored_rows`."""
        fine = self._fine(rows)
        chosen = choose_cells(fine.reshape(*self._grid, -1), known, self.capacity)
        stored = {name: np.zeros(shape, dtype) for name, (shape, dtype) in self.arrays.items()}
        stored["local_features"][: len(chosen)] = pack(fine[chosen])
        stored["cells"][:] = NO_CELL
        stored["cells"][: len(chosen)] = chosen
        if self._has_coarse:
            stored["coarse_features"] = to_int8(self._coarse(rows["coarse_features"]))
        return stored, chosen

    def _fine(self, rows: Rows) -> NDArray[np.float32]:
        """Returns the unit features (cells, C) along the axes, from the rows before the fit."""
        assert self._axes is not None
        return unit(unit(rows["local_features"]) @ self._axes["fine"])

    def save(self, path: Path) -> None:
        """Writes the axes, and how many cells a map keeps."""
        assert self._axes is not None, "the storage of a map is fitted"
        write_aside(path, safetensors.numpy.save(self._axes))

    def _coarse(self, late: NDArray) -> NDArray[np.float32]:
        """Returns the late map's features (cells', C') along the axes, of unit length."""
        assert self._axes is not None
        return unit(unit(unit(late) - self._axes["coarse_mean"]) @ self._axes["coarse"])

    def _spread(self, coarse: NDArray, stride: int = 1) -> NDArray[np.float32]:
        """Interpolates the late map's features (cells', C) at the early map's cells, or at every n-th."""
        rows, columns = self._coarse_grid
        by_row, by_column = (weights[::stride] for weights in self._from_coarse)
        spread = np.tensordot(by_column, unit(coarse).reshape(rows, columns, -1), axes=(1, 1))
        spread = np.tensordot(by_row, spread, axes=(1, 1))
        return spread.reshape(-1, spread.shape[-1])


def _joined(fine: NDArray, coarse: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns unit features (N, C + C') of the early map's (N, C) and the late one's (N, C')."""
    joined = np.concatenate([unit(fine), unit(coarse) * np.float32(COARSE_WEIGHT**0.5)], axis=1)
    return joined / np.float32((1 + COARSE_WEIGHT) ** 0.5)


def _principal_axes(features: NDArray[np.float32], most: int) -> NDArray[np.float32]:
    """Returns the principal axes (C, at most `most`) of features (N, C), the strongest first."""
    _, axes = np.linalg.eigh(features.T @ features)
    return np.ascontiguousarray(axes[:, ::-1][:, :most], np.float32)


def _interpolation(places: NDArray[np.float64], cells: int) -> NDArray[np.float32]:
    """Returns the matrix (N, cells) of linear interpolation between cells at places (N,); ends are kept."""
    places = np.clip(places, 0, cells - 1)
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(cells))).astype(np.float32)
