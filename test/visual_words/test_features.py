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

import cv2
import numpy as np
import pytest

from scene_geo_loc.visual_words.features import MOST_POINTS, MOST_REGIONS, ROW_SHAPE, ImageFeatures, extract
from scene_geo_loc.visual_words.image_descriptor import VisualWords
from scene_geo_loc.visual_words.regions import sift_of_patches
from scene_geo_loc.visual_words.words import root_sift


def blobs(seed: int = 0, height: int = 180, width: int = 240) -> np.ndarray:
    """Returns a blurred image of ellipses of many shades, with noise."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), 128, np.uint8)
    for _ in range(60):
        centre = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        axes = (int(rng.integers(4, 20)), int(rng.integers(4, 20)))
        colour = [int(value) for value in rng.integers(0, 256, 3)]
        cv2.ellipse(image, centre, axes, float(rng.integers(0, 180)), 0, 360, colour, -1)
    blurred = cv2.GaussianBlur(image, (0, 0), 1.0).astype(np.float64)
    return np.clip(blurred + rng.normal(0, 1, image.shape), 0, 255).astype(np.uint8)


def resized(image: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def test_an_image_has_points_and_regions() -> None:
    features = extract(blobs())
    assert 20 < len(features.points) <= MOST_POINTS
    assert 5 < len(features.regions) <= MOST_REGIONS
    assert features.points.any(axis=1).all()
    assert features.regions.any(axis=1).all()


def test_a_row_keeps_the_features() -> None:
    features = extract(blobs())
    assert features.row.shape == ROW_SHAPE
    again = ImageFeatures.of_row(features.row)
    np.testing.assert_array_equal(again.points, features.points)
    np.testing.assert_array_equal(again.regions, features.regions)


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("shape", [(180, 240), (1, 1), (2, 50)])
def test_an_image_without_texture_has_no_features(value: int, shape: tuple[int, int]) -> None:
    features = extract(np.full((*shape, 3), value, np.uint8))
    assert len(features.points) == len(features.regions) == 0
    descriptor = VisualWords()
    assert not descriptor.is_fitted
    descriptor.fit(extract(blobs(i)).row for i in range(3))
    assert not descriptor.describe(np.full((60, 80, 3), value, np.uint8)).any()


def test_hidden_pixels_give_no_features() -> None:
    image, other = blobs(), blobs(1)
    visible = np.ones(image.shape[:2], bool)
    visible[:, 120:] = False
    changed = np.where(visible[..., None], image, other)
    assert not len(extract(image, np.zeros_like(visible)).points)
    assert not len(extract(image, np.zeros_like(visible)).regions)
    everything, part = extract(image), extract(image, visible)
    assert 5 < len(part.points) < len(everything.points)
    assert 0 < len(part.regions) < len(everything.regions)
    # What is there instead of the hidden pixels reaches a few features at most.
    kept = {bytes(row) for row in extract(changed, visible).points}
    assert sum(bytes(row) in kept for row in part.points) > 0.8 * len(part.points)


def test_a_large_image_is_reduced_with_its_mask() -> None:
    image = resized(blobs(), 1200, 900)
    visible = np.ones((900, 1200), bool)
    assert len(extract(image, visible).points) == len(extract(image).points)
    visible[:, 600:] = False
    assert 0 < len(extract(image, visible).points) < len(extract(image).points)


def test_a_region_keeps_its_description_when_it_is_stretched() -> None:
    image = blobs(4)
    stretched = resized(image, 336, 180)
    before, after = (root_sift(extract(each).regions) for each in (image, stretched))
    similarity = (before @ after.T).max(axis=1)
    others = (before @ root_sift(extract(blobs(5)).regions).T).max(axis=1)
    assert np.median(similarity) > 0.97 > np.median(others) + 0.02


def test_the_histogram_of_a_ramp_is_in_the_direction_of_its_slope() -> None:
    ramp = np.tile(np.arange(32, dtype=np.float32), (32, 1))
    patches = np.stack([ramp, ramp.T, -ramp, np.zeros((32, 32), np.float32)])
    histograms = sift_of_patches(patches).reshape(4, 16, 8)
    # Bins are 45 degrees apart from the direction of x towards that of y.
    for patch, orientation in ((0, 0), (1, 2), (2, 4)):
        assert histograms[patch, :, orientation].all()
        assert not np.delete(histograms[patch], orientation, axis=1).any()
    assert not histograms[3].any()


def test_words_follow_the_images_that_show_the_same() -> None:
    images = [blobs(i) for i in range(6)]
    descriptor = VisualWords()
    descriptor.fit(descriptor.features(image) for image in images)
    described = np.stack([descriptor.describe(image) for image in images])
    np.testing.assert_array_equal(described[2], descriptor.describe_features(descriptor.features(images[2])))
    moved = np.stack([descriptor.describe(np.roll(image, 9, axis=1)) for image in images])
    assert ((moved @ described.T).argmax(axis=1) == np.arange(6)).all()
