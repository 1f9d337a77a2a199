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

"""Scores of place recognition: a ranking by descriptor, and re-ranked by matches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from textured import textured, write

import scene_geo_loc.benchmarks.real.place_sets as module
from scene_geo_loc.benchmarks.real.experiment import Tools
from scene_geo_loc.benchmarks.real.place_sets import Places, PlaceSet, SimilarityRanking, rank_sequences
from scene_geo_loc.benchmarks.real.results import RETRIEVAL
from scene_geo_loc.core.errors import SceneGeoLocError


class ByGreyValue:
    """Finds as many inliers as images are alike in their mean grey value."""

    def __init__(self, *_: object) -> None:
        pass

    def features(self, image: np.ndarray) -> Any:
        return float(image.mean())

    def inliers(self, query: float, reference: float) -> int:
        return round(255 - abs(query - reference))


def places(folder: Path, count: int = 10) -> Places:
    names = [f"{i}.png" for i in range(count)]
    for i, name in enumerate(names):
        for run in ("database", "queries"):
            write(folder / run / name, (textured(i) * ((i + 1) / count)).astype(np.uint8))
    return Places.by_number(
        "part", folder, [f"database/{name}" for name in names], [f"queries/{name}" for name in names], 0
    )


def test_a_matcher_re_ranks_and_the_database_is_described_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rankings: list[object] = []

    def rank(parts: Any, tools: Tools) -> Any:
        rankings.append(parts)
        # The right image is the fifth of each ranking, and the third with place keypoints.
        yield {
            method: SimilarityRanking(
                np.array([np.roll(np.arange(10), at - i) for i in range(10)]), ms, np.zeros((10, 10))
            )
            for method, at, ms in (("descriptor", 4, 7.0), (RETRIEVAL, 2, 8.0))
        }

    monkeypatch.setattr(module, "rank", rank)
    monkeypatch.setattr(module, "ImageMatcher", ByGreyValue)
    experiment = PlaceSet(tmp_path, [places(tmp_path)])
    tools = Tools(tmp_path)
    (by_descriptor,) = experiment.run("descriptor", tools)
    (by_both,) = experiment.run(RETRIEVAL, tools)
    (by_matcher,) = experiment.run("sift", tools)
    assert (by_descriptor.queries, by_descriptor.references) == (10, 10)
    assert by_descriptor.values == {"recall_1": 0.0, "recall_5": 1.0, "recall_10": 1.0, "ms": 7.0}
    assert by_both.values == {"recall_1": 0.0, "recall_5": 1.0, "recall_10": 1.0, "ms": 8.0}
    assert by_matcher.values["recall_1"] == 1.0
    assert len(rankings) == 1


def test_too_few_queries_are_refused_with_their_number(tmp_path: Path) -> None:
    with pytest.raises(SceneGeoLocError, match="3 queries < 10"):
        PlaceSet(tmp_path, [places(tmp_path, 3)]).run("descriptor", Tools(tmp_path))


def test_a_sequence_ranks_the_place_first_that_a_single_frame_confuses() -> None:
    """Frame 6 looks most like image 1, whose neighbours do not look like the frames before it."""
    alike = 0.9 * np.eye(10) + 0.1 * np.arange(10) / 100
    alike[6, 1] = 0.95
    ranked = np.argsort(-alike, axis=1)
    single = SimilarityRanking(ranked, 7.0, np.take_along_axis(alike, ranked, axis=1))
    assert single.ranked[6, 0] == 1
    sequence = rank_sequences(single, 3)
    assert sequence.ranked[:, 0].tolist() == list(range(10))
    assert sequence.ms == 7.0
    np.testing.assert_array_equal(np.sort(sequence.ranked, axis=1), np.sort(ranked, axis=1))
    np.testing.assert_array_equal(rank_sequences(single, 1).ranked, ranked)


def test_only_runs_have_sequences(tmp_path: Path) -> None:
    runs = Places.by_number("runs", tmp_path, ["a"], ["b"], 0)
    scattered = Places.by_distance("scattered", tmp_path, [("a", 0.0, 0.0)], [("b", 0.0, 0.0)], 25.0)
    assert PlaceSet(tmp_path, [runs]).methods(["sift"]) == [
        "descriptor",
        "descriptor and place keypoints",
        "descriptor and place keypoints, sequence of 3",
        "descriptor and place keypoints, sequence of 5",
        "sift",
    ]
    assert PlaceSet(tmp_path, [scattered]).methods(["sift"]) == ["descriptor", RETRIEVAL, "sift"]


def test_a_network_without_keypoints_leaves_their_method_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rank(parts: Any, tools: Tools) -> Any:
        yield {"descriptor": SimilarityRanking(np.tile(np.arange(10), (10, 1)), 7.0, np.zeros((10, 10)))}

    monkeypatch.setattr(module, "rank", rank)
    experiment = PlaceSet(tmp_path, [places(tmp_path)])
    with pytest.raises(SceneGeoLocError, match="no keypoints"):
        experiment.run(RETRIEVAL, Tools(tmp_path))
    (sequence,) = experiment.run(f"{RETRIEVAL}, sequence of 3", Tools(tmp_path))
    assert sequence.values["recall_10"] == 1.0


@pytest.mark.slow
def test_keypoints_that_lie_alike_tell_a_place_from_one_of_the_same_things(tmp_path: Path) -> None:
    """The database has each image, and its quarters in another order."""
    names: list[str] = []
    for i in range(10):
        image = textured(i)
        rows, columns = image.shape[0] // 2, image.shape[1] // 2
        write(tmp_path / f"database/{2 * i:02}.png", np.roll(image, 4, axis=1))
        write(tmp_path / f"database/{2 * i + 1:02}.png", np.roll(image, (rows, columns), axis=(0, 1)))
        write(tmp_path / f"queries/{i:02}.png", image)
        names += [f"database/{2 * i:02}.png", f"database/{2 * i + 1:02}.png"]
    queries = [f"queries/{i:02}.png" for i in range(10)]
    part = Places("part", tmp_path, names, queries, [np.array([2 * i]) for i in range(10)])
    experiment = PlaceSet(tmp_path, [part])
    (both,) = experiment.run(RETRIEVAL, Tools(tmp_path, device="cpu"))
    assert both.values["recall_1"] == 1.0
    (rankings,) = experiment._rankings
    margins = {method: -np.diff(ranking.similarities[:, :2], axis=1) for method, ranking in rankings.items()}
    assert (margins[RETRIEVAL] > 1.3 * margins["descriptor"]).all()
