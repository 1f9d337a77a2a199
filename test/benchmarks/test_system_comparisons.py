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

"""Choice of the systems that are compared, and the texts on their differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_benchmark import RGB, RGBTD, benchmark, run, system

from scene_geo_loc.benchmarks.descriptors import comparisons
from scene_geo_loc.benchmarks.descriptors.comparisons import (
    compare_systems,
    mean_comparisons,
    paper_comparisons,
    to_record,
)
from scene_geo_loc.metrics.paired import paired_difference

ALL = [True] * 10
NONE = [False] * 10
HALF = [True] * 5 + [False] * 5


def names(found: list) -> list[tuple[str, str]]:
    return [(str(one.first.system), str(one.second.system)) for one in found]


def test_the_difference_is_the_mean_over_queries_in_points() -> None:
    difference = paired_difference([np.array([1.0, 0.0, 0.0, -1.0, 1.0])])
    assert difference.points == pytest.approx(20.0)
    assert difference.low < 0 < difference.high
    assert not difference.is_significant


def test_sets_of_queries_count_alike_however_many_queries_they_have() -> None:
    difference = paired_difference([np.ones(10), np.zeros(1000)])
    assert difference.points == pytest.approx(50.0)
    assert (difference.low, difference.high) == (pytest.approx(50.0), pytest.approx(50.0))
    assert difference.is_significant


def test_the_interval_is_as_wide_as_the_normal_approximation_has_it() -> None:
    differences = np.random.default_rng(3).choice([-1.0, 0.0, 1.0], 400, p=[0.1, 0.7, 0.2])
    difference = paired_difference([differences])
    half = 100 * 1.96 * differences.std() / np.sqrt(len(differences))
    assert difference.high - difference.low == pytest.approx(2 * half, rel=0.06)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0]), min_size=1, max_size=40))
def test_the_difference_turns_its_sign_with_the_systems(differences: list[float]) -> None:
    forth, back = paired_difference([np.array(differences)]), paired_difference([-np.array(differences)])
    assert forth.points == pytest.approx(-back.points)
    assert forth.low <= forth.points + 1e-9
    assert forth.points - 1e-9 <= forth.high


@pytest.mark.parametrize("by_query", [[], [np.array([])]])
def test_no_queries_make_no_difference(by_query: list) -> None:
    with pytest.raises(ValueError, match="at least one"):
        paired_difference(by_query)


def test_seeds_are_averaged_and_each_is_tested_on_its_own() -> None:
    first = system("a", RGBTD, [run({"snow": ALL}, 0), run({"snow": HALF}, 1)])
    second = system("b", RGB, [run({"snow": NONE}, 0), run({"snow": HALF}, 1), run({"snow": NONE}, 2)])
    difference = compare_systems(first, second).scenarios["snow"]
    # Of the first five queries 2/2 against 1/3 of the seeds, of the others 1/2 against none.
    assert difference.recall_at_1.points == pytest.approx(100 * (2 / 3 + 1 / 2) / 2)
    assert (difference.better, difference.worse) == (10, 0)
    assert [(one.seed, one.better, one.worse) for one in difference.seeds] == [(0, 10, 0), (1, 0, 0)]
    assert [one.points for one in difference.seeds] == [pytest.approx(100.0), 0.0]
    assert difference.seeds[0].p_value == pytest.approx(2 / 2**10)
    assert difference.seeds[1].p_value == 1.0


def test_sunny_and_long_term_count_alike() -> None:
    first = system("a", RGBTD, [run({"sunny": ALL, "long-term": NONE[:2]})])
    second = system("b", RGB, [run({"sunny": NONE, "long-term": [True, False]})])
    compared = compare_systems(first, second)
    difference = compared.means["sunny and long-term"]
    assert difference.recall_at_1.points == pytest.approx((100 - 50) / 2)
    assert difference.seeds[0].points == pytest.approx(25.0)
    assert (difference.better, difference.worse) == (10, 1)
    assert set(compared.means) == {"sunny and long-term"}


def test_the_papers_own_is_compared_with_what_the_paper_compares_it_with() -> None:
    answers = [run({"snow": HALF})]
    found = paper_comparisons(
        benchmark(
            [
                system("RGB", RGB, answers),
                system("RGB+", {**RGB, "descriptor": "rgb_plus", "colouring": "smooth"}, answers),
                system("Hallucination", {**RGB, "descriptor": "hallucination"}, answers),
                system("RGBtD", RGBTD, answers),
                system("RGB, NetVLAD", {**RGB, "pooling": "netvlad"}, answers),
                system("RGB, full", RGB, answers, protocol="full"),
            ]
        )
    )
    assert names(found) == [("RGBtD", "RGB"), ("RGBtD", "RGB+"), ("RGBtD", "Hallucination")]


def test_a_switch_is_compared_with_the_system_without_it_and_with_images_alone() -> None:
    answers = [run({"snow": HALF})]
    found = paper_comparisons(
        benchmark(
            [
                system("RGB", RGB, answers),
                system("Hallucination", {**RGB, "descriptor": "hallucination"}, answers),
                system("RGBtD", RGBTD, answers),
                system("gated", {**RGBTD, "fusion": "gated"}, answers),
            ]
        )
    )
    assert names(found)[2:] == [("gated", "RGB"), ("gated", "RGBtD")]


def test_a_gain_by_augmentation_is_not_taken_for_one_by_depth() -> None:
    answers = [run({"snow": HALF})]
    augmented = {"augmentation": True}
    found = paper_comparisons(
        benchmark(
            [
                system("RGB", {**RGB, "augmentation": False}, answers),
                system("RGB, augmented", {**RGB, **augmented}, answers),
                system("RGBtD, augmented", {**RGBTD, **augmented}, answers),
            ]
        )
    )
    assert names(found) == [("RGB, augmented", "RGB"), ("RGBtD, augmented", "RGB, augmented")]


def test_what_was_fine_tuned_is_compared_with_the_seeds_that_were() -> None:
    other = run({"night": ALL}, 1, digest="def")
    before = system("RGBtD", RGBTD, [run({"night": NONE}, 0, digest="abc"), other])
    after = system("RGBtD, tuned", RGBTD, [run({"night": ALL}, 0, parent="abc")], protocol="depth")
    (found,) = paper_comparisons(benchmark([before, after]))
    assert found.scenarios["night"].recall_at_1.points == pytest.approx(100.0)


def test_what_was_fine_tuned_is_compared_with_what_it_was_before() -> None:
    before = system("RGBtD", RGBTD, [run({"night": HALF}, digest="abc")])
    after = system("RGBtD, tuned", RGBTD, [run({"night": ALL}, parent="abc")], protocol="depth")
    (found,) = paper_comparisons(benchmark([before, after]))
    assert names([found]) == [("RGBtD, tuned", "RGBtD")]
    assert found.means["night"].recall_at_1.points == pytest.approx(50.0)


def test_whitened_descriptors_are_compared_with_those_of_the_same_size() -> None:
    answers = [run({"snow": HALF})]
    rows = [
        system(name, traits, answers, whitened=size)
        for name, traits in (("RGB", RGB), ("RGBtD", RGBTD))
        for size in (None, 512)
    ]
    assert names(paper_comparisons(benchmark(rows))) == [
        ("RGBtD", "RGB"),
        ("RGBtD, PCA-whitened to 512", "RGB, PCA-whitened to 512"),
    ]


def test_the_gain_is_averaged_over_pairs_of_encoder_and_pooling_as_in_the_abstract() -> None:
    netvlad = {"pooling": "netvlad"}
    made = benchmark(
        [
            system("1", RGB, [run({"snow": NONE})]),
            system("2", RGBTD, [run({"snow": ALL})]),
            system("3", {**RGB, **netvlad}, [run({"snow": HALF})]),
            system("4", {**RGBTD, **netvlad}, [run({"snow": HALF})]),
        ]
    )
    (over,) = mean_comparisons(made)
    assert (over.first, over.second, over.pairs) == ("rgbtd", "rgb", ["MAC (A)", "NetVLAD (A)"])
    assert over.means["snow"].points == pytest.approx(50.0)
    words = comparisons.comparison_texts(made)
    assert words[0].title == "RGBtD against RGB, mean over 2 pairs (MAC (A), NetVLAD (A)), protocol reduced"


def test_sentences_give_the_interval_and_its_significance() -> None:
    compared = compare_systems(
        system("a", RGBTD, [run({"snow": ALL})]), system("b", RGB, [run({"snow": HALF})])
    )
    words = comparisons.comparison_text(compared)
    assert words.title == "a against b, protocol reduced"
    (sentence,) = words.sentences
    assert sentence.startswith("snow: +50.0 points (95 % CI +20.0 to +80.0, significant); ")
    assert sentence.endswith("5 queries better, 0 worse; seed 0: +50.0 (p = 0.062).")
    alike = compare_systems(compared.first, compared.first)
    assert (
        "+0.0 points (95 % CI +0.0 to +0.0, not significant)"
        in comparisons.comparison_text(alike).sentences[0]
    )


def test_the_record_compares_every_system_with_the_first() -> None:
    rows = [system(name, RGB, [run({"snow": HALF})], protocol="") for name in ("one", "two", "three")]
    record = to_record(benchmark(rows))
    against = record["against_the_first_system"]
    assert [(one["system"], one["against"]) for one in against] == [("two", "one"), ("three", "one")]
    assert against[0]["scenarios"]["snow"]["interval_95"] == [0.0, 0.0]
    assert record["comparisons"] == []
