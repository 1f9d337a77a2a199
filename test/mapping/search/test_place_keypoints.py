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

"""Place keypoints: what a keyframe keeps of them, and what it is compared by."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scene_geo_loc.mapping.search.place_keypoints import (
    MOST_KEYPOINTS,
    place_keypoints,
    row_shape,
    signs_and_places,
    stored_row,
)
from scene_geo_loc.networks.strongest_cells import StrongestCells

SIZE = (320, 240)


def strongest(count: int, channels: int = 64, hidden: int = 0, seed: int = 0) -> StrongestCells:
    """Cells at random places, the last of which show nothing."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, 1, channels)).astype(np.float32)
    features /= np.linalg.norm(features, axis=2, keepdims=True)
    features[count - hidden :] = np.nan
    return StrongestCells(features, rng.random((count, 2)).astype(np.float32))


def test_a_keyframe_keeps_ten_bytes_of_each_of_its_best_keypoints() -> None:
    assert row_shape(64) == (MOST_KEYPOINTS, 10)
    cells = strongest(400)
    row = stored_row(cells)
    assert (row.shape, row.dtype) == ((MOST_KEYPOINTS, 10), np.uint8)
    best = StrongestCells(cells.features[:MOST_KEYPOINTS], cells.places[:MOST_KEYPOINTS])
    np.testing.assert_array_equal(row, stored_row(best))


@given(st.integers(1, 300), st.sampled_from([4, 32, 48, 64, 128]), st.integers(0, 2**32 - 1))
def test_signs_and_places_of_a_row_are_those_of_the_keypoints(count: int, channels: int, seed: int) -> None:
    cells = strongest(count, channels, seed=seed)
    query = place_keypoints(cells, SIZE)
    signs, places = signs_and_places(stored_row(cells)[None], SIZE)
    kept = min(count, MOST_KEYPOINTS)
    assert len(query.features) == len(query.places) == kept
    np.testing.assert_array_equal(np.unpackbits(signs[0, :kept], axis=1) == 1, query.features > 0)
    assert np.abs((places[0, :kept] - query.places).real).max() <= 1 / 512 + 1e-6
    assert np.abs((places[0, :kept] - query.places).imag).max() <= 0.75 / 512 + 1e-6


@given(st.sampled_from([3, 16, 48, 64]), st.integers(0, 2**32 - 1))
def test_other_axes_change_no_angle_between_features(channels: int, seed: int) -> None:
    cells = strongest(20, channels, seed=seed)
    turned = place_keypoints(cells, SIZE).features
    np.testing.assert_allclose(turned @ turned.T, cells.features[:, 0] @ cells.features[:, 0].T, atol=1e-5)


def test_places_are_in_widths_of_the_image() -> None:
    cells = StrongestCells(np.ones((1, 1, 8), np.float32), np.array([[0.5, 1.0]], np.float32))
    assert place_keypoints(cells, SIZE).places[0] == pytest.approx(0.5 + 0.75j)


def test_what_shows_nothing_is_left_out_of_a_query_and_zero_in_a_keyframe() -> None:
    cells = strongest(10, hidden=4)
    assert len(place_keypoints(cells, SIZE).features) == 6
    row = stored_row(cells)
    assert row[:6, 2:].any(axis=1).all()
    assert not row[6:].any()
    assert len(place_keypoints(strongest(5, hidden=5), SIZE).features) == 0
