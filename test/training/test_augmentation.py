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

"""Random changes of an image each time that it is used in training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pictures import readers_for, write_pictures

from scene_geo_loc.packs.image_pack import ImagePack
from scene_geo_loc.packs.packing import make_pack
from scene_geo_loc.training.common.augmentation import augment, draw_sample

SEEDS = range(300)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> ImagePack:
    """One image, with unknown depth at its top and metres that grow with its red."""
    folder: Path = tmp_path_factory.mktemp("augmentation")
    pictures = write_pictures(folder / "in", 1)
    return make_pack(folder / "pack", pictures, lambda: readers_for(pictures), source="x", workers=1)


@pytest.fixture(scope="module")
def street() -> np.ndarray:
    """Something with light, shadow and colours."""
    return np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8).repeat(28, 0).repeat(28, 1)


def test_image_and_depth_map_are_cropped_alike(pack: ImagePack) -> None:
    for seed in range(20):
        image, depth = draw_sample(pack, 0, np.random.default_rng(seed), augmentation=False)
        assert image.shape == (224, 224, 3)
        assert depth.shape == (224, 224)
        known = np.isfinite(depth)
        # As large as in a crop, it would be at 224/280 of its depth in the squashed image.
        assert np.abs((depth[known] / 0.8 - 1.0) / 0.1 - image[known][:, 0]).max() < 3.5
        assert (image[~known][:, 1] < 45).all()
        assert (image[known][:, 1] > 35).all()


def test_crops_reach_every_part_of_an_image(pack: ImagePack) -> None:
    corners = [draw_sample(pack, 0, np.random.default_rng(seed), False)[0][0, 0, :2] for seed in SEEDS]
    left, top = np.array(corners).T.astype(float)
    assert (left.min(), top.min()) <= (3, 3)
    assert left.max() == pytest.approx(255 * (373 - 224) / 373, abs=5)
    assert top.max() == pytest.approx(255 * (280 - 224) / 280, abs=5)
    assert abs(np.corrcoef(left, top)[0, 1]) < 0.2


def test_augmentation_changes_neither_crops_nor_depth_maps_nor_the_pack(pack: ImagePack) -> None:
    before = pack.image(0).copy()
    plain, augmented = np.random.default_rng(3), np.random.default_rng(3)
    for _ in range(5):
        image, depth = draw_sample(pack, 0, plain, augmentation=False)
        changed, same = draw_sample(pack, 0, augmented, augmentation=True)
        np.testing.assert_array_equal(depth, same)
        assert (image != changed).any()
    np.testing.assert_array_equal(pack.image(0), before)


@given(
    image=hnp.arrays(np.uint8, st.tuples(st.integers(2, 20), st.integers(2, 20), st.just(3))),
    seed=st.integers(0, 2**32),
)
@settings(deadline=None)
def test_any_image_stays_an_image_and_the_generator_decides_how_it_changes(image: Any, seed: int) -> None:
    before = image.copy()
    changed = augment(image, np.random.default_rng(seed))
    assert (changed.shape, changed.dtype) == (image.shape, np.uint8)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(changed, augment(image, np.random.default_rng(seed)))


def test_images_become_darker_and_brighter_warmer_and_colder_grey_and_dim_but_never_empty(
    street: np.ndarray,
) -> None:
    changed = np.array([augment(street, np.random.default_rng(seed)) for seed in SEEDS], np.float32)
    means = changed.mean(axis=(1, 2, 3)) / street.mean()
    assert means.min() < 0.2
    assert means.max() > 1.4
    warmth = np.log(changed[..., 0].mean(axis=(1, 2)) / changed[..., 2].mean(axis=(1, 2)))
    assert warmth.min() < -0.3
    assert warmth.max() > 0.3
    # What noise and temperature do to grey images is the same for all pixels but for some grey values.
    colour = np.abs(
        changed[..., 0] / changed[..., 0].mean(axis=(1, 2), keepdims=True)
        - (changed[..., 1] / changed[..., 1].mean(axis=(1, 2), keepdims=True))
    ).mean(axis=(1, 2))
    assert 0.05 < (colour < 0.1 * np.median(colour)).mean() < 0.3
    assert changed.std(axis=(1, 2, 3)).min() > 3.0


def test_some_images_lose_their_detail_to_blur_and_some_get_noise() -> None:
    wall = np.full((224, 224, 3), 120, np.uint8)
    wall[:, 112:] = 140
    seen = [augment(wall, np.random.default_rng(seed)).astype(np.float32) for seed in SEEDS]
    rough = np.array([np.abs(np.diff(image[:40, :40, 1], axis=0)).mean() for image in seen])
    assert 0.35 < (rough > 0.5).mean() < 0.65
    edge = np.array([image[:, 111, 1].mean() - image[:, 108, 1].mean() for image in seen])
    step = np.array([image[:, 115, 1].mean() - image[:, 108, 1].mean() for image in seen])
    assert 0.1 < (edge > 0.2 * step).mean() < 0.4


def test_by_night_the_road_ahead_is_lit_and_what_is_far_from_it_dark() -> None:
    wall = np.full((224, 224, 3), 128, np.uint8)
    seen = np.array([augment(wall, np.random.default_rng(seed)) for seed in SEEDS], np.float32).mean(axis=3)
    road = seen[:, 150:180, 90:130].mean(axis=(1, 2))
    sky = seen[:, :30].mean(axis=(1, 2))
    dark = sky < 0.75 * road
    assert 0.2 < dark.mean() < 0.4
    assert np.abs(road[~dark] - sky[~dark]).max() < 2.0
