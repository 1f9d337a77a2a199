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
"""The index of a large map finds what an exact one finds, and holds its descriptors on the disk."""

from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pytest

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.mapping.map_info import CODES, GLOBAL_DESCRIPTORS, INDEX
from scene_geo_loc.mapping.search.compressed_index import CompressedIndex
from scene_geo_loc.mapping.search.index import DescriptorIndex
from scene_geo_loc.mapping.search.stored_index import read_index, write_index

COUNT, SIZE = 3000, 32


@pytest.fixture(scope="module")
def descriptors() -> np.ndarray:
    """Descriptors of drives: neighbours along each are similar."""
    rng = np.random.default_rng(0)
    steps = rng.normal(size=(10, COUNT // 10, SIZE)) * 0.3
    steps[:, 0] = rng.normal(size=(10, SIZE))
    paths = np.cumsum(steps, axis=1).reshape(-1, SIZE)
    return (paths / np.linalg.norm(paths, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, descriptors: np.ndarray) -> Path:
    folder = tmp_path_factory.mktemp("large")
    write_index(folder, np.split(descriptors, 6), SIZE, COUNT, exact_below=1000)
    return folder


def test_it_finds_the_best_keyframes_of_an_exact_search_with_their_similarities(
    folder: Path, descriptors: np.ndarray
) -> None:
    index, exact = read_index(folder, [CODES]), DescriptorIndex.build(descriptors)
    rng = np.random.default_rng(1)
    same = 0
    for keyframe in range(0, COUNT, 30):
        query = descriptors[keyframe] + 0.1 * rng.normal(size=SIZE).astype(np.float32)
        query /= np.linalg.norm(query)
        found, similarities = index.search(query, 5)
        wanted, expected = exact.search(query, 5)
        assert (np.diff(similarities) <= 0).all()
        np.testing.assert_allclose(similarities, descriptors[found] @ query, atol=1e-3)
        same += found[0] == wanted[0]
        assert similarities[0] <= expected[0] + 1e-3
    assert same >= 99


@pytest.mark.parametrize("exact_among", [399, 400], ids=["by codes", "exactly"])
def test_a_restricted_search_finds_only_the_keyframes_it_may(
    folder: Path, descriptors: np.ndarray, exact_among: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scene_geo_loc.mapping.search.compressed_index.EXACT_AMONG", exact_among)
    monkeypatch.setattr("scene_geo_loc.mapping.search.compressed_index.COMPARED", 20)
    index = read_index(folder, [CODES])
    among = np.arange(1000, 1400)
    found, _ = index.search(descriptors[7], 3, among)
    assert np.isin(found, among).all()
    assert len(found) == 3
    own, similarities = index.search(descriptors[1234], 1, among)
    assert own.tolist() == [1234]
    assert similarities[0] == pytest.approx(1.0, abs=2e-3)


def test_more_keyframes_than_there_are_give_all(folder: Path, descriptors: np.ndarray) -> None:
    found, _ = read_index(folder, [CODES]).search(descriptors[0], 2 * COUNT)
    assert found[0] == 0
    assert len(found) <= COUNT
    index = read_index(folder, [CODES])
    assert len(index.search(descriptors[0], 5000, np.array([4, 2, 2]))[0]) == 2


def test_descriptors_are_stored_once_in_half_precision(folder: Path, descriptors: np.ndarray) -> None:
    index = read_index(folder, [CODES])
    assert (len(index), index.size) == (COUNT, SIZE)
    np.testing.assert_array_equal(index.descriptor(2999), descriptors[2999])
    assert not (folder / INDEX).exists()
    assert (folder / GLOBAL_DESCRIPTORS).stat().st_size == 128 + 2 * COUNT * SIZE


def test_codes_are_read_from_the_disk_and_not_into_memory(folder: Path) -> None:
    index = read_index(folder, [CODES])
    assert isinstance(index, CompressedIndex)
    assert isinstance(faiss.downcast_InvertedLists(index._lists.invlists), faiss.OnDiskInvertedLists)


def test_codes_of_an_older_map_are_read(folder: Path, tmp_path: Path, descriptors: np.ndarray) -> None:
    graph = faiss.IndexHNSWFlat(SIZE, 32, faiss.METRIC_INNER_PRODUCT)
    codes = faiss.IndexIVFPQ(graph, SIZE, 16, 4, 8, faiss.METRIC_INNER_PRODUCT)
    codes.pq.cp.niter = 2
    codes.train(descriptors)
    codes.add(descriptors)
    faiss.write_index(codes, str(tmp_path / CODES))
    (tmp_path / GLOBAL_DESCRIPTORS).write_bytes((folder / GLOBAL_DESCRIPTORS).read_bytes())
    found, similarities = read_index(tmp_path, [CODES]).search(descriptors[7], 3)
    assert found[0] == 7
    np.testing.assert_allclose(similarities, descriptors[found] @ descriptors[7], atol=1e-3)


def test_an_old_faiss_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss, "__version__", "1.8.0")
    with pytest.raises(MapError, match=r"faiss 1\.8\.0 cannot search .*: install 1\.9 or later"):
        read_index(folder, [CODES])


@pytest.mark.parametrize("size", [1, 2, 37, 70])
def test_descriptors_of_any_length_have_codes(tmp_path: Path, size: int) -> None:
    rows = np.random.default_rng(0).normal(size=(150, size)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    index = write_index(tmp_path, [rows], size, len(rows), exact_below=100)
    found, similarities = index.search(rows[11], 5)
    assert similarities[0] == pytest.approx(1.0, abs=2e-3)
    np.testing.assert_allclose(similarities, rows[found] @ rows[11], atol=2e-3)


@pytest.mark.parametrize("kind", [faiss.IndexFlatIP, lambda size: faiss.IndexHNSWFlat(size, 8)])
def test_an_index_of_another_kind_is_refused(
    folder: Path, tmp_path: Path, kind: Callable[[int], faiss.Index]
) -> None:
    index = kind(SIZE)
    index.add(np.zeros((COUNT, SIZE), np.float32))
    faiss.write_index(index, str(tmp_path / CODES))
    (tmp_path / GLOBAL_DESCRIPTORS).write_bytes((folder / GLOBAL_DESCRIPTORS).read_bytes())
    with pytest.raises(MapError, match=r"index of the type Index.*build the map again"):
        read_index(tmp_path, [CODES])


def test_codes_that_name_numbers_beyond_a_descriptor_are_refused(folder: Path, tmp_path: Path) -> None:
    owner = faiss.read_index(str(folder / CODES))
    codes = faiss.downcast_index(owner)
    assert isinstance(codes, faiss.IndexPreTransform)
    order = faiss.downcast_VectorTransform(codes.chain.at(0))  # type: ignore[attr-defined]
    assert isinstance(order, faiss.RemapDimensionsTransform)
    faiss.copy_array_to_vector(np.full(order.d_out, SIZE, np.int32), order.map)
    faiss.write_index(owner, str(tmp_path / CODES))
    (tmp_path / GLOBAL_DESCRIPTORS).write_bytes((folder / GLOBAL_DESCRIPTORS).read_bytes())
    with pytest.raises(MapError, match=r"parts do not fit together.*build the map again"):
        read_index(tmp_path, [CODES])


def test_a_small_map_gets_an_exact_index(tmp_path: Path, descriptors: np.ndarray) -> None:
    (tmp_path / CODES).write_bytes(b"of a build that was interrupted")
    index = write_index(tmp_path, [descriptors[:999]], SIZE, 999, exact_below=1000)
    assert isinstance(index, DescriptorIndex)
    assert not (tmp_path / CODES).exists()


@pytest.mark.parametrize("name", [CODES, GLOBAL_DESCRIPTORS])
def test_a_damaged_file_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    for file in (CODES, GLOBAL_DESCRIPTORS):
        (tmp_path / file).write_bytes((folder / file).read_bytes())
    (tmp_path / name).write_bytes(b"not an index")
    with pytest.raises(MapError, match="build the map again"):
        read_index(tmp_path, [CODES])


def test_too_few_descriptors_are_an_error(tmp_path: Path, descriptors: np.ndarray) -> None:
    with pytest.raises(MapError, match="10 of 1200 rows"):
        CompressedIndex.write([descriptors[:10]], SIZE, 1200, tmp_path / CODES, tmp_path / GLOBAL_DESCRIPTORS)
