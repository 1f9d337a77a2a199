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

"""Recall of places: known results, and properties of any ranking."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from scene_geo_loc.metrics.paired import compare_paired
from scene_geo_loc.metrics.recall import (
    DISTANCES_M,
    PROTOCOL,
    PlaceRecall,
    measure_recall,
    rank_references,
)


def at_angles(*degrees: float) -> NDArray[np.float32]:
    """Unit descriptors in the plane: the nearer two angles, the more similar."""
    radians = np.radians(np.array(degrees))
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def on_a_line(*metres: float) -> NDArray[np.float64]:
    return np.stack([np.array(metres), np.zeros(len(metres))], axis=1).astype(np.float64)


def with_distances(*metres: float) -> PlaceRecall:
    """Queries of which the most similar, and only, reference lies so far away."""
    count = len(metres)
    return measure_recall(at_angles(*[0.0] * count), on_a_line(*metres), at_angles(0.0), on_a_line(0.0))


def test_a_query_is_found_at_the_rank_of_its_first_reference_within_25_m() -> None:
    # The references from the most to the least similar lie 100, 26, 25 and 0 m away.
    measured = measure_recall(
        at_angles(0.0), on_a_line(0.0), at_angles(3.0, 1.0, 2.0, 4.0), on_a_line(25.0, 100.0, -26.0, 0.0)
    )
    assert measured.first_right.tolist() == [3]
    assert measured.recall_at_n[:4].tolist() == [0.0, 0.0, 1.0, 1.0]
    assert measured.mean_recall_1_to_5 == pytest.approx(3 / 5)
    assert measured.top1.tolist() == [1]
    assert measured.top1_distance_m.tolist() == [100.0]
    assert measured.chance == 2 / 4


def test_recall_counts_every_query_and_tells_which_could_not_be_found() -> None:
    measured = with_distances(10.0, 30.0, 400.0)
    assert measured.queries == 3
    assert measured.without_reference == 2
    assert measured.chance == pytest.approx(1 / 3)
    assert measured.at_n(1) == measured.at_n(25) == pytest.approx(1 / 3)


def test_a_true_threshold_includes_its_bound_and_a_plotted_one_is_stricter_by_a_metre() -> None:
    measured = with_distances(14.0, 15.0, 24.0, 25.0, 50.0)
    assert measured.at_d(15) == pytest.approx(2 / 5)
    assert measured.at_d(25) == pytest.approx(4 / 5)
    assert measured.at_d(50) == 1.0
    plotted = dict(zip(DISTANCES_M, measured.recall_at_d_as_plotted.tolist(), strict=True))
    # 14 m is not below 15 - 1 m, and 24 m is below 26 - 1 m.
    assert plotted[15] == 0.0
    assert plotted[16] == pytest.approx(1 / 5)
    assert plotted[26] == pytest.approx(3 / 5)
    assert plotted[50] == pytest.approx(4 / 5)


def test_of_equally_similar_references_the_earlier_one_ranks_first() -> None:
    same = np.tile(at_angles(33.0), (50, 1))
    assert rank_references(at_angles(40.0, 33.0), same, 25).tolist() == [list(range(25))] * 2


def test_the_record_names_its_protocol_for_every_number() -> None:
    record = with_distances(3.0, 70.0).to_dict()
    assert set(record) - set(PROTOCOL) == {
        "queries",
        "references",
        "queries_without_reference",
        "top1_distance_median_m",
    }
    assert record["recall_at_n"] == [0.5] * 25
    assert record["top1_distance_median_m"] == 36.5
    assert "25 m" in PROTOCOL["recall_at_n"]


@pytest.mark.parametrize(
    ("descriptors", "positions", "reason"),
    [
        (at_angles(), on_a_line(), "at least one"),
        (at_angles(1.0, 2.0), on_a_line(1.0), "position"),
        (np.full((1, 2), np.nan, np.float32), on_a_line(1.0), "finite"),
        (np.ones((1, 3), np.float32), on_a_line(1.0), "compared"),
    ],
)
def test_what_cannot_be_scored_is_refused(descriptors: Any, positions: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        measure_recall(descriptors, positions, at_angles(0.0), on_a_line(0.0))


@st.composite
def places(draw: st.DrawFn) -> PlaceRecall:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    queries, references = draw(st.integers(1, 12)), draw(st.integers(1, 60))
    return measure_recall(
        at_angles(*rng.uniform(0, 360, queries)),
        rng.uniform(0, 150, (queries, 2)),
        at_angles(*rng.uniform(0, 360, references)),
        rng.uniform(0, 150, (references, 2)),
    )


@settings(max_examples=60, deadline=None)
@given(places())
def test_recall_never_falls_with_n_or_with_d(measured: PlaceRecall) -> None:
    for shares in (measured.recall_at_n, measured.recall_at_d, measured.recall_at_d_as_plotted):
        assert (np.diff(shares) >= 0).all()
        assert shares[0] >= 0
        assert shares[-1] <= 1


@settings(max_examples=60, deadline=None)
@given(places())
def test_what_is_plotted_at_a_distance_is_the_truth_one_metre_before(measured: PlaceRecall) -> None:
    # Distances drawn at random are never whole metres, where `<` and `<=` would differ.
    assert measured.recall_at_d_as_plotted[1:].tolist() == measured.recall_at_d[:-1].tolist()


@settings(max_examples=60, deadline=None)
@given(places())
def test_top_1_within_25_m_is_recall_at_1_and_no_query_without_reference_is_found(
    measured: PlaceRecall,
) -> None:
    assert measured.at_d(25) == measured.at_n(1) == pytest.approx(measured.right.mean())
    assert measured.at_n(25) <= 1 - measured.without_reference / measured.queries + 1e-12


def test_two_systems_are_compared_query_by_query() -> None:
    first = np.array([1, 1, 1, 1, 1, 1, 0, 0], bool)
    second = np.array([1, 0, 0, 0, 0, 0, 0, 1], bool)
    compared = compare_paired(first, second)
    assert compared.better.tolist() == [1, 2, 3, 4, 5]
    assert compared.worse.tolist() == [7]
    # Five of six tosses of a coin, or more extreme: 2 (6 + 1) / 64.
    assert compared.p_value == pytest.approx(14 / 64)
    assert compared.to_dict() == {"better": 5, "worse": 1, "p_value": 0.2188}


def test_systems_that_agree_give_no_reason_to_prefer_one() -> None:
    answers = np.array([True, False])
    assert compare_paired(answers, answers).p_value == 1.0


def test_answers_to_different_queries_are_not_compared() -> None:
    with pytest.raises(ValueError, match="same queries"):
        compare_paired(np.ones(3, bool), np.ones(4, bool))
