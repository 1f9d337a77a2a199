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

"""The index: exact cosine similarities within half precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.mapping.search.index import DescriptorIndex


@pytest.fixture
def descriptors() -> np.ndarray:
    rows = np.random.default_rng(1).normal(size=(200, 16)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_it_finds_the_largest_cosines_in_order(descriptors: np.ndarray) -> None:
    query = descriptors[7] + 0.1
    query /= np.linalg.norm(query)
    found, similarities = DescriptorIndex.build(descriptors).search(query, 5)
    cosines = descriptors @ query
    np.testing.assert_array_equal(found, np.argsort(-cosines)[:5])
    np.testing.assert_allclose(similarities, np.sort(cosines)[::-1][:5], atol=2e-3)


def test_it_searches_among_some_only(descriptors: np.ndarray) -> None:
    found, _ = DescriptorIndex.build(descriptors).search(descriptors[7], 3, among=np.array([3, 9]))
    assert sorted(found) == [3, 9]


def test_a_small_map_gives_as_many_as_it_has(descriptors: np.ndarray) -> None:
    found, similarities = DescriptorIndex.build(descriptors[:2]).search(descriptors[0], 5)
    assert len(found) == len(similarities) == 2


def test_it_round_trips_through_its_file(descriptors: np.ndarray, tmp_path: Path) -> None:
    DescriptorIndex.build(descriptors).write(tmp_path / "index.faiss")
    again = DescriptorIndex.read(tmp_path / "index.faiss")
    assert (len(again), again.size) == (200, 16)


def test_a_file_that_is_no_index_is_said(tmp_path: Path) -> None:
    (tmp_path / "index.faiss").write_bytes(b"nothing of the kind")
    with pytest.raises(MapError, match="not an index"):
        DescriptorIndex.read(tmp_path / "index.faiss")
