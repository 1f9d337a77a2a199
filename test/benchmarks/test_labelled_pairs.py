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

"""Descriptors scored on labelled pairs."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scene_geo_loc.benchmarks.descriptors.labelled_pairs import LabelledPairs, average_precision, score_pairs
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.networks.runtime.image_descriptors import Descriptors


def at_angles(**degrees: float) -> Descriptors:
    """Named unit descriptors in the plane: the nearer two angles, the more similar."""
    radians = np.radians(list(degrees.values()))
    return Descriptors(
        np.array(list(degrees)), np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)
    )


def pairs(*rows: tuple[str, str, bool]) -> LabelledPairs:
    return LabelledPairs([q for q, _, _ in rows], [d for _, d, _ in rows], np.array([m for _, _, m in rows]))


def precision_of(scores: list[float], labels: list[int]) -> float:
    return average_precision(np.array(scores), np.array(labels, bool))


def test_average_precision_is_the_mean_of_the_precisions_at_the_matches() -> None:
    # Matches at ranks 1, 3 and 4: (1/1 + 2/3 + 3/4) / 3.
    assert precision_of([0.9, 0.8, 0.7, 0.6, 0.5], [1, 0, 1, 1, 0]) == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    assert precision_of([0.1, 0.9], [0, 1]) == 1.0
    assert precision_of([0.1, 0.9], [1, 0]) == 0.5


def test_pairs_that_score_the_same_count_as_one_step_in_whatever_order_they_come() -> None:
    # One match of two at the first step, two of three at the second.
    expected = (1 / 2 + 2 / 3) / 2
    assert precision_of([0.9, 0.9, 0.2], [1, 0, 1]) == pytest.approx(expected)
    assert precision_of([0.9, 0.9, 0.2], [0, 1, 1]) == pytest.approx(expected)
    assert precision_of([0.5] * 4, [0, 1, 0, 0]) == 0.25


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=30), st.randoms())
def test_average_precision_is_between_zero_and_one_and_knows_no_order(
    scored: list[tuple[int, bool]], random: Random
) -> None:
    scored = [*scored, (3, True)]
    value = precision_of(*map(list, zip(*scored, strict=True)))  # type: ignore[arg-type]
    assert 0 < value <= 1
    random.shuffle(scored)
    assert precision_of(*map(list, zip(*scored, strict=True))) == pytest.approx(value)  # type: ignore[arg-type]


def test_a_query_is_right_if_its_most_similar_labelled_image_matches() -> None:
    scores = score_pairs(
        pairs(("q", "near", True), ("q", "far", False), ("r", "near", False), ("r", "far", True)),
        at_angles(q=0, near=10, far=60, r=25),
    )
    assert (scores.queries, scores.best_is_match) == (2, 1)
    # By similarity: near to q (a match), near to r, far to r (a match), far to q.
    assert scores.average_precision == pytest.approx((1 + 2 / 3) / 2)
    assert scores.to_dict()["best_is_match_share"] == 0.5


def test_a_tie_with_an_image_that_is_no_match_is_not_right() -> None:
    scores = score_pairs(pairs(("q", "left", True), ("q", "twin", False)), at_angles(q=0, left=10, twin=10))
    assert scores.best_is_match == 0


def test_queries_without_a_match_count_for_precision_alone() -> None:
    scores = score_pairs(pairs(("q", "a", True), ("lone", "b", False)), at_angles(q=0, a=10, lone=90, b=91))
    assert (scores.pairs, scores.queries, scores.best_is_match) == (2, 1, 1)
    assert scores.average_precision == 0.5


def test_pairs_without_descriptors_are_left_out_and_counted() -> None:
    scores = score_pairs(pairs(("q", "a", True), ("q", "unreadable", True)), at_angles(q=0, a=10))
    assert (scores.pairs, scores.left_out) == (1, 1)


def test_descriptors_of_other_images_are_refused() -> None:
    with pytest.raises(SceneGeoLocError, match=r"none of the pairs' images such as q\.jpg"):
        score_pairs(pairs(("q.jpg", "a.jpg", True)), at_angles(b=0))


def test_pairs_without_a_match_are_refused() -> None:
    with pytest.raises(SceneGeoLocError, match="labelled a match"):
        score_pairs(pairs(("q", "a", False)), at_angles(q=0, a=1))


def test_a_file_of_pairs_is_read(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text(
        'query,database,same_place\n"a, b.jpg",c.jpg,1\nd.jpg,e.jpg,False\n\n'
    )
    loaded = LabelledPairs.load(tmp_path / "pairs.csv")
    assert loaded.queries == ["a, b.jpg", "d.jpg"]
    assert loaded.database == ["c.jpg", "e.jpg"]
    assert loaded.match.tolist() == [True, False]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "should begin with the columns"),
        ("image,other,label\n", "should begin with the columns"),
        ("query,database\na,b\n", "should begin with the columns"),
        ("query,database,label\na,b,1\na,b,maybe\n", "line 3: expected two names and a label"),
        ("query,database,label\na,b\n", "line 2: expected two names and a label"),
    ],
)
def test_a_file_that_holds_no_pairs_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(SceneGeoLocError, match=reason):
        LabelledPairs.load(tmp_path / "pairs.csv")


def test_a_missing_or_binary_file_of_pairs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SceneGeoLocError, match="cannot be read as a CSV file"):
        LabelledPairs.load(tmp_path / "pairs.csv")
    (tmp_path / "pairs.csv").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(SceneGeoLocError, match="cannot be read as a CSV file"):
        LabelledPairs.load(tmp_path / "pairs.csv")
