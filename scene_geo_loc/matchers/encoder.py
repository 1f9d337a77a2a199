"""The network's own maps, matched densely (Perspective-n-Learned-Point, section 3.2), coarse beside fine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.typing import DTypeLike, NDArray

from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.matchers.base import (
    FittedMatcher,
    LocalFeatures,
    Matched,
    Rows,
    mutual_nearest,
    to_int8,
    unit,
)
from scene_geo_loc.networks.architecture.scene_network import SceneNetwork
from scene_geo_loc.networks.runtime.extractor import SceneFeatures
from scene_geo_loc.networks.weights import read_weights

COARSE_WEIGHT = 0.5
"""How much the late map's cosine counts beside the early map's.

Of 0.3, 0.5, 1 and 2 it measured best: with more of it matches agree more often and are less precise.
"""
RERANK_STRIDE = 2
"""Candidates are re-ranked by one in so many cells along both sides."""
AXES, COARSE_AXES = 40, 32
"""Principal axes of the place's features that a map keeps; as many of the late map's, where it is stored."""


class EncoderMatcher(FittedMatcher):
    """A feature at each cell of the early map: nothing is computed besides what the network tells anyway.

    A cell's feature is the network's local feature.  Where that is the early map alone, it stands beside the
    late map's around it: the late map tells the place again in another weather, the early one tells where in
    it.  A map keeps the principal axes of both, fitted on its keyframes.  Maps of format 1 have the early map
    alone.

    A match's pixel in the query is finer than a cell: the similarities with the cells beside it tell where
    between them the keyframe's feature lies.
    """

    name = "encoder"
    min_inlier_ratio = 0.13
    min_coverage = 0.5

    def __init__(self, network: SceneNetwork, learned: Path | None = None) -> None:
        super().__init__(network)
        config, early, late = network.config, network.encoder.early, network.encoder.late
        self.grid = network.grid
        self.cells = network.cell_centres()
        self.capacity = len(self.cells)
        cells = np.arange(self.capacity).reshape(self.grid)
        self.rerank_subset = cells[::RERANK_STRIDE, ::RERANK_STRIDE].ravel()
        self._stride = early.stride
        self._channels = (network.local_features.channels, late.channels)
        self._has_coarse = not network.local_features.sees_around
        self._most_axes = (COARSE_AXES if self._has_coarse else AXES, COARSE_AXES)
        sizes = (config.input_height, config.input_width)
        self._coarse_grid = (late.cells(sizes[0]), late.cells(sizes[1]))
        self._from_coarse = [
            _interpolation(
                (np.arange(fine) * early.stride + early.offset - late.offset) / late.stride, coarse
            )
            for fine, coarse in zip(self.grid, self._coarse_grid, strict=True)
        ]
        self._axes: dict[str, NDArray[np.float32]] | None = None
        if learned is not None:
            self._axes = {name: tensor.numpy() for name, tensor in read_weights(learned).items()}

    def extract(self, image: NDArray[np.uint8], features: SceneFeatures) -> LocalFeatures:
        """See `Matcher.extract`."""
        fine = features.local_features.reshape(self.capacity, -1)
        if self._axes is None:
            return LocalFeatures(self.cells, fine)
        if not self._has_coarse:
            return LocalFeatures(self.cells, unit(fine @ self._axes["fine"]))
        coarse = features.coarse_features.reshape(-1, self._channels[1])
        descriptors = _joined(fine @ self._axes["fine"], self._spread(self._coarse(coarse)))
        return LocalFeatures(self.cells, descriptors)

    def match(self, query: LocalFeatures, reference: LocalFeatures) -> Matched:
        """Mutual nearest neighbours by cosine."""
        similarity = query.descriptors @ reference.descriptors.T
        in_query, in_reference = mutual_nearest(similarity)
        if len(query.pixels) < self.capacity:  # the cells beside a match are not all there
            return Matched(query.pixels[in_query], in_reference)
        shift = self._shift(similarity, in_query, in_reference)
        return Matched(query.pixels[in_query] + self._stride * shift, in_reference)

    @property
    def arrays(self) -> dict[str, tuple[tuple[int, ...], DTypeLike]]:
        """See `Matcher.arrays`."""
        fine, coarse = (min(most, of) for most, of in zip(self._most_axes, self._channels, strict=True))
        if self._axes is None:
            fine, coarse = self._channels
        arrays: dict[str, tuple[tuple[int, ...], DTypeLike]] = {
            "local_features": ((self.capacity, fine), np.int8)
        }
        if self._has_coarse:
            arrays["coarse_features"] = ((int(np.prod(self._coarse_grid)), coarse), np.int8)
        return arrays

    def rows(
        self, image: NDArray[np.uint8], features: SceneFeatures, known: NDArray[np.bool_]
    ) -> tuple[dict[str, NDArray], NDArray[np.float64]]:
        """See `Matcher.rows`."""
        fine = features.local_features.reshape(self.capacity, -1)
        rows = {"local_features": to_int8(fine)}
        if self._has_coarse:
            rows["coarse_features"] = to_int8(features.coarse_features.reshape(-1, self._channels[1]))
        return rows, self.cells

    def read(self, rows: Rows, is_subset: bool = False) -> LocalFeatures:
        """See `Matcher.read`."""
        chosen = self.rerank_subset if is_subset else slice(None)
        fine = rows["local_features"][chosen]
        if "coarse_features" not in rows:
            return LocalFeatures(self.cells[chosen], unit(fine))
        spread = self._spread(rows["coarse_features"], RERANK_STRIDE if is_subset else 1)
        return LocalFeatures(self.cells[chosen], _joined(fine, spread))

    def fit(self, keyframes: Sequence[Rows]) -> None:
        """Fits the axes of the features, and of the late map and its mean, to those of keyframes."""
        fine = np.concatenate([unit(rows["local_features"]) for rows in keyframes])
        self._axes = {"fine": _axes(fine, self._most_axes[0])}
        if not self._has_coarse:
            return
        coarse = np.concatenate([unit(rows["coarse_features"]) for rows in keyframes])
        mean = coarse.mean(axis=0)
        self._axes |= {"coarse": _axes(unit(coarse - mean), self._most_axes[1]), "coarse_mean": mean}

    def fitted_rows(self, rows: Rows) -> dict[str, NDArray]:
        """See `FittedMatcher.fitted_rows`."""
        assert self._axes is not None
        fine = unit(rows["local_features"]) @ self._axes["fine"]
        fitted = {"local_features": to_int8(fine)}
        if self._has_coarse:
            fitted["coarse_features"] = to_int8(self._coarse(rows["coarse_features"]))
        return fitted

    def save(self, path: Path) -> None:
        """Writes the axes."""
        assert self._axes is not None, "a map's matcher is fitted"
        write_aside(path, safetensors.numpy.save(self._axes))

    def _coarse(self, late: NDArray) -> NDArray[np.float32]:
        """The late map's features (cells', C') along the axes, of unit length."""
        assert self._axes is not None
        return unit(unit(unit(late) - self._axes["coarse_mean"]) @ self._axes["coarse"])

    def _spread(self, coarse: NDArray, stride: int = 1) -> NDArray[np.float32]:
        """The late map's features (cells', C) at the early map's cells, or at one in so many along a side."""
        rows, columns = self._coarse_grid
        by_row, by_column = (weights[::stride] for weights in self._from_coarse)
        spread = np.tensordot(by_column, unit(coarse).reshape(rows, columns, -1), axes=(1, 1))
        spread = np.tensordot(by_row, spread, axes=(1, 1))
        return spread.reshape(-1, spread.shape[-1])

    def _shift(
        self, similarity: NDArray[np.float32], in_query: NDArray[np.intp], in_reference: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """Cells (M, 2) right and down to the top of the parabolas through a match and the cells beside it.

        At the image's border, where a cell is missing, it is none.
        """
        rows, columns = self.grid
        row, column = np.divmod(in_query, columns)
        shift = np.zeros((len(in_query), 2))
        centre = similarity[in_query, in_reference]
        for axis, (at, cells, step) in enumerate(((column, columns, 1), (row, rows, columns))):
            inside = (at > 0) & (at < cells - 1)
            before = similarity[in_query[inside] - step, in_reference[inside]]
            after = similarity[in_query[inside] + step, in_reference[inside]]
            curvature = before + after - 2 * centre[inside]
            top = np.divide(before - after, 2 * curvature, out=np.zeros_like(before), where=curvature < 0)
            shift[inside, axis] = np.clip(top, -0.5, 0.5)
        return shift


def _joined(fine: NDArray, coarse: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unit features (N, C + C') of the early map's (N, C) and the late one's (N, C') beside them."""
    joined = np.concatenate([unit(fine), unit(coarse) * np.float32(COARSE_WEIGHT**0.5)], axis=1)
    return joined / np.float32((1 + COARSE_WEIGHT) ** 0.5)


def _axes(features: NDArray[np.float32], most: int) -> NDArray[np.float32]:
    """Principal axes (C, at most so many) of features (N, C), the strongest first."""
    _, axes = np.linalg.eigh(features.T @ features)
    return np.ascontiguousarray(axes[:, ::-1][:, :most], np.float32)


def _interpolation(places: NDArray[np.float64], cells: int) -> NDArray[np.float32]:
    """The matrix (N, cells) that interpolates linearly between cells at places (N,), and keeps the ends."""
    places = np.clip(places, 0, cells - 1)
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(cells))).astype(np.float32)
