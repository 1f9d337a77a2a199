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

"""Choice and packing of the cells that a map keeps."""

from __future__ import annotations

import numpy as np
import pytest

from scene_geo_loc.matchers.cells import BLOCK, choose_cells, pack, unpack
from scene_geo_loc.matchers.features import unit

ROWS, COLUMNS = 6, 8


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def features(rng: np.random.Generator) -> np.ndarray:
    return unit(rng.normal(size=(ROWS, COLUMNS, 16)))


def test_every_block_has_a_cell_before_any_has_two(features: np.ndarray) -> None:
    blocks = ROWS * COLUMNS // BLOCK**2
    chosen = choose_cells(features, np.ones(ROWS * COLUMNS, bool), blocks)
    row, column = np.divmod(chosen, COLUMNS)
    assert len(set(zip(row // BLOCK, column // BLOCK, strict=True))) == blocks


def test_the_cell_that_differs_from_its_neighbours_comes_first() -> None:
    features = np.zeros((ROWS, COLUMNS, 2), np.float32)
    features[..., 0] = 1
    features[3, 4] = (0, 1)
    assert choose_cells(features, np.ones(ROWS * COLUMNS, bool), 5)[0] == 3 * COLUMNS + 4


def test_only_cells_with_depth_are_kept(features: np.ndarray, rng: np.random.Generator) -> None:
    known = rng.random(ROWS * COLUMNS) < 0.2
    chosen = choose_cells(features, known, 40)
    assert sorted(chosen) == np.flatnonzero(known).tolist()
    assert len(choose_cells(features, np.zeros(ROWS * COLUMNS, bool), 40)) == 0


@pytest.mark.parametrize("channels", [1, 7, 40])
def test_four_bits_keep_the_directions_of_features(rng: np.random.Generator, channels: int) -> None:
    features = unit(rng.normal(size=(300, channels)))
    packed = pack(features)
    assert packed.dtype == np.uint8
    assert packed.shape == (300, (channels + 1) // 2)
    unpacked = unpack(packed, channels)
    np.testing.assert_allclose(np.linalg.norm(unpacked, axis=1), 1, atol=1e-6)
    assert (unpacked * features).sum(axis=1).min() > 0.97


def test_a_feature_without_direction_is_packed() -> None:
    np.testing.assert_array_equal(unpack(pack(np.zeros((2, 4), np.float32)), 4), np.zeros((2, 4)))


def test_no_features_are_unpacked() -> None:
    assert unpack(np.zeros((0, 20), np.uint8), 40).shape == (0, 40)
