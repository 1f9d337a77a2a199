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

"""Words of one kind: centres of clusters of SIFT histograms, found by k-means."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.parallel import available_cores

FEATURES_PER_WORD = 5
"""Fewer features than this for each word would be clusters of single features: there are fewer words."""
MOST_FEATURES_PER_WORD = 25
"""Most features for each word that k-means runs on, drawn at random from all."""
_ITERATIONS = 12
_CHUNK = 512
"""Features that are compared with all words at once."""


@dataclass(frozen=True)
class Words:
    """Words of one kind.

    Attributes:
        centres: (K, 128) float16, in the space of `root_sift`.
    """

    centres: NDArray[np.float16]

    @classmethod
    def fit(cls, histograms: NDArray[np.uint8], count: int) -> Words:
        """Returns the words of SIFT histograms (N, 128), at most `count`; the same ones for the same input.

        There are fewer where there are fewer than `FEATURES_PER_WORD` histograms for each, and none where
        there are fewer than that altogether.
        """
        count = min(count, len(histograms) // FEATURES_PER_WORD)
        if count == 0:
            return cls(np.zeros((0, histograms.shape[1]), np.float16))
        most = count * MOST_FEATURES_PER_WORD
        if len(histograms) > most:
            chosen = np.random.default_rng(0).choice(len(histograms), most, replace=False)
            histograms = histograms[np.sort(chosen)]
        return cls(_k_means(root_sift(histograms), count).astype(np.float16))

    def __len__(self) -> int:
        return len(self.centres)

    def counts(self, histograms: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Returns how often each word (K,) occurs among SIFT histograms (N, 128)."""
        if len(self) == 0:
            return np.zeros(0, np.int64)
        return np.bincount(self.nearest(root_sift(histograms)), minlength=len(self))

    def nearest(self, descriptors: NDArray[np.float32]) -> NDArray[np.intp]:
        """Returns the nearest word (N,) of each descriptor (N, 128), as `root_sift` gives them."""
        centres = self.centres.astype(np.float32)
        half_squares = (centres**2).sum(axis=1) / 2
        nearest = [
            (descriptors[start : start + _CHUNK] @ centres.T - half_squares).argmax(axis=1)
            for start in range(0, len(descriptors), _CHUNK)
        ]
        return np.concatenate([*nearest, np.zeros(0, np.intp)])


def root_sift(histograms: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Returns the roots of SIFT histograms (N, 128) of sum 1, which are of unit length.

    Their Euclidean distance is the Hellinger distance of the histograms (Arandjelović and Zisserman, CVPR
    2012).
    """
    histograms = histograms.astype(np.float32)
    return np.sqrt(histograms / np.maximum(histograms.sum(axis=1, keepdims=True), 1))


def _k_means(points: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Returns the centres (K, D) of clusters of points (N, D), without equal ones."""
    import faiss

    with _bounded_threads():
        clusters = faiss.Kmeans(
            points.shape[1],
            count,
            niter=_ITERATIONS,
            seed=1,
            min_points_per_centroid=1,
            max_points_per_centroid=len(points),
        )
        clusters.train(points)
    return np.unique(np.asarray(clusters.centroids, np.float32).reshape(count, -1), axis=0)


@contextmanager
def _bounded_threads() -> Iterator[None]:
    """Keeps faiss to the cores that this process may use."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(min(before, available_cores()))
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
