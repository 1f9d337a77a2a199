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

"""Dense matching of the network's own features (Perspective-n-Learned-Point, section 3.2)."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.matchers.base import Matcher
from scene_geo_loc.matchers.encoder_storage import EncoderStorage
from scene_geo_loc.matchers.features import LocalFeatures, Matched, mutual_nearest
from scene_geo_loc.networks.inference_network import InferenceNetwork
from scene_geo_loc.networks.runtime.extractor import SceneFeatures

SPARSE_INLIER_RATIO = 0.12
"""Least inlier ratio in a map that keeps some of the cells, where more wrong matches are mutual.

On the drives that `Matcher.min_inlier_ratio` was chosen on, with all keyframes within 25 m left out, it
accepts a pose in 1 of 292 queries, and 0.13 in a map of all cells in 4.
"""


class EncoderMatcher(Matcher):
    """Matcher with a feature at each cell of the early map, from the forward pass alone.

    A cell's feature is the network's local feature.  Where that is the early map alone, the surrounding
    feature of the late map is appended.  The late map identifies the place in different weather; the early
    map gives the exact position.

    A match's pixel in the query is more precise than a cell: it is interpolated from the similarities of the
    neighbouring cells.
    """

    name = "encoder"
    min_inlier_ratio = 0.13
    min_coverage = 0.5
    rerank_subset = slice(None)
    is_resizable = False
    storage: EncoderStorage

    def __init__(self, network: InferenceNetwork, weights_path: Path | None = None) -> None:
        super().__init__(network, weights_path)
        self.storage = EncoderStorage(network, weights_path)
        self.cells = self.storage.cells
        if self.storage.is_sparse:
            self.min_inlier_ratio = SPARSE_INLIER_RATIO
        self.depth_pixels = self.cells
        self._stride = network.signature.local_features.stride
        rows, columns = np.indices(network.grid).reshape(2, -1)
        # From a cell to its neighbour; 0 at the border.
        self._steps = (
            1 * ((columns > 0) & (columns < network.grid[1] - 1)),
            network.grid[1] * ((rows > 0) & (rows < network.grid[0] - 1)),
        )
        self._memory = threading.local()

    def extract(self, image: NDArray[np.uint8], features: SceneFeatures) -> LocalFeatures:
        """See `Matcher.extract`."""
        return LocalFeatures(self.cells, self.storage.project(features))

    def match(self, query: LocalFeatures, reference: LocalFeatures) -> Matched:
        """Returns the mutual nearest neighbours by cosine, with interpolated pixels."""
        return self.match_all(query, [reference])[0]

    def match_all(self, query: LocalFeatures, references: Sequence[LocalFeatures]) -> list[Matched]:
        """Returns the matches with each of several keyframes, from one matrix of similarities."""
        similarity = self._similarity(
            np.concatenate([reference.descriptors for reference in references]), query.descriptors
        )
        ends = np.cumsum([len(reference.pixels) for reference in references])
        in_reference, in_query = mutual_nearest(similarity, ends.tolist())
        pixels = query.pixels[in_query]
        if len(query.pixels) == len(self.cells):  # a subset lacks the neighbouring cells
            pixels = pixels + self._stride * self._shift(similarity, in_reference, in_query)
        starts = ends - [len(reference.pixels) for reference in references]
        parts = zip(starts, *np.searchsorted(in_reference, [starts, ends]), strict=True)
        return [Matched(pixels[a:b], in_reference[a:b] - start) for start, a, b in parts]

    def rows(
        self, image: NDArray[np.uint8], features: SceneFeatures, known: NDArray[np.bool_]
    ) -> tuple[dict[str, NDArray], NDArray[np.float64]]:
        """See `Matcher.rows`."""
        return self.storage.rows(features), self.cells

    def save(self, path: Path) -> None:
        """Writes the axes of the stored features."""
        self.storage.save(path)

    def _similarity(self, reference: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the cosines (N, M) of features, in memory that the next call in the same thread reuses."""
        size = len(reference) * len(query)
        memory = getattr(self._memory, "values", None)
        if memory is None or len(memory) < size:
            memory = self._memory.values = np.empty(size, np.float32)
        similarity: NDArray[np.float32] = memory[:size].reshape(len(reference), len(query))
        return np.matmul(reference, query.T, out=similarity)

    def _shift(
        self, similarity: NDArray[np.float32], in_reference: NDArray[np.intp], in_query: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """Returns the cells (M, 2) right and down to the vertices of parabolas through neighbouring cells.

        At the image's border, where a neighbour is missing, it is 0.
        """
        flat, at = similarity.ravel(), in_reference * similarity.shape[1] + in_query
        centre = flat[at]
        shift = np.zeros((len(at), 2))
        for axis, steps in enumerate(self._steps):
            step = steps[in_query]
            before, after = flat[at - step], flat[at + step]
            curvature = before + after - 2 * centre
            top = np.divide(before - after, 2 * curvature, out=np.zeros_like(centre), where=curvature < 0)
            shift[:, axis] = np.clip(top, -0.5, 0.5)
        return shift
