"""The network's early map, matched densely (Perspective-n-Learned-Point, section 3.2)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.matchers.base import LocalFeatures, Matched, Matcher, mutual_nearest
from scene_geo_loc.networks.extractor import SceneFeatures
from scene_geo_loc.networks.scene_network import SceneNetwork


class EncoderMatcher(Matcher):
    """A feature at each cell of the early map: nothing is computed besides what the network tells anyway.

    A match's pixel in the query is finer than a cell: the similarities with the cells beside it tell where
    between them the keyframe's feature lies.
    """

    name = "encoder"

    def __init__(self, network: SceneNetwork, learned: Path | None = None) -> None:
        super().__init__(network)
        self.grid = network.grid
        self.stride = network.encoder.early.stride
        self.cells = network.cell_centres()
        self.capacity = len(self.cells)
        self.channels = network.encoder.early.channels

    def extract(self, image: NDArray[np.uint8], features: SceneFeatures) -> LocalFeatures:
        """See `Matcher.extract`."""
        return LocalFeatures(self.cells, features.local_features.reshape(self.capacity, -1))

    def match(self, query: LocalFeatures, reference: LocalFeatures) -> Matched:
        """Mutual nearest neighbours by cosine."""
        similarity = query.descriptors @ reference.descriptors.T
        in_query, in_reference = mutual_nearest(similarity)
        shift = self._shift(similarity, in_query, in_reference)
        return Matched(query.pixels[in_query] + self.stride * shift, in_reference)

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
