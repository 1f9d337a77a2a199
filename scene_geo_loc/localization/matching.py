"""Dense matches between two images' local features (Perspective-n-Learned-Point, section 3.2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mutual_nearest(
    query: NDArray[np.float32], reference: NDArray[np.float32]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs of unit features (M, C) and (N, C) that are each other's nearest by cosine.

    Returns the pairs' rows in `query` and in `reference`.
    """
    similarity = query @ reference.T
    nearest_reference = similarity.argmax(axis=1)
    nearest_query = similarity.argmax(axis=0)
    rows = np.flatnonzero(nearest_query[nearest_reference] == np.arange(len(query)))
    return rows, nearest_reference[rows]
