"""Dense matching of the network's own features (Perspective-n-Learned-Point, section 3.2)."""

from __future__ import annotations

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
    storage: EncoderStorage

    def __init__(self, network: InferenceNetwork, weights_path: Path | None = None) -> None:
        super().__init__(network, weights_path)
        self.storage = EncoderStorage(network, weights_path)
        self.cells = self.storage.cells
        if self.storage.is_sparse:
            self.min_inlier_ratio = SPARSE_INLIER_RATIO
        self.depth_pixels = self.cells
        self._grid, self._stride = network.grid, network.signature.local_features.stride

    def extract(self, image: NDArray[np.uint8], features: SceneFeatures) -> LocalFeatures:
        """See `Matcher.extract`."""
        return LocalFeatures(self.cells, self.storage.project(features))

    def match(self, query: LocalFeatures, reference: LocalFeatures) -> Matched:
        """Returns the mutual nearest neighbours by cosine, with interpolated pixels."""
        similarity = reference.descriptors @ query.descriptors.T
        in_reference, in_query = mutual_nearest(similarity)
        if len(query.pixels) < len(self.cells):  # a subset lacks the neighbouring cells
            return Matched(query.pixels[in_query], in_reference)
        shift = self._shift(similarity, in_reference, in_query)
        return Matched(query.pixels[in_query] + self._stride * shift, in_reference)

    def rows(
        self, image: NDArray[np.uint8], features: SceneFeatures, known: NDArray[np.bool_]
    ) -> tuple[dict[str, NDArray], NDArray[np.float64]]:
        """See `Matcher.rows`."""
        return self.storage.rows(features), self.cells

    def save(self, path: Path) -> None:
        """Writes the axes of the stored features."""
        self.storage.save(path)

    def _shift(
        self, similarity: NDArray[np.float32], in_reference: NDArray[np.intp], in_query: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """Returns the cells (M, 2) right and down to the vertices of parabolas through neighbouring cells.

        At the image's border, where a neighbour is missing, it is 0.
        """
        rows, columns = self._grid
        row, column = np.divmod(in_query, columns)
        shift = np.zeros((len(in_query), 2))
        centre = similarity[in_reference, in_query]
        for axis, (at, cells, step) in enumerate(((column, columns, 1), (row, rows, columns))):
            inside = (at > 0) & (at < cells - 1)
            before = similarity[in_reference[inside], in_query[inside] - step]
            after = similarity[in_reference[inside], in_query[inside] + step]
            curvature = before + after - 2 * centre[inside]
            top = np.divide(before - after, 2 * curvature, out=np.zeros_like(before), where=curvature < 0)
            shift[inside, axis] = np.clip(top, -0.5, 0.5)
        return shift
