"""What every matcher is: an image to local features, and two images' features to matches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from scene_geo_loc.networks.architecture.scene_network import SceneNetwork
from scene_geo_loc.networks.runtime.extractor import SceneFeatures

Rows = Mapping[str, NDArray]
"""What a map stores of a keyframe's features: a row of each array by the array's name."""


class LocalFeatures(NamedTuple):
    """Local features of an image.

    Attributes:
        pixels: (N, 2) where they lie, in pixels of the network's input whatever image they were found in:
            errors in pixels mean the same with every matcher.
        descriptors: (N, C) float32 of unit length.
    """

    pixels: NDArray[np.float64]
    descriptors: NDArray[np.float32]


class Matched(NamedTuple):
    """Matches of a query's features with a keyframe's.

    Attributes:
        query_pixels: (M, 2) in pixels of the network's input; finer than the features' own, where the
            matcher can tell.
        reference: (M,) rows of the keyframe's features.
    """

    query_pixels: NDArray[np.float64]
    reference: NDArray[np.intp]


class Matcher(ABC):
    """Base of the matchers.

    Attributes:
        name: what maps and settings call it.
        capacity: how many features of a keyframe a map has room for.
        min_inlier_ratio, min_coverage: shares of its matches and of the image that speak for a pose, see
            `LocalizerSettings`.  Chosen on simulated drives in sun, snow and night, so that hardly a query
            passes whose place is kept from the candidates: of the encoder's one in 354.
        rerank_subset: rows of the few features that candidates are re-ranked by.
        input_size: width and height (2,) of the network's input.
    """

    name: ClassVar[str]
    min_inlier_ratio: ClassVar[float]
    min_coverage: ClassVar[float]
    capacity: int
    rerank_subset: NDArray[np.intp]

    def __init__(self, network: SceneNetwork, learned: Path | None = None) -> None:
        """See `make_matcher`."""
        config = network.config
        self.input_size = np.array([config.input_width, config.input_height])

    @abstractmethod
    def extract(self, image: NDArray[np.uint8], features: SceneFeatures) -> LocalFeatures:
        """The local features of an RGB image (H, W, 3) of which the network tells `features`."""

    def match(self, query: LocalFeatures, reference: LocalFeatures) -> Matched:
        """The features of two images that are each other's nearest by cosine."""
        in_query, in_reference = mutual_nearest(query.descriptors @ reference.descriptors.T)
        return Matched(query.pixels[in_query], in_reference)

    @property
    @abstractmethod
    def arrays(self) -> dict[str, tuple[tuple[int, ...], DTypeLike]]:
        """Shape and type of a row of each array that a map stores of the features."""

    @abstractmethod
    def rows(
        self, image: NDArray[np.uint8], features: SceneFeatures, known: NDArray[np.bool_]
    ) -> tuple[dict[str, NDArray], NDArray[np.float64]]:
        """A keyframe's row of each array, and where its features lie: (F, 2), NaN where there is none.

        Args:
            image: RGB (H, W, 3).
            features: what the network tells of it.
            known: where (H', W') the image, at whatever size, has depth: no match is of use elsewhere.
        """

    @abstractmethod
    def read(self, rows: Rows, is_subset: bool = False) -> LocalFeatures:
        """The features of a keyframe that a map has stored, or only those of `rerank_subset`."""

    @abstractmethod
    def save(self, path: Path) -> None:
        """Writes what it has learned, where it has learned something: a map then needs nothing else."""


class FittedMatcher(Matcher):
    """Base of the matchers that are fitted to each map: all keyframes are stored anew then."""

    @abstractmethod
    def fit(self, keyframes: Sequence[Rows]) -> None:
        """Learns from some of a map's keyframes; `arrays` are others afterwards."""

    @abstractmethod
    def fitted_rows(self, rows: Rows) -> dict[str, NDArray]:
        """The rows of a keyframe as they are to be stored, of those that it had before the fit."""


def mutual_nearest(similarity: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of a matrix (M, N) of similarities that are each other's best.

    The bidirectional test of Perspective-n-Learned-Point, section 3.2.
    """
    if similarity.size == 0:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    best_column = similarity.argmax(axis=1)
    greatest_of_row = similarity[np.arange(len(similarity)), best_column]
    # Down the columns numpy finds the greatest value nine times as fast as where it is.
    rows = np.flatnonzero(greatest_of_row == similarity.max(axis=0)[best_column])
    return rows, best_column[rows]


def unit(vectors: NDArray) -> NDArray[np.float32]:
    """Vectors (..., C) made of unit length."""
    single = np.asarray(vectors, np.float32)
    return single / np.maximum(np.linalg.norm(single, axis=-1, keepdims=True), np.float32(1e-9))


def to_int8(features: NDArray[np.float32]) -> NDArray[np.int8]:
    """Features (..., C) as integers: only directions count, and the largest component of each becomes 127."""
    largest = np.abs(features).max(axis=-1, keepdims=True, initial=1e-9)
    return np.round(features * (127 / largest)).astype(np.int8)


def nearest_pixels(
    pixels: NDArray[np.float64], size: NDArray[np.int64], image: NDArray
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Columns and rows (N,) of an image (H, W) that pixels (N, 2) of it, resized to `size`, lie in.

    `size` is width and height.  Pixels that are NaN lie in the first column and row.
    """
    shape = np.array([image.shape[1], image.shape[0]])
    places = np.nan_to_num(np.round((pixels + 0.5) * (shape / size) - 0.5))
    x, y = np.clip(places, 0, shape - 1).astype(np.intp).T
    return x, y
