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

"""Projections, against principal axes computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.networks.projection import SHRINKAGE, whitened_axes


def test_what_all_descriptors_have_in_common_counts_least_once_whitened() -> None:
    # Nine along x and one along y: sums of squares of 9 and 1, and a mean square of 1.
    descriptors = np.array([[1.0, 0, 0]] * 9 + [[0, 1.0, 0]], np.float32)
    axes = whitened_axes(descriptors, 3)
    assert axes.shape == (2, 3)  # nothing lies along z
    np.testing.assert_allclose(
        np.abs(axes), [[(9 + SHRINKAGE) ** -0.5, 0, 0], [0, (1 + SHRINKAGE) ** -0.5, 0]]
    )


def test_images_fewer_than_the_size_keep_likenesses_with_others() -> None:
    """Without shrinkage all images of the fit would be equally dissimilar, for any content."""
    rng = np.random.default_rng(0)
    place = rng.normal(size=64)
    descriptors = np.stack(
        [place + 0.3 * rng.normal(size=64) for _ in range(2)] + list(rng.normal(size=(6, 64)))
    )
    descriptors = (descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True)).astype(np.float32)
    projected = descriptors @ whitened_axes(descriptors, 32).T
    projected /= np.linalg.norm(projected, axis=1, keepdims=True)
    likeness = projected @ projected.T
    assert likeness[0, 1] > 0.2 + likeness[0, 2:].max()


def test_descriptors_that_are_not_finite_are_refused() -> None:
    with pytest.raises(SceneGeoLocError, match="not finite"):
        whitened_axes(np.array([[1.0, np.nan]], np.float32), 1)
