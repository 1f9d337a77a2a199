"""Local features and their matches."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class LocalFeatures(NamedTuple):
    """Local features of an image.

    Attributes:
        pixels: (N, 2) positions in pixels of the network's input, also where they were detected in another
            image size, so that errors in pixels are comparable between matchers.
        descriptors: (N, C) float32 of unit length.
    """

    pixels: NDArray[np.float64]
    descriptors: NDArray[np.float32]


class Matched(NamedTuple):
    """Matches of a query's features with a keyframe's.

    Attributes:
        query_pixels: (M, 2) in pixels of the network's input; finer than the features' own positions where
            the matcher interpolates.
        reference: (M,) rows of the keyframe's features.
    """

    query_pixels: NDArray[np.float64]
    reference: NDArray[np.intp]


def mutual_nearest(similarity: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Returns rows and columns of a matrix (M, N) of similarities that are each other's best.

    The bidirectional test of Perspective-n-Learned-Point, section 3.2.
    """
    if similarity.size == 0:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    best_column = similarity.argmax(axis=1)
    greatest_of_row = similarity[np.arange(len(similarity)), best_column]
    # Along columns, numpy's max is nine times as fast as its argmax.
    rows = np.flatnonzero(greatest_of_row == similarity.max(axis=0)[best_column])
    return rows, best_column[rows]


def unit(vectors: NDArray) -> NDArray[np.float32]:
    """Returns vectors (..., C) scaled to unit length."""
    single = np.asarray(vectors, np.float32)
    return single / np.maximum(np.linalg.norm(single, axis=-1, keepdims=True), np.float32(1e-9))
