"""Descriptors PCA-whitened to a size, as a network's own projection does it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.networks.projection import principal_axes


def whiten(
    descriptors: NDArray[np.float32], references: NDArray[np.int64], size: int
) -> tuple[NDArray[np.float32], int]:
    """Unit descriptors (N, size) of descriptors (N, D), whitened on those of the references.

    Args:
        references: rows of the references among the descriptors.

    Returns them, and how many numbers the projection has.
    Raises SceneGeoLocError where the references span fewer dimensions than `size`.

    Source: Jégou and Chum, Negative evidences and co-occurrences in image retrieval, ECCV 2012.
    """
    weight, bias = principal_axes(descriptors[references], size, whiten=True)
    projected = descriptors @ weight.T + bias
    return projected / np.linalg.norm(projected, axis=1, keepdims=True), weight.size + bias.size
