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
from safetensors.numpy import save_file

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.mapping.search.co_similarity import (
    FARTHEST_M,
    MOST_NEIGHBOURS,
    NEAREST_M,
    CoSimilarity,
    near_m,
)
from scene_geo_loc.mapping.search.index import DescriptorIndex
from scene_geo_loc.visual_words.inverted_file import InvertedFile


def poses(x: list[float]) -> np.ndarray:
    T = np.tile(np.eye(4), (len(x), 1, 1))
    T[:, 0, 3] = x
    return T


# Two streets of three places; the last place of the second looks like the first street.
X = [0.0, 2.0, 4.0, 100.0, 102.0, 104.0]
ROWS = np.array([[0.8, 0.6, 0], [1, 0, 0], [0.6, 0.8, 0], [0, 0, 1], [0, 0.6, 0.8], [1, 0, 0]], np.float32)


@pytest.mark.parametrize("kind", ["dense", "words"])
def test_similar_keyframes_near_each_other_are_co_similar(kind: str) -> None:
    index: DescriptorIndex | InvertedFile = DescriptorIndex.build(ROWS)
    if kind == "words":
        index = InvertedFile.build(ROWS, 3)
    graph = CoSimilarity.of(index, poses(X))
    # Similarities of pairs elsewhere, sorted: ... 0.8, 0.8, 1, 1; what is no more similar is chance.
    assert len(graph) == 6
    assert graph.neighbours(5)[0].tolist() == []
    found = {k: graph.neighbours(k)[0].tolist() for k in range(6)}
    assert all(abs(X[k] - X[other]) < 10 for k, others in found.items() for other in others)


def test_the_neighbours_are_the_most_similar_ones_first() -> None:
    angles = np.linspace(0, 0.4, 30)
    rows = np.zeros((60, 32), np.float32)
    rows[:30, 0], rows[:30, 1] = np.cos(angles), np.sin(angles)
    rows[30 + np.arange(30), 2 + np.arange(30)] = 1  # elsewhere, like nothing
    graph = CoSimilarity.of(DescriptorIndex.build(rows), poses([*np.arange(30) * 0.2, *1000 + np.arange(30)]))
    neighbours, similarities = graph.neighbours(15)
    assert len(neighbours) == MOST_NEIGHBOURS
    assert set(neighbours) == {11, 12, 13, 14, 16, 17, 18, 19}
    assert (np.diff(similarities) <= 0).all()
    np.testing.assert_allclose(similarities, rows[neighbours] @ rows[15], atol=2e-3)


def test_votes_support_what_is_co_similar() -> None:
    graph = CoSimilarity(
        np.array([0, 2, 3, 3], np.int64),
        np.array([1, 2, 0], np.uint32),
        np.array([0.5, 0.25, 0.5], np.float16),
    )
    support = graph.support(np.array([0, 1, 2]), np.array([1, 2]), np.array([0.8, 0.4]))
    np.testing.assert_allclose(support, [(0.5 * 0.8 + 0.25 * 0.4) / 0.75, 0, 0])


def test_near_follows_from_the_distance_between_places() -> None:
    views = np.repeat(np.arange(5) * 18.0, 10)
    assert near_m(poses(list(views))[:, :3, 3]) == pytest.approx(54)
    assert near_m(poses([0, 0.5, 1.0])[:, :3, 3]) == NEAREST_M
    assert near_m(poses([0, 500.0])[:, :3, 3]) == FARTHEST_M
    assert near_m(poses([3.0, 3.0])[:, :3, 3]) == NEAREST_M


def test_a_single_keyframe_has_no_others() -> None:
    graph = CoSimilarity.of(DescriptorIndex.build(ROWS[:1]), poses([0.0]))
    assert graph.neighbours(0)[0].tolist() == []


def test_a_file_keeps_it(tmp_path: Path) -> None:
    graph = CoSimilarity.of(DescriptorIndex.build(ROWS), poses(X))
    graph.save(tmp_path / "it.safetensors")
    again = CoSimilarity.read(tmp_path / "it.safetensors", 6)
    for name, array in vars(graph).items():
        np.testing.assert_array_equal(getattr(again, name), array)
    with pytest.raises(MapError, match="not of 7 keyframes"):
        CoSimilarity.read(tmp_path / "it.safetensors", 7)


@pytest.mark.parametrize(
    "changed",
    [
        {"starts": np.array([0, 3, 2, 3], np.int64)},
        {"starts": np.zeros(0, np.int64)},
        {"keyframes": np.array([1, 2, 9], np.uint32)},
        {"similarities": np.array([1, np.inf, 0.5], np.float16)},
        {"similarities": np.ones(3)},
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, changed: dict[str, np.ndarray]) -> None:
    arrays: dict[str, np.ndarray] = {
        "starts": np.array([0, 2, 3, 3], np.int64),
        "keyframes": np.array([1, 2, 0], np.uint32),
        "similarities": np.ones(3, np.float16),
    }
    path = tmp_path / "it.safetensors"
    save_file(arrays, path)
    assert len(CoSimilarity.read(path, 3)) == 3
    save_file({**arrays, **changed}, path)
    with pytest.raises(MapError, match="co-similarity"):
        CoSimilarity.read(path, 3)
