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

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from scene_geo_loc.core.errors import CheckpointError
from scene_geo_loc.visual_words.features import ImageFeatures
from scene_geo_loc.visual_words.vocabulary import (
    FORMAT,
    METADATA_KEY,
    POINTS_SHARE,
    Vocabulary,
    inverse_document_frequency,
    tf_idf,
    unit,
)
from scene_geo_loc.visual_words.words import FEATURES_PER_WORD, Words, root_sift

NONE = np.zeros((0, 128), np.uint8)


def toy_words(count: int) -> tuple[Words, np.ndarray]:
    """Returns words, and a histogram (count, 128) that is each of them."""
    histograms = np.zeros((count, 128), np.uint8)
    histograms[np.arange(count), 3 * np.arange(count)] = 200
    return Words(root_sift(histograms).astype(np.float16)), histograms


def image(histograms: np.ndarray, words: list[int], regions: list[int] = []) -> ImageFeatures:  # noqa: B006
    return ImageFeatures(histograms[words], histograms[regions])


@pytest.fixture
def toy() -> tuple[Vocabulary, np.ndarray]:
    words, histograms = toy_words(3)
    idf = np.array([np.log(4), np.log(2), 0], np.float32)
    return Vocabulary(words, words, idf, idf, 4), histograms


def test_the_idf_is_the_logarithm_of_images_over_those_that_show_the_word() -> None:
    counts = [np.array(image) for image in ([3, 1, 0, 1], [0, 2, 0, 1], [0, 0, 0, 5], [0, 0, 0, 1])]
    idf = inverse_document_frequency(counts)
    np.testing.assert_allclose(idf, [np.log(4), np.log(2), np.log(4), 0], rtol=1e-6)


def test_tf_idf_is_the_share_of_the_word_times_its_idf() -> None:
    weighted = tf_idf(np.array([3, 1, 0]), np.array([0.5, 2.0, 9.0], np.float32))
    np.testing.assert_allclose(weighted, [0.375, 0.5, 0])


def test_the_description_is_both_bags_of_unit_length_with_their_shares(
    toy: tuple[Vocabulary, np.ndarray],
) -> None:
    vocabulary, histograms = toy
    described = vocabulary.describe(image(histograms, [0, 0, 1, 2], [1, 2]))
    # Points: 2/4 ln 4 and 1/4 ln 2 are as 4 to 1; regions: only the second word has a weight.
    points = np.sqrt(POINTS_SHARE) * np.array([4, 1, 0]) / np.sqrt(17)
    np.testing.assert_allclose(described, [*points, 0, np.sqrt(1 - POINTS_SHARE), 0], rtol=1e-5)


def test_images_that_share_words_are_more_similar(toy: tuple[Vocabulary, np.ndarray]) -> None:
    vocabulary, histograms = toy
    query, same, other = (
        vocabulary.describe(image(histograms, words)) for words in ([0, 1, 1], [0, 1, 2], [1, 2, 2])
    )
    # By hand: (ln4, 2 ln2) = ln2 (2, 2); (ln4, ln2) = ln2 (2, 1); (0, ln2) = ln2 (0, 1).
    assert query @ same == pytest.approx(6 / np.sqrt(8 * 5))
    assert query @ other == pytest.approx(2 / np.sqrt(8))


@pytest.mark.parametrize("words", [[], [2, 2]])
def test_an_image_without_words_that_tell_anything_is_described_by_zeros(
    toy: tuple[Vocabulary, np.ndarray], words: list[int]
) -> None:
    vocabulary, histograms = toy
    assert not vocabulary.describe(image(histograms, words)).any()


def random_images(count: int = 4, seed: int = 0) -> list[ImageFeatures]:
    rng = np.random.default_rng(seed)
    return [
        ImageFeatures(*(rng.integers(0, 200, (size, 128), np.uint8) for size in (40, 15)))
        for _ in range(count)
    ]


def test_the_words_are_limited_by_the_features_there_are() -> None:
    vocabulary = Vocabulary.fit(random_images())
    assert len(vocabulary.points) == 4 * 40 // FEATURES_PER_WORD
    assert len(vocabulary.regions) == 4 * 15 // FEATURES_PER_WORD
    assert vocabulary.size == 44
    few = Vocabulary.fit(random_images(), point_words=7, region_words=3)
    assert (len(few.points), len(few.regions)) == (7, 3)


def test_a_fit_is_repeatable() -> None:
    assert Vocabulary.fit(random_images()).digest == Vocabulary.fit(random_images()).digest
    assert Vocabulary.fit(random_images()).digest != Vocabulary.fit(random_images(seed=1)).digest


def test_images_without_regions_are_described_by_points_alone() -> None:
    images = [ImageFeatures(given.points, NONE) for given in random_images()]
    vocabulary = Vocabulary.fit(images)
    assert len(vocabulary.regions) == 0
    assert np.linalg.norm(vocabulary.describe(images[0])) == pytest.approx(1)


def test_nothing_is_fitted_to_too_few_images_or_points() -> None:
    with pytest.raises(CheckpointError, match="at least 2 images"):
        Vocabulary.fit(random_images(1))
    with pytest.raises(CheckpointError, match="show 0 points"):
        Vocabulary.fit([ImageFeatures(NONE, NONE)] * 3)


@given(st.lists(st.lists(st.integers(0, 2), max_size=6), min_size=2, max_size=4))
def test_descriptions_are_finite_and_similar_to_themselves_alone_at_most(images: list[list[int]]) -> None:
    words, histograms = toy_words(3)
    idf = inverse_document_frequency([words.counts(histograms[image]) for image in images])
    vocabulary = Vocabulary(words, words, idf, idf, len(images))
    described = [vocabulary.describe(image(histograms, words_of, words_of[:2])) for words_of in images]
    for descriptor in described:
        length = np.linalg.norm(descriptor)
        assert length == 0 or length == pytest.approx(1, abs=1e-5)
    similarities = np.stack(described) @ np.stack(described).T
    assert ((similarities >= 0) & (similarities <= 1 + 1e-5)).all()


def test_a_file_keeps_the_vocabulary(tmp_path: Path) -> None:
    vocabulary = Vocabulary.fit(random_images(), source="a walk")
    vocabulary.save(tmp_path / "words.safetensors")
    again = Vocabulary.read(tmp_path / "words.safetensors")
    assert (again.digest, again.images, again.source) == (vocabulary.digest, 4, "a walk")
    features = random_images(1, seed=5)[0]
    np.testing.assert_array_equal(again.describe(features), vocabulary.describe(features))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"There is no vocabulary at .*words\.safetensors"):
        Vocabulary.read(tmp_path / "words.safetensors")
    (tmp_path / "folder").mkdir()
    with pytest.raises(CheckpointError, match="not a regular file"):
        Vocabulary.read(tmp_path / "folder")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"points.words": np.zeros((8, 64), np.float16)}, "words of points have the shape"),
        ({"points.words": np.zeros((8, 128), np.float32)}, "float32"),
        ({"points.words": np.full((8, 128), np.nan, np.float16)}, "not finite"),
        ({"points.idf": np.zeros(7, np.float32)}, "weights of points have the shape"),
        ({"regions.idf": np.full(4, -1, np.float32)}, "negative"),
        (
            {"points.words": np.zeros((0, 128), np.float16), "points.idf": np.zeros(0, np.float32)},
            "no words",
        ),
        ({"points.idf": None}, "points.idf"),
    ],
)
def test_a_damaged_file_is_refused(
    tmp_path: Path, changed: dict[str, np.ndarray | None], message: str
) -> None:
    tensors: dict[str, np.ndarray | None] = {
        "points.words": np.ones((8, 128), np.float16),
        "points.idf": np.ones(8, np.float32),
        "regions.words": np.ones((4, 128), np.float16),
        "regions.idf": np.ones(4, np.float32),
    }
    path = tmp_path / "words.safetensors"
    values = {**FORMAT.header, "images": 3, "source": "", "points_share": 0.5}
    metadata = {METADATA_KEY: json.dumps(values)}
    save_file(tensors, path, metadata)  # type: ignore[arg-type]
    assert Vocabulary.read(path).size == 12
    kept = {name: array for name, array in {**tensors, **changed}.items() if array is not None}
    save_file(kept, path, metadata)
    with pytest.raises(CheckpointError, match=message):
        Vocabulary.read(path)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "has the format None"),
        ({METADATA_KEY: "no JSON"}, "holds no vocabulary"),
        ({METADATA_KEY: json.dumps({"format": FORMAT.name, "format_version": 99})}, "version 99"),
        ({METADATA_KEY: json.dumps({**FORMAT.header, "images": -1, "source": ""})}, "-1 images"),
        (
            {METADATA_KEY: json.dumps({**FORMAT.header, "images": 3, "source": "", "points_share": 1.5})},
            "share of its points is 1.5",
        ),
    ],
)
def test_a_file_of_another_kind_or_version_is_refused(
    tmp_path: Path, metadata: dict[str, str], message: str
) -> None:
    path = tmp_path / "words.safetensors"
    save_file({"points.words": np.ones((8, 128), np.float16)}, path, metadata)
    with pytest.raises(CheckpointError, match=message):
        Vocabulary.read(path)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(CheckpointError, match="holds no vocabulary"):
        Vocabulary.read(path)


def test_unit_keeps_zeros() -> None:
    np.testing.assert_array_equal(unit(np.zeros(3)), np.zeros(3))
    np.testing.assert_allclose(unit(np.array([3.0, 4.0])), [0.6, 0.8])
