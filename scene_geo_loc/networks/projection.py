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

"""Projections: long descriptors to shorter ones along their principal axes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import SceneGeoLocError

_NEGLIGIBLE = 1e-9
"""Fraction of the largest eigenvalue below which an eigenvalue is rounding error."""

SHRINKAGE = 3.0
"""Added to the mean square along an axis, in units of its mean over as many axes as there are descriptors.

Without it whitening amplifies axes with hardly any signal: if a place has fewer images than the projection
has rows, all images become equally dissimilar."""


def whitened_axes(descriptors: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Returns whitened principal axes (at most `size`, D) of descriptors (N, D), without centring.

    Each axis is divided by the root mean square of the descriptors along it, with `SHRINKAGE`: components
    that all images of a place share distinguish them least.  There are fewer than `size` axes if the
    descriptors span fewer dimensions.

    Raises SceneGeoLocError if descriptors are not finite.

    Source: Jégou and Chum, Negative evidences and co-occurrences in image retrieval, ECCV 2012; the
    shrinkage is ours.
    """
    if not np.isfinite(descriptors).all():
        raise SceneGeoLocError("Some descriptors are not finite: train the network that computed them again.")
    squares, axes = _largest(descriptors.astype(np.float64), size)
    mean_square = np.square(descriptors, dtype=np.float64).sum() / len(descriptors)
    return (axes / np.sqrt(squares / mean_square + SHRINKAGE)[:, None]).astype(np.float32)


def _largest(x: NDArray[np.float64], size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the largest eigenvalues of x^T x, at most `size`, none negligible, and unit eigenvectors as
    rows.
    """
    wide = x.shape[1] > x.shape[0]
    # The smaller of the two Gram matrices has all non-zero eigenvalues.
    values, vectors = np.linalg.eigh(x @ x.T if wide else x.T @ x)
    order = np.argsort(values)[::-1][:size]
    order = order[values[order] > _NEGLIGIBLE * max(values.max(), np.finfo(np.float64).tiny)]
    values, rows = values[order], vectors[:, order].T
    return values, rows @ x / np.sqrt(values)[:, None] if wide else rows
