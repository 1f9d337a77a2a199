"""Descriptors PCA-whitened to a size, as a network's own projection does it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.networks.architecture.projection import whitened_axes


def whiten(
    descriptors: NDArray[np.float32], references: NDArray[np.int64], size: int
) -> tuple[NDArray[np.float32], int]:
    """Unit descriptors (N, size) of descriptors (N, D), whitened on those of the references.

    Args:
        references: rows of the references among the descriptors.

    Returns them, and how many numbers the projection has.
    Raises SceneGeoLocError where the references span fewer dimensions than `size`.
    """
    axes = whitened_axes(descriptors[references], size)
    if len(axes) < size:
        raise SceneGeoLocError(
            f"The {len(references)} references span {len(axes)} dimensions, too few to whiten their "
            f"descriptors to {size}: take a smaller size."
        )
    projected = descriptors @ axes.T
    return projected / np.linalg.norm(projected, axis=1, keepdims=True), axes.size
