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

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.visual_words.inverted_file import InvertedFile

ROWS = np.array([[0.6, 0.8, 0, 0], [0, 0, 0, 0], [0, 0.6, 0, 0.8], [0, 0, 1, 0]], np.float32)


def unit_rows(seed: int, count: int, size: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = rng.random((count, size)) * (rng.random((count, size)) < 0.3)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def test_the_nearest_by_cosine_come_first() -> None:
    index = InvertedFile.build(ROWS, 4)
    found, similarities = index.search(ROWS[0], 5)
    assert (len(index), index.size) == (4, 4)
    assert found.tolist() == [0, 2]  # the others share no word with it
    np.testing.assert_allclose(similarities, [1.0, 0.48], atol=1e-3)


def test_zeros_match_nothing() -> None:
    index = InvertedFile.build(ROWS, 4)
    found, similarities = index.search(np.zeros(4, np.float32), 5)
    assert len(found) == len(similarities) == 0
    assert all(1 not in index.search(row, 4)[0] for row in ROWS)


def test_a_search_may_be_restricted() -> None:
    index = InvertedFile.build(ROWS, 4)
    assert index.search(ROWS[0], 5, among=np.array([1, 2, 3]))[0].tolist() == [2]
    assert len(index.search(ROWS[0], 5, among=np.array([1, 3]))[0]) == 0


@given(st.integers(0, 1000), st.integers(1, 20), st.integers(1, 8))
def test_a_search_finds_what_a_dense_product_finds(seed: int, count: int, wanted: int) -> None:
    rows = unit_rows(seed, count, 12)
    index = InvertedFile.build(rows, 12)
    stored = np.stack([index.descriptor(i) for i in range(count)])
    np.testing.assert_allclose(stored, rows, atol=1e-3)
    query = unit_rows(seed + 1, 1, 12)[0]
    dense = stored @ query
    found, similarities = index.search(query, wanted)
    assert len(found) == min(wanted, int((dense > 0).sum()))
    np.testing.assert_allclose(similarities, np.sort(dense)[::-1][: len(found)], atol=1e-5)
    np.testing.assert_allclose(similarities, dense[found], atol=1e-5)


def test_a_file_keeps_the_index(tmp_path: Path) -> None:
    rows = unit_rows(3, 30, 50)
    index = InvertedFile.build(iter(rows), 50)
    index.write(tmp_path / "index.safetensors")
    again = InvertedFile.read(tmp_path / "index.safetensors")
    assert (len(again), again.size) == (30, 50)
    np.testing.assert_array_equal(again.search(rows[4], 9)[0], index.search(rows[4], 9)[0])


@pytest.mark.parametrize(
    "changed",
    [
        {"starts": np.array([0, 3, 1, 4], np.int64)},
        {"starts": np.array([0, 1, 9], np.int64)},
        {"starts": np.array([0.0, 4.0])},
        {"keyframes": np.array([0, 1, 7, 1], np.uint32)},
        {"weights": np.array([1, 1, np.nan, 1], np.float16)},
        {"weights": np.ones(3, np.float16)},
    ],
)
def test_a_damaged_index_is_refused(tmp_path: Path, changed: dict[str, np.ndarray]) -> None:
    arrays: dict[str, np.ndarray] = {
        "starts": np.array([0, 1, 2, 4], np.int64),
        "keyframes": np.array([0, 1, 0, 1], np.uint32),
        "weights": np.ones(4, np.float16),
    }
    path = tmp_path / "index.safetensors"
    save_file(arrays, path, {"keyframes": "2"})
    assert len(InvertedFile.read(path)) == 2
    save_file({**arrays, **changed}, path, {"keyframes": "2"})
    with pytest.raises(MapError, match="not an index of visual words"):
        InvertedFile.read(path)
    path.write_bytes(b"not a file of tensors")
    with pytest.raises(MapError, match="build the map again"):
        InvertedFile.read(path)
