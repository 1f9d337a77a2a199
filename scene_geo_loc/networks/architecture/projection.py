"""Projections: long descriptors to fewer numbers, by their principal axes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import SceneGeoLocError

_NEGLIGIBLE = 1e-9
"""Of the largest eigenvalue: what is below it is rounding."""

SHRINKAGE = 3.0
"""Added to the mean square along an axis, in units of its mean over as many axes as there are descriptors.

Whitening without it blows up the axes along which hardly anything was seen: where a place has fewer images
than the projection has rows, all of them become equally unlike."""


def whitened_axes(descriptors: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Principal axes (at most `size`, D) of descriptors (N, D), their mean left in, whitened.

    Each is divided by the root mean square of the descriptors along it, with `SHRINKAGE`: what all images of
    a place have in common tells least about where one was taken.  There are fewer than `size` where the
    descriptors span fewer dimensions.

    Raises SceneGeoLocError where descriptors are not finite.

    Source: Jégou and Chum, Negative evidences and co-occurrences in image retrieval, ECCV 2012; the
    shrinkage is ours.
    """
    if not np.isfinite(descriptors).all():
        raise SceneGeoLocError(
            "There are descriptors with numbers that are not finite: train the network that gave them again."
        )
    squares, axes = _largest(descriptors.astype(np.float64), size)
    mean_square = np.square(descriptors, dtype=np.float64).sum() / len(descriptors)
    return (axes / np.sqrt(squares / mean_square + SHRINKAGE)[:, None]).astype(np.float32)


def _largest(x: NDArray[np.float64], size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The largest eigenvalues of x^T x, `size` at most, none negligible; their unit eigenvectors as rows."""
    wide = x.shape[1] > x.shape[0]
    # The smaller of the two Gram matrices has all of them.
    values, vectors = np.linalg.eigh(x @ x.T if wide else x.T @ x)
    order = np.argsort(values)[::-1][:size]
    order = order[values[order] > _NEGLIGIBLE * max(values.max(), np.finfo(np.float64).tiny)]
    values, rows = values[order], vectors[:, order].T
    return values, rows @ x / np.sqrt(values)[:, None] if wide else rows
